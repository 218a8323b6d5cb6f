"""The capacity check: the biggest job that a fleet's maxima allow must fit on an empty node.

Intent: GitLab Runner accepts whatever the maxima allow, and a job that no node can hold stays Pending
until `poll_timeout`. The check fails the plan instead, and names the setting to change.
Not here: services of a job. They come on top, and only `service` limits them.
"""

import json
from collections.abc import Iterable, Mapping
from math import ceil

from cdktf import Precondition, TerraformLocal, TerraformStack
from cdktf_cdktf_provider_aws.data_aws_ec2_instance_type import DataAwsEc2InstanceType

from stacks.resources import RESOURCES, Resource
from stacks.settings.container_resources import ContainerResources
from stacks.settings.node_groups import NodeGroupSettings
from stacks.settings.runners import RunnerSettings

# Karpenter, "Settings", vm-memory-overhead-percent: the share that hypervisor and kernel leave.
MEMORY_FOR_APPLICATIONS = 0.925
# Amazon EKS AMI (nodeadm), kubelet configuration: kubeReserved and evictionHard.
MEMORY_RESERVED_MIB, MEMORY_RESERVED_PER_POD_MIB, MEMORY_EVICTION_MIB = 255, 11, 100
STORAGE_RESERVED_MIB, STORAGE_FOR_PODS = 1024, 0.9
# CPU requests of the add-ons' daemon sets: vpc-cni (two containers of 25m) and kube-proxy (100m).
DAEMON_SETS_MILLICPU = 150


class NodeAllocatable:
    """The resources that an empty node of each node group has for one job, as a Terraform local."""

    def __init__(self, stack: TerraformStack, node_groups: Mapping[str, NodeGroupSettings]) -> None:
        """Read the instance types of the groups from AWS, and add `local.node_allocatable` to `stack`."""
        names = {name: None for group in node_groups.values() for name in group.instance_types}
        types = {
            name: DataAwsEc2InstanceType(
                stack, f"instance_type_{name.replace('.', '_')}", instance_type=name
            ).fqn
            for name in names
        }
        allocatable = {
            group: {
                "cpu": _write_minimum(
                    _write_allocatable_cpu(types[name]) for name in settings.instance_types
                ),
                "memory": _write_minimum(
                    _write_allocatable_memory(types[name]) for name in settings.instance_types
                ),
                "ephemeral_storage": int(settings.disk_size_gib * 1024 * STORAGE_FOR_PODS)
                - STORAGE_RESERVED_MIB,
            }
            for group, settings in node_groups.items()
        }
        self._local = TerraformLocal(stack, "node_allocatable", allocatable).fqn

    def of(self, group: str, resource: Resource) -> str:
        """Return the expression for one resource of one node group, in the resource's unit."""
        return f'{self._local}["{group}"].{resource.key}'


