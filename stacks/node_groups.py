"""The managed node groups of the settings, with their launch templates.

Intent: labels and taints of the settings reach three readers from this one place: the nodes, EKS
(which the autoscaler asks), and the tags of the Auto Scaling group. From these tags, and those with the
resources of a node, the autoscaler knows a group that has no node yet.
Not here: the number of nodes, which the autoscaler changes once a group exists.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cdktf import (
    Fn,
    ITerraformDependable,
    TerraformIterator,
    TerraformResourceLifecycle,
    TerraformStack,
    Token,
)
from cdktf_cdktf_provider_aws.autoscaling_group_tag import AutoscalingGroupTagA, AutoscalingGroupTagTag
from cdktf_cdktf_provider_aws.data_aws_ssm_parameter import DataAwsSsmParameter
from cdktf_cdktf_provider_aws.eks_node_group import EksNodeGroup, EksNodeGroupTaint, EksNodeGroupTimeouts
from cdktf_cdktf_provider_aws.launch_template import (
    LaunchTemplate,
    LaunchTemplateBlockDeviceMappings,
    LaunchTemplateBlockDeviceMappingsEbs,
    LaunchTemplateTagSpecifications,
)

from stacks.aws_provider_6 import set_node_group_arguments
from stacks.environment import Environment
from stacks.instance_offerings import InstanceOfferings
from stacks.instance_quotas import warn_above_quotas
from stacks.node_allocatable import NodeAllocatable
from stacks.resources import RESOURCES
from stacks.settings.cluster import ClusterSettings
from stacks.settings.node_groups import KUBERNETES_EFFECTS, RECOMMENDED_RELEASE, NodeGroupSettings


def build_node_groups(
    stack: TerraformStack,
    *,
    settings: ClusterSettings,
    one_per_zone: bool,
    availability_zones: Sequence[str],
    subnet_ids: Sequence[str],
    environment: Environment,
    cluster_name: str,
    node_role_arn: str,
    depends_on: Sequence[ITerraformDependable],
) -> dict[str, EksNodeGroup]:
    """Add the node groups of one cluster, and return them by their names in EKS.

    Args:
        stack: Scope of all their resources, so that addresses stay flat and readable.
        settings: The cluster's settings, with the node groups.
        one_per_zone: Whether each node group of the settings becomes one group per zone
            (`<name>-<zone's letter>`). An Auto Scaling group over several zones rebalances them
            (AZRebalance): it ends nodes that run jobs, and managed node groups can't suspend it
            (kubernetes/autoscaler issue 8196).
        availability_zones: The zones, in the order of the subnets.
        subnet_ids: The private subnets, one per zone.
        environment: Its prefix begins names that must be unique in the account. Its tags are set on what
            costs money: instances, their volumes and network interfaces, and Auto Scaling groups. EKS passes
            the tags of a node group on to none of them, and the provider's default tags end at the launch
            template (terraform-provider-aws issue 19387).
        cluster_name: The EKS cluster that the nodes join.
        node_role_arn: IAM role of the nodes.
        depends_on: Resources that nodes need to become ready and to leave the cluster in order.

    """
    node_groups = settings.node_groups
    allocatable = NodeAllocatable(stack, node_groups, monitoring_agent=settings.node_monitoring_agent)
    offerings = InstanceOfferings(
        stack, {name for group in node_groups.values() for name in group.instance_types}
    )
    warn_above_quotas(
        stack,
        node_groups,
        instance_types=allocatable.instance_types,
        zones=len(availability_zones),
        region=environment.aws.region,
    )
    groups = {}
    for entry, group_settings in node_groups.items():
        template = _build_launch_template(
            stack,
            entry=entry,
            resource_prefix=environment.resource_prefix,
            settings=group_settings,
            volumes_key_arn=settings.volumes_key_arn,
            tags=environment.tags,
        )
        version = group_settings.kubernetes_version or settings.kubernetes_version
        release_version = group_settings.release_version
        if release_version == RECOMMENDED_RELEASE:
            release_version = _read_recommended_release(stack, entry, version, group_settings.architecture)
        labels = group_settings.node_labels(entry)
        future_nodes = _describe_future_nodes(entry, labels, group_settings, allocatable)
        parts = (
            _divide_by_zone(
                entry, group_settings, availability_zones=availability_zones, subnet_ids=subnet_ids
            )
            if one_per_zone
            else [
                _Part(
                    entry,
                    availability_zones,
                    list(subnet_ids),
                    group_settings.min_size,
                    group_settings.max_size,
                )
            ]
        )
        for part in parts:
            group = EksNodeGroup(
                stack,
                f"node_group_{part.name}",
                cluster_name=cluster_name,
                node_group_name=part.name,
                node_role_arn=node_role_arn,
                subnet_ids=part.subnet_ids,
                version=version,
                release_version=release_version,
                force_update_version=group_settings.force_update_version or None,
                ami_type=group_settings.ami_type,
                capacity_type=group_settings.capacity_type,
                instance_types=list(group_settings.instance_types),
                launch_template={"id": template.id, "version": _read_latest_version(template)},
                labels=labels,
                taint=[
                    EksNodeGroupTaint(key=taint.key, value=taint.value or None, effect=taint.effect)
                    for taint in group_settings.taints
                ],
                scaling_config={
                    "min_size": part.min_size,
                    "max_size": part.max_size,
                    "desired_size": part.min_size,
                },
                update_config={"max_unavailable": 1},
                node_repair_config=(
                    None if settings.node_repair is None else {"enabled": settings.node_repair}
                ),
                # A node that runs jobs takes up to 15 minutes. After the provider's own hour, Terraform would
                # fail while EKS goes on.
                timeouts=EksNodeGroupTimeouts(update="180m"),
                depends_on=list(depends_on),
                lifecycle=TerraformResourceLifecycle(
                    ignore_changes=["scaling_config[0].desired_size"],
                    precondition=offerings.require(entry, group_settings.instance_types, part.zones),
                ),
            )
            set_node_group_arguments(group, group_settings)
            _tag_auto_scaling_group(
                stack, group, name=part.name, tags=environment.tags, future_nodes=future_nodes
            )
            groups[part.name] = group
    return groups


def name_node_groups(
    settings: Mapping[str, NodeGroupSettings], *, one_per_zone: bool, availability_zones: Sequence[str]
) -> dict[str, list[str]]:
    """Return for each node group of the settings its names in EKS: its own, or one for each zone."""
    if not one_per_zone:
        return {entry: [entry] for entry in settings}
    return {
        entry: [
            _name_in_zone(entry, zone)
            for zone, _ in zip(availability_zones, group.sizes_by_zone(len(availability_zones)), strict=False)
        ]
        for entry, group in settings.items()
    }


def _name_in_zone(entry: str, zone: str) -> str:
    return f"{entry}-{zone[-1]}"


def autoscaling_group_name(group: EksNodeGroup) -> str:
    """Return the name of the Auto Scaling group that EKS made for the node group."""
    return group.resources.get(0).autoscaling_groups.get(0).name


class _Part(NamedTuple):
    """One node group in EKS: an entry of the settings, or an entry's part in one zone."""

    name: str
    zones: Sequence[str]
    subnet_ids: list[str]
    min_size: int
    max_size: int


