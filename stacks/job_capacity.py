"""The promise check: the biggest job that a fleet's maxima allow fits on an empty node.

Intent: GitLab Runner accepts whatever the maxima allow; a job that no node can hold then stays Pending
until `poll_timeout`. Here it fails the plan, with the setting to change.
Not here: services of a job; they come on top and are bounded by `service` alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from cdktf import Precondition, TerraformLocal, TerraformStack
from cdktf_cdktf_provider_aws.data_aws_ec2_instance_type import DataAwsEc2InstanceType

from stacks.settings.container_resources import ContainerResources
from stacks.settings.node_groups import NodeGroupSettings
from stacks.settings.runners import RunnerSettings

MIB = Decimal(1024 * 1024)

# Karpenter, "Settings", vm-memory-overhead-percent: what the hypervisor and the kernel keep.
MEMORY_FOR_APPLICATIONS = 0.925
# Amazon EKS AMI (nodeadm), kubelet configuration: kubeReserved and evictionHard.
MEMORY_RESERVED_MIB, MEMORY_RESERVED_PER_POD_MIB, MEMORY_EVICTION_MIB = 255, 11, 100
STORAGE_RESERVED_MIB, STORAGE_FOR_PODS = 1024, 0.9
# CPU requests of the add-ons' daemon sets: vpc-cni (two containers of 25m) and kube-proxy (100m).
DAEMON_SETS_MILLICPU = 150


@dataclass(frozen=True)
class Resource:
    """One kind of resource: its name in settings, its unit and that unit's size."""

    key: str
    unit: str
    size: Decimal


RESOURCES = (
    Resource("cpu", "m", Decimal("0.001")),
    Resource("memory", "Mi", MIB),
    Resource("ephemeral_storage", "Mi", MIB),
)


class NodeAllocatable:
    """What an empty node of each node group has for one job: a Terraform local that reviewers can read."""

    def __init__(self, stack: TerraformStack, node_groups: Mapping[str, NodeGroupSettings]) -> None:
        """Read the instance types of the groups, and add `local.node_allocatable` to `stack`."""
        names = {name: None for group in node_groups.values() for name in group.instance_types}
        types = {
            name: DataAwsEc2InstanceType(
                stack, f"instance_type_{name.replace('.', '_')}", instance_type=name
            ).fqn
            for name in names
        }
        room = {
            group: {
                "cpu": _smallest(_cpu_room(types[name]) for name in settings.instance_types),
                "memory": _smallest(_memory_room(types[name]) for name in settings.instance_types),
                "ephemeral_storage": int(settings.disk_size_gib * 1024 * STORAGE_FOR_PODS)
                - STORAGE_RESERVED_MIB,
            }
            for group, settings in node_groups.items()
        }
        TerraformLocal(stack, "node_allocatable", room)
        self._node_groups = node_groups

    def of(self, group: str, resource: Resource) -> str:
        """Return the expression for one resource of one node group: millicpu or MiB."""
        return f'local.node_allocatable["{group}"].{resource.key}'

    def largest(self, groups: Sequence[str], resource: Resource) -> str:
        """Return the expression for the most that any of the groups has."""
        return f"max({', '.join(self.of(group, resource) for group in groups)})"

    def name_of_largest(self, groups: Sequence[str], resource: Resource) -> str:
        """Return a template that names the group with the most room, and its instance types."""
        names = [
            f"{', '.join(self._node_groups[group].instance_types)} of the group {group}" for group in groups
        ]
        rooms = ", ".join(self.of(group, resource) for group in groups)
        return f"${{element({json.dumps(names)}, index([{rooms}], {self.largest(groups, resource)}))}}"


def promise_preconditions(
    name: str, settings: RunnerSettings, *, node_groups: Sequence[str], room: NodeAllocatable
) -> list[Precondition]:
    """Return what must hold for the fleet `name` before its release is planned.

    Args:
        name: The fleet's name in the settings.
        settings: What the settings say of it.
        node_groups: Names of the node groups where its jobs may run.
        room: What these have for a job.

    """
    checks = []
    needs = {
        resource: _amount(settings.build, resource) + _amount(settings.helper, resource)
        for resource in RESOURCES
        if settings.build.most_requested(resource.key)
    }
    for resource, need in needs.items():
        key = _setting(settings.build, resource.key)
        helper = _amount(settings.helper, resource)
        largest = room.largest(node_groups, resource)
        checks.append(
            Precondition(
                condition=f"${{{largest} >= {need}}}",
                error_message=(
                    f"runners.{name}.build.{key}: {getattr(settings.build, key)} is more than any node of "
                    f"the fleet can give. The largest is {room.name_of_largest(node_groups, resource)}: "
                    f"beside the kubelet, the daemon sets and the helper container's {helper}{resource.unit} "
                    f"it has ${{max(0, floor({largest} - {helper}))}}{resource.unit} left. Accepted: that or "
                    f"less, or a node group with larger instances in runners.{name}.node_groups."
                ),
            )
        )
    # Silent where a check above has the better message.
    unmet = [f"{room.largest(node_groups, resource)} < {need}" for resource, need in needs.items()]
    together = [
        " && ".join(f"{room.of(group, resource)} >= {need}" for resource, need in needs.items())
        for group in node_groups
    ]
    if len(needs) > 1:
        checks.append(
            Precondition(
                condition=f"${{anytrue([{', '.join([*unmet, *together])}])}}",
                error_message=(
                    f"runners.{name}.build: no single node group among {', '.join(node_groups)} can give a "
                    "job all of its maxima at once: one has the CPU, another the memory or the disk. "
                    "Accepted: lower maxima, or a node group with larger instances in "
                    f"runners.{name}.node_groups."
                ),
            )
        )
    return checks


def _amount(container: ContainerResources, resource: Resource) -> int:
    return ceil(container.most_requested(resource.key) / resource.size)


def _setting(container: ContainerResources, key: str) -> str:
    """Return the name of the setting that lets a container request most."""
    names = [
        f"{key}_{kind}{suffix}"
        for kind in ("request", "limit")
        for suffix in ("_overwrite_max_allowed", "")
        if getattr(container, f"{key}_{kind}{suffix}") is not None
    ]
    return names[0]


def _smallest(rooms: Iterable[str]) -> str:
    return f"${{min({', '.join(rooms)})}}"


def _cpu_room(instance_type: str) -> str:
    vcpus = f"{instance_type}.default_vcpus"
    # 6% of the first core, 1% of the second, 0.5% of the next two, 0.25% of the rest.
    reserved = f"60 + 10 * min({vcpus} - 1, 1) + 5 * min(max({vcpus} - 2, 0), 2) + 2.5 * max({vcpus} - 4, 0)"
    return f"({vcpus} * 1000 - ({reserved}) - {DAEMON_SETS_MILLICPU})"


def _memory_room(instance_type: str) -> str:
    # Amazon EKS, "Maximum Pods per node": addresses of all interfaces, less one each, and two host pods.
    addresses = f"{instance_type}.maximum_ipv4_addresses_per_interface"
    pods = f"({instance_type}.maximum_network_interfaces * ({addresses} - 1) + 2)"
    reserved = f"{MEMORY_RESERVED_MIB} + {MEMORY_RESERVED_PER_POD_MIB} * {pods} + {MEMORY_EVICTION_MIB}"
    return f"(floor({instance_type}.memory_size * {MEMORY_FOR_APPLICATIONS}) - ({reserved}))"
