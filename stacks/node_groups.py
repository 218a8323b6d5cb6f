"""The managed node groups of one entry of the settings, with their launch template.

Intent: what the settings say of labels and taints reaches three readers from this one place: the
nodes, EKS (which the autoscaler asks), and the Auto Scaling group's tags (by which it knows a group
that has no node yet).
Not here: how many nodes there are (the autoscaler's business once a group exists).
"""

from collections.abc import Iterator, Sequence

from cdktf import ITerraformDependable, TerraformResourceLifecycle, TerraformStack
from cdktf_cdktf_provider_aws.autoscaling_group_tag import AutoscalingGroupTagA, AutoscalingGroupTagTag
from cdktf_cdktf_provider_aws.eks_node_group import EksNodeGroup, EksNodeGroupTaint
from cdktf_cdktf_provider_aws.launch_template import (
    LaunchTemplate,
    LaunchTemplateBlockDeviceMappings,
    LaunchTemplateBlockDeviceMappingsEbs,
    LaunchTemplateTagSpecifications,
)

from stacks.settings.node_groups import KUBERNETES_EFFECTS, NodeGroupSettings


class NodeGroupBuilder:
    """Builds the managed node groups of one cluster."""

    def __init__(
        self,
        stack: TerraformStack,
        *,
        resource_prefix: str,
        cluster_name: str,
        kubernetes_version: str,
        node_role_arn: str,
        depends_on: Sequence[ITerraformDependable],
    ) -> None:
        """Keep what all groups share.

        Args:
            stack: Where their resources go, flat, so that their addresses stay readable.
            resource_prefix: Prefix of what must be unique in the account.
            cluster_name: The EKS cluster that they join.
            kubernetes_version: Version of the kubelet, such as "1.35"; AWS picks the newest AMI of it
                when a group is created or its version changes.
            node_role_arn: IAM role of the nodes.
            depends_on: What nodes need to become ready and to leave in good order.

        """
        self._stack = stack
        self._resource_prefix = resource_prefix
        self._cluster_name = cluster_name
        self._kubernetes_version = kubernetes_version
        self._node_role_arn = node_role_arn
        self._depends_on = list(depends_on)

    def build(
        self, name: str, settings: NodeGroupSettings, *, subnet_ids: Sequence[str]
    ) -> dict[str, EksNodeGroup]:
        """Add one node group over all the subnets, and return it by its name in EKS."""
        template = self._launch_template(name, settings)
        sizes = (settings.min_size, settings.max_size)
        return {name: self._group(name, name, settings, template, subnet_ids, sizes)}

    def build_by_zone(
        self, name: str, settings: NodeGroupSettings, *, subnet_ids: dict[str, str]
    ) -> dict[str, EksNodeGroup]:
        """Add one node group for each zone (by its letter), and return them by their names in EKS.

        An Auto Scaling group of one zone has nothing to rebalance: over several, AZRebalance ends nodes
        whatever they run, and managed node groups can't suspend it (kubernetes/autoscaler issue 8196).
        """
        template = self._launch_template(name, settings)
        zones = zip(subnet_ids.items(), settings.sizes_by_zone(len(subnet_ids)), strict=False)
        return {
            f"{name}-{zone}": self._group(f"{name}-{zone}", name, settings, template, [subnet_id], sizes)
            for (zone, subnet_id), sizes in zones
        }

    def _group(
        self,
        name: str,
        entry: str,
        settings: NodeGroupSettings,
        template: LaunchTemplate,
        subnet_ids: Sequence[str],
        sizes: tuple[int, int],
    ) -> EksNodeGroup:
        min_size, max_size = sizes
        labels = settings.node_labels(entry)
        group = EksNodeGroup(
            self._stack,
            f"node_group_{name}",
            cluster_name=self._cluster_name,
            node_group_name=name,
            node_role_arn=self._node_role_arn,
            subnet_ids=list(subnet_ids),
            version=self._kubernetes_version,
            ami_type=settings.ami_type,
            capacity_type=settings.capacity_type,
            instance_types=list(settings.instance_types),
            launch_template={"id": template.id, "version": _latest_version(template)},
            labels=labels,
            taint=[
                EksNodeGroupTaint(key=taint.key, value=taint.value or None, effect=taint.effect)
                for taint in settings.taints
            ],
            scaling_config={"min_size": min_size, "max_size": max_size, "desired_size": min_size},
            update_config={"max_unavailable": 1},
            depends_on=self._depends_on,
            lifecycle=TerraformResourceLifecycle(ignore_changes=["scaling_config[0].desired_size"]),
        )
        for key, value in _node_template_tags(labels, settings):
            AutoscalingGroupTagA(
                self._stack,
                f"node_group_{name}_{key.replace('/', '_')}",
                autoscaling_group_name=autoscaling_group_name(group),
                tag=AutoscalingGroupTagTag(
                    key=f"k8s.io/cluster-autoscaler/node-template/{key}",
                    value=value,
                    propagate_at_launch=False,
                ),
            )
        return group

    def _launch_template(self, name: str, settings: NodeGroupSettings) -> LaunchTemplate:
        resource_name = f"{self._resource_prefix}-{name}"
        return LaunchTemplate(
            self._stack,
            f"launch_template_{name}",
            name=resource_name,
            update_default_version=True,
            # Hop limit 1: the metadata service, and with it the node's role, is out of reach for pods.
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,
            },
            block_device_mappings=[
                LaunchTemplateBlockDeviceMappings(
                    device_name="/dev/xvda",  # the root volume of Amazon Linux 2023
                    ebs=LaunchTemplateBlockDeviceMappingsEbs(
                        volume_type="gp3",
                        volume_size=settings.disk_size_gib,
                        encrypted="true",
                        delete_on_termination="true",
                    ),
                )
            ],
            tag_specifications=[
                LaunchTemplateTagSpecifications(resource_type=kind, tags={"Name": resource_name})
                for kind in ("instance", "volume")
            ],
        )


def autoscaling_group_name(group: EksNodeGroup) -> str:
    """Return the name of the Auto Scaling group that EKS made for the node group."""
    return group.resources.get(0).autoscaling_groups.get(0).name


def _latest_version(template: LaunchTemplate) -> str:
    return f"${{{template.fqn}.latest_version}}"  # a number in the binding, a text in the node group


def _node_template_tags(labels: dict[str, str], settings: NodeGroupSettings) -> Iterator[tuple[str, str]]:
    """Yield the tags that describe a node to come (Cluster Autoscaler on AWS, "Auto-Discovery Setup")."""
    for key, value in labels.items():
        yield f"label/{key}", value
    for taint in settings.taints:
        yield f"taint/{taint.key}", f"{taint.value}:{KUBERNETES_EFFECTS[taint.effect]}"
    yield "resources/ephemeral-storage", f"{settings.disk_size_gib}Gi"