def _divide_by_zone(
    entry: str,
    settings: NodeGroupSettings,
    *,
    availability_zones: Sequence[str],
    subnet_ids: Sequence[str],
) -> Iterator[_Part]:
    # A max_size below the number of zones gives the last zones no group.
    sizes = settings.sizes_by_zone(len(availability_zones))
    for index, (zone, (min_size, max_size)) in enumerate(zip(availability_zones, sizes, strict=False)):
        subnet_id = Token.as_string(Fn.lookup_nested(subnet_ids, [index]))
        yield _Part(_name_in_zone(entry, zone), [zone], [subnet_id], min_size, max_size)


def _build_launch_template(
    stack: TerraformStack,
    *,
    entry: str,
    resource_prefix: str,
    settings: NodeGroupSettings,
    volumes_key_arn: str | None,
    tags: Mapping[str, str],
) -> LaunchTemplate:
    name = f"{resource_prefix}-{entry}"
    return LaunchTemplate(
        stack,
        f"launch_template_{entry}",
        name=name,
        update_default_version=True,
        # With a hop limit of 1, pods can't reach the metadata service and the node's role behind it.
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
                    iops=settings.disk_iops,
                    throughput=settings.disk_throughput_mib_per_second,
                    encrypted="true",
                    kms_key_id=volumes_key_arn,
                    delete_on_termination="true",
                ),
            )
        ],
        tag_specifications=[
            LaunchTemplateTagSpecifications(resource_type=kind, tags={"Name": name, **tags})
            for kind in ("instance", "volume", "network-interface")
        ],
    )


