"""The capacity check: the biggest job that a fleet's maxima allow must fit on an empty node.

Intent: GitLab Runner accepts whatever the maxima allow, and a job that no node can hold stays Pending
until `poll_timeout`. The check fails the plan instead, and names the setting to change.
Not here: services of a job. They come on top, and only `service` limits them.
"""

import json
from collections.abc import Mapping
from math import ceil

from cdktf import Precondition, TerraformLocal, TerraformStack

from stacks.node_allocatable import NodeAllocatable
from stacks.resources import RESOURCES, Resource
from stacks.settings.container_resources import ContainerResources
from stacks.settings.node_groups import NodeGroupSettings
from stacks.settings.runners import RunnerSettings


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
        allocatable: The allocatable resources of a node of each of these groups.

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
            " && ".join(
                f"{allocatable.left_for_job(group, resource)} >= {need}" for resource, need in needs.items()
            )
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
    amounts = ", ".join(allocatable.left_for_job(group, resource) for group in node_groups)
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
