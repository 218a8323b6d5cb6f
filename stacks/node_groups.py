"""One managed node group with its launch template, from one entry of the settings.

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

from stacks.settings.node_groups import NODE_GROUP_LABEL, NodeGroupSettings

# EKS spells effects in its own way; Kubernetes and the autoscaler's tags in theirs.
KUBERNETES_EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "NO_EXECUTE": "NoExecute",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
}


def node_labels(name: str, settings: NodeGroupSettings) -> dict[str, str]:
    """Return the Kubernetes labels of every node of the group called `name`."""
    return {NODE_GROUP_LABEL: name, **settings.labels}


def add_node_group(
    stack: TerraformStack,
    name: str,
    *,
    settings: NodeGroupSettings,
    resource_name: str,
    cluster_name: str,
    kubernetes_version: str,
    node_role_arn: str,
    subnet_ids: Sequence[str],
    depends_on: Sequence[ITerraformDependable],
) -> EksNodeGroup:
    """Add the node group `name` to `stack`.

    Args:
        stack: Where its resources go, flat, so that their addresses stay readable.
        name: Its key in the settings, and its name in EKS.
        settings: What the settings say of it.
        resource_name: `<environment>-<name>`, for what must be unique in the account.
        cluster_name: The EKS cluster that it joins.
        kubernetes_version: Version of the kubelet, such as "1.35"; AWS picks the newest AMI of it.
        node_role_arn: IAM role of the nodes.
        subnet_ids: Where nodes may be.
        depends_on: What nodes need to become ready and to leave in good order.

    """
    template = _launch_template(stack, name, settings=settings, resource_name=resource_name)
    group = EksNodeGroup(
        stack,
        f"node_group_{name}",
        cluster_name=cluster_name,
        node_group_name=name,
        node_role_arn=node_role_arn,
        subnet_ids=list(subnet_ids),
        version=kubernetes_version,
        ami_type=settings.ami_type,
        capacity_type=settings.capacity_type,
        instance_types=list(settings.instance_types),
        launch_template={"id": template.id, "version": _latest_version(template)},
        labels=node_labels(name, settings),
        taint=[
            EksNodeGroupTaint(key=taint.key, value=taint.value or None, effect=taint.effect)
            for taint in settings.taints
        ],
        scaling_config={
            "min_size": settings.min_size,
            "max_size": settings.max_size,
            "desired_size": settings.min_size,
        },
        update_config={"max_unavailable": 1},
        depends_on=list(depends_on),
        lifecycle=TerraformResourceLifecycle(ignore_changes=["scaling_config[0].desired_size"]),
    )
    for key, value in _node_template_tags(name, settings):
        AutoscalingGroupTagA(
            stack,
            f"node_group_{name}_{key.replace('/', '_')}",
            autoscaling_group_name=autoscaling_group_name(group),
            tag=AutoscalingGroupTagTag(
                key=f"k8s.io/cluster-autoscaler/node-template/{key}",
                value=value,
                propagate_at_launch=False,
            ),
        )
    return group


def autoscaling_group_name(group: EksNodeGroup) -> str:
    """Return the name of the Auto Scaling group that EKS made for the node group."""
    return group.resources.get(0).autoscaling_groups.get(0).name


def _latest_version(template: LaunchTemplate) -> str:
    return f"${{{template.fqn}.latest_version}}"  # a number in the binding, a text in the node group


def _launch_template(
    stack: TerraformStack, name: str, *, settings: NodeGroupSettings, resource_name: str
) -> LaunchTemplate:
    return LaunchTemplate(
        stack,
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


def _node_template_tags(name: str, settings: NodeGroupSettings) -> Iterator[tuple[str, str]]:
    """Yield the tags that describe a node to come (Cluster Autoscaler on AWS, "Auto-Discovery Setup")."""
    for key, value in node_labels(name, settings).items():
        yield f"label/{key}", value
    for taint in settings.taints:
        yield f"taint/{taint.key}", f"{taint.value}:{KUBERNETES_EFFECTS[taint.effect]}"
    yield "resources/ephemeral-storage", f"{settings.disk_size_gib}Gi"