def _read_recommended_release(
    stack: TerraformStack, entry: str, kubernetes_version: str, architecture: str
) -> str:
    """Read the newest AMI release from a public parameter.

    Amazon EKS, "Retrieve recommended Amazon Linux AMI IDs".
    """
    machine = {"amd64": "x86_64", "arm64": "arm64"}[architecture]
    parameter = DataAwsSsmParameter(
        stack,
        f"recommended_release_{entry}",
        name=f"/aws/service/eks/optimized-ami/{kubernetes_version}/amazon-linux-2023/{machine}/standard/"
        "recommended/release_version",
        with_decryption=False,
    )
    return parameter.insecure_value  # `value` would be hidden in the plan


def _read_latest_version(template: LaunchTemplate) -> str:
    return f"${{{template.fqn}.latest_version}}"  # a number in the binding, a string in the node group


def _describe_future_nodes(
    entry: str, labels: Mapping[str, str], settings: NodeGroupSettings, allocatable: NodeAllocatable
) -> dict[str, str]:
    """Return what the autoscaler must know of a node that does not exist yet, by key.

    Cluster Autoscaler on AWS, "Auto-Discovery Setup". Without a tag, the autoscaler takes all CPU and
    memory of the instance type for allocatable (kubernetes/autoscaler issue 2809). It subtracts the
    requests of daemon sets itself.
    """
    tags = {f"label/{key}": value for key, value in labels.items()}
    for taint in settings.taints:
        tags[f"taint/{taint.key}"] = f"{taint.value}:{KUBERNETES_EFFECTS[taint.effect]}"
    for resource in RESOURCES:
        amount = allocatable.of(entry, resource)
        tags[f"resources/{resource.name}"] = f"${{{amount}}}{resource.unit}"
    return tags


def _tag_auto_scaling_group(
    stack: TerraformStack,
    group: EksNodeGroup,
    *,
    name: str,
    tags: Mapping[str, str],
    future_nodes: Mapping[str, str],
) -> None:
    autoscaling_group = autoscaling_group_name(group)
    for key, value in future_nodes.items():
        AutoscalingGroupTagA(
            stack,
            f"node_group_{name}_{key.replace('/', '_')}",
            autoscaling_group_name=autoscaling_group,
            tag=AutoscalingGroupTagTag(
                key=f"k8s.io/cluster-autoscaler/node-template/{key}",
                value=value,
                propagate_at_launch=False,
            ),
        )
    # By for_each, since a tag's key may have characters that an address can't have.
    each = TerraformIterator.from_map(tags)
    AutoscalingGroupTagA(
        stack,
        f"node_group_{name}_tags",
        for_each=each,
        autoscaling_group_name=autoscaling_group,
        # Instances have the tags of the launch template.
        tag=AutoscalingGroupTagTag(
            key=each.key, value=Token.as_string(each.value), propagate_at_launch=False
        ),
    )
