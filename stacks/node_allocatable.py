"""The resources that a node of each node group has for pods: Kubernetes calls them allocatable.

Intent: the capacity check and the tags that the autoscaler reads take their numbers from this one place.
`jobs/scheduling.py` has the same formulas in Python; a test compares them.
"""

from collections.abc import Iterable, Mapping

from cdktf import TerraformLocal, TerraformStack
from cdktf_cdktf_provider_aws.data_aws_ec2_instance_type import DataAwsEc2InstanceType

from stacks.node_reservations import (
    MEMORY_EVICTION_MIB,
    MEMORY_FOR_APPLICATIONS,
    MEMORY_RESERVED_MIB,
    MEMORY_RESERVED_PER_POD_MIB,
    reserved_for_others,
    storage_for_pods,
)
from stacks.resources import Resource
from stacks.settings.node_groups import NodeGroupSettings


class NodeAllocatable:
    """The allocatable resources of a node of each node group, as a Terraform local.

    If a group has several instance types, the smallest amount counts: any of them may be the next node.

    Attributes:
        instance_types: Address of the data source of each instance type.

    """

    def __init__(
        self, stack: TerraformStack, node_groups: Mapping[str, NodeGroupSettings], *, monitoring_agent: bool
    ) -> None:
        """Read the instance types of the groups from AWS, and add `local.node_allocatable` to `stack`.

        `monitoring_agent` says whether the node monitoring agent runs on each node.
        """
        self._node_groups = node_groups
        self._monitoring_agent = monitoring_agent
        names = {name: None for group in node_groups.values() for name in group.instance_types}
        types = self.instance_types = {
            name: DataAwsEc2InstanceType(
                stack, f"instance_type_{name.replace('.', '_')}", instance_type=name
            ).fqn
            for name in names
        }
        allocatable = {
            group: {
                "cpu": _write_minimum(_write_cpu(types[name]) for name in settings.instance_types),
                "memory": _write_minimum(_write_memory(types[name]) for name in settings.instance_types),
                "ephemeral_storage": storage_for_pods(settings.disk_size_gib),
            }
            for group, settings in node_groups.items()
        }
        self._local = TerraformLocal(stack, "node_allocatable", allocatable).fqn

    def of(self, group: str, resource: Resource) -> str:
        """Return the expression for one resource of one node group, in the resource's unit."""
        return f'{self._local}["{group}"].{resource.key}'

    def left_for_job(self, group: str, resource: Resource) -> str:
        """Return the expression for the part of an empty node that a job can have, in the resource's unit.

        The others are the pods of daemon sets, which Kubernetes counts as requests.
        """
        reserved = reserved_for_others(
            resource.key,
            min_size=self._node_groups[group].min_size,
            monitoring_agent=self._monitoring_agent,
        )
        amount = self.of(group, resource)
        return f"{amount} - {reserved}" if reserved else amount


def _write_minimum(amounts: Iterable[str]) -> str:
    return f"${{min({', '.join(amounts)})}}"


def _write_cpu(instance_type: str) -> str:
    vcpus = f"{instance_type}.default_vcpus"
    # The kubelet reserves 6 % of the first core, 1 % of the second, 0.5 % of two more, 0.25 % of others.
    reserved = f"60 + 10 * min({vcpus} - 1, 1) + 5 * min(max({vcpus} - 2, 0), 2) + 2.5 * max({vcpus} - 4, 0)"
    return f"floor({vcpus} * 1000 - ({reserved}))"


def _write_memory(instance_type: str) -> str:
    # Amazon EKS, "Maximum Pods per node": addresses of all interfaces, less one each, and two host pods.
    addresses = f"{instance_type}.maximum_ipv4_addresses_per_interface"
    pods = f"({instance_type}.maximum_network_interfaces * ({addresses} - 1) + 2)"
    reserved = f"{MEMORY_RESERVED_MIB} + {MEMORY_RESERVED_PER_POD_MIB} * {pods} + {MEMORY_EVICTION_MIB}"
    return f"(floor({instance_type}.memory_size * {MEMORY_FOR_APPLICATIONS}) - ({reserved}))"