def capacity_preconditions(
    stack: TerraformStack,
    *,
    fleet: str,
    settings: RunnerSettings,
    node_groups: Mapping[str, NodeGroupSettings],
    allocatable: NodeAllocatable,
) -> list[Precondition]:
    """Return the preconditions of a fleet's release; add `local.largest_nodes_<fleet>` that they read.

    Args:
        stack: The workloads stack.
        fleet: The fleet's name in the settings.
        settings: The fleet's settings.
        node_groups: The node groups where its jobs may run, by name.
        allocatable: The resources of a node of each of these groups.

    """
    needs = {
        resource: _count_units(settings.build, resource) + _count_units(settings.helper, resource)
        for resource in RESOURCES
        if settings.build.most_requested(resource.key)
    }
    if not needs:
        return []
    largest = TerraformLocal(
        stack,
        f"largest_nodes_{fleet}",
        {resource.key: _describe_largest_node(resource, node_groups, allocatable) for resource in needs},
    ).fqn
    checks = []
    for resource, need in needs.items():
        key = _find_setting(settings.build, resource.key)
        helper = _count_units(settings.helper, resource)
        node = f"{largest}.{resource.key}"
        checks.append(
            Precondition(
                condition=f"${{{node}.allocatable >= {need}}}",
                error_message=(
                    f"runners.{fleet}.build.{key}: {getattr(settings.build, key)} is more than any node of "
                    f"the fleet can give. The largest is ${{{node}.name}}: after the kubelet, the daemon "
                    f"sets and the helper container's {helper}{resource.unit} it has "
                    f"${{max(0, floor({node}.allocatable - {helper}))}}{resource.unit} left. Accepted: that "
                    f"or less, or a node group with larger instances in runners.{fleet}.node_groups."
                ),
            )
        )
    if len(needs) > 1:
        # Passes when a check above fails, since that message is better.
        unmet = [f"{largest}.{resource.key}.allocatable < {need}" for resource, need in needs.items()]
        together = [
            " && ".join(f"{allocatable.of(group, resource)} >= {need}" for resource, need in needs.items())
            for group in node_groups
        ]
        checks.append(
            Precondition(
                condition=f"${{anytrue([{', '.join([*unmet, *together])}])}}",
                error_message=(
                    f"runners.{fleet}.build: no single node group among {', '.join(node_groups)} can give a "
                    "job all of its maxima at once: one has the CPU, another the memory or the disk. "
                    "Accepted: lower maxima, or a node group with larger instances in "
                    f"runners.{fleet}.node_groups."
                ),
            )
        )
    return checks


def _describe_largest_node(
    resource: Resource, node_groups: Mapping[str, NodeGroupSettings], allocatable: NodeAllocatable
) -> dict[str, str]:
    """Return the largest amount that a node of any group has, and the name of this node for messages."""
    amounts = ", ".join(allocatable.of(group, resource) for group in node_groups)
    names = [
        f"{', '.join(settings.instance_types)} of the group {group}"
        for group, settings in node_groups.items()
    ]
    return {
        "allocatable": f"${{max({amounts})}}",
        "name": f"${{element({json.dumps(names)}, index([{amounts}], max({amounts})))}}",
    }


def _count_units(container: ContainerResources, resource: Resource) -> int:
    """Return the most that a container may request, in the resource's unit."""
    return ceil(container.most_requested(resource.key) / resource.unit_size)


def _find_setting(container: ContainerResources, key: str) -> str:
    """Return the name of the setting that lets a container request most."""
    names = [
        f"{key}_{kind}{suffix}"
        for kind in ("request", "limit")
        for suffix in ("_overwrite_max_allowed", "")
        if getattr(container, f"{key}_{kind}{suffix}") is not None
    ]
    return names[0]


def _write_minimum(amounts: Iterable[str]) -> str:
    return f"${{min({', '.join(amounts)})}}"


def _write_allocatable_cpu(instance_type: str) -> str:
    vcpus = f"{instance_type}.default_vcpus"
    # The kubelet reserves 6 % of the first core, 1 % of the second, 0.5 % of two more, 0.25 % of others.
    reserved = f"60 + 10 * min({vcpus} - 1, 1) + 5 * min(max({vcpus} - 2, 0), 2) + 2.5 * max({vcpus} - 4, 0)"
    return f"({vcpus} * 1000 - ({reserved}) - {DAEMON_SETS_MILLICPU})"


def _write_allocatable_memory(instance_type: str) -> str:
    # Amazon EKS, "Maximum Pods per node": addresses of all interfaces, less one each, and two host pods.
    addresses = f"{instance_type}.maximum_ipv4_addresses_per_interface"
    pods = f"({instance_type}.maximum_network_interfaces * ({addresses} - 1) + 2)"
    reserved = f"{MEMORY_RESERVED_MIB} + {MEMORY_RESERVED_PER_POD_MIB} * {pods} + {MEMORY_EVICTION_MIB}"
    return f"(floor({instance_type}.memory_size * {MEMORY_FOR_APPLICATIONS}) - ({reserved}))"
