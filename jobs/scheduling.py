"""Where a pod fits: on an empty node of which groups, and of which one the autoscaler would add a node.

Sources: the Amazon EKS AMI's kubelet configuration (stacks/node_reservations.py); Kubernetes Scheduler,
"NodeResourcesFit"; cluster-autoscaler, expander/waste, expander/mostpods and expander/priority.
No cdktf import, no file, no clock. The formulas are those of stacks/node_allocatable.py; a test compares.
Not here: running nodes. A job may also start at once on a node that has room.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import floor

from jobs.instance_sizes import InstanceSize
from stacks.node_reservations import (
    MEMORY_EVICTION_MIB,
    MEMORY_FOR_APPLICATIONS,
    MEMORY_RESERVED_MIB,
    MEMORY_RESERVED_PER_POD_MIB,
    reserved_for_others,
    storage_for_pods,
)
from stacks.resources import RESOURCES
from stacks.settings.autoscaler import AutoscalerSettings
from stacks.settings.node_groups import NodeGroupSettings

Units = Mapping[str, int]
"""Amounts by the resource's key in the settings, in its unit: millicpu or MiB."""


@dataclass(frozen=True)
class Group:
    """A node group: `allocatable` of its smallest instance type, and the part that a job can have."""

    name: str
    allocatable: Units
    room: Units


def describe_group(
    name: str,
    settings: NodeGroupSettings,
    sizes: Mapping[str, InstanceSize],
    *,
    monitoring_agent: bool,
) -> Group:
    """Return a node group, all of whose instance types are in `sizes`.

    `monitoring_agent` says whether the node monitoring agent runs on each node.
    """
    types = [sizes[instance_type] for instance_type in settings.instance_types]
    allocatable = {
        "cpu": min(allocatable_cpu(size) for size in types),
        "memory": min(allocatable_memory(size) for size in types),
        "ephemeral_storage": storage_for_pods(settings.disk_size_gib),
    }
    room = {
        key: amount - reserved_for_others(key, min_size=settings.min_size, monitoring_agent=monitoring_agent)
        for key, amount in allocatable.items()
    }
    return Group(name, allocatable, room)


def allocatable_cpu(size: InstanceSize) -> int:
    """Return the millicpu that the kubelet leaves for pods."""
    vcpus = size.vcpus
    # 6 % of the first core, 1 % of the second, 0.5 % of two more, 0.25 % of the others.
    reserved = 60 + 10 * min(vcpus - 1, 1) + 5 * min(max(vcpus - 2, 0), 2) + 2.5 * max(vcpus - 4, 0)
    return floor(vcpus * 1000 - reserved)


def allocatable_memory(size: InstanceSize) -> int:
    """Return the MiB of memory that hypervisor and kubelet leave for pods."""
    reserved = MEMORY_RESERVED_MIB + MEMORY_RESERVED_PER_POD_MIB * max_pods(size) + MEMORY_EVICTION_MIB
    return floor(size.memory_mib * MEMORY_FOR_APPLICATIONS) - reserved


def max_pods(size: InstanceSize) -> int:
    """Return how many pods a node may have (Amazon EKS, "Maximum Pods per node").

    stacks/node_allocatable.py has the same formula as an expression of Terraform; a test compares.
    """
    return size.network_interfaces * (size.ipv4_addresses_per_interface - 1) + 2


def exceeding(requests: Mapping[str, Decimal], group: Group) -> list[str]:
    """Return the resources of which a pod requests more than an empty node of a group can give."""
    return [
        resource.key
        for resource in RESOURCES
        if requests.get(resource.key, Decimal(0)) > group.room[resource.key] * resource.unit_size
    ]


def choose_groups(
    requests: Mapping[str, Decimal], fitting: list[Group], autoscaler: AutoscalerSettings
) -> list[str]:
    """Return the groups among which the autoscaler would choose at random; usually one.

    Every group counts with the node that its tags describe. For a group with running nodes the autoscaler
    takes one of these as the model; its capacity is a little higher.
    """
    scores: dict[str, float]
    match autoscaler.expander:
        case "priority":
            scores = {group.name: -autoscaler.expander_priorities[group.name] for group in fitting}
        case "least-waste":
            scores = {group.name: _waste(requests, group) for group in fitting}
        case _:  # for a single pod, most-pods finds all equal
            scores = {group.name: 0 for group in fitting}
    best = min(scores.values(), default=0)
    return [name for name, score in scores.items() if score == best]


def _waste(requests: Mapping[str, Decimal], group: Group) -> float:
    shares = (
        requests.get(resource.key, Decimal(0)) / (group.allocatable[resource.key] * resource.unit_size)
        for resource in RESOURCES
        if resource.key in ("cpu", "memory")
    )
    return float(sum((1 - share for share in shares), Decimal(0)))
