"""Small jobs and large nodes: which node the scheduler gives to a job, by its own arithmetic.

Sources, of Kubernetes 1.35: pkg/scheduler/apis/config/v1/default_plugins.go (the weights of the plugins),
and under pkg/scheduler/framework/plugins noderesources/least_allocated.go,
noderesources/balanced_allocation.go, nodeaffinity/node_affinity.go, imagelocality/image_locality.go and
helper/normalize_score.go. The plugins that are left out give all nodes the same score: job pods tolerate
every taint of their groups, belong to no Service's selector, and have no affinity between pods.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from jobs.instance_sizes import known_sizes
from jobs.scheduling import describe_group
from stacks.runner_config import runner_toml
from stacks.settings.node_groups import NodeGroupSettings
from stacks.settings.runners import RunnerSettings

NODE_AFFINITY_WEIGHT = 2  # of LeastAllocated, BalancedAllocation and ImageLocality: 1
SMALL_JOB = {"cpu": 1100, "memory": 4224}  # the example's requests with the helper's: millicpu and MiB


@dataclass(frozen=True)
class Node:
    """A node of a group, with the share of its resources that pods have taken."""

    group: str
    cpu_taken: float = 0.0
    memory_taken: float = 0.0
    image: int = 0  # score of ImageLocality, 0 to 100


def groups_of(types: Mapping[str, str]) -> dict[str, NodeGroupSettings]:
    """Return a node group for each instance type, by name."""
    return {
        name: NodeGroupSettings(instance_types=(instance_type,), max_size=4)
        for name, instance_type in types.items()
    }


def preferences(groups: Mapping[str, NodeGroupSettings]) -> list[dict[str, Any]]:
    """Return the preferred terms in the TOML of a fleet that may use these groups."""
    config = runner_toml(
        "default",
        RunnerSettings(token_parameter="/token"),
        job_namespace="jobs",
        node_groups=groups,
        cache_bucket="cache",
        region="eu-central-1",
        cache_role_arn=None,
        protect_running_jobs=True,
    )
    (runner,) = tomllib.loads(config)["runners"]
    affinity: dict[str, Any] = runner["kubernetes"]["affinity"]["node_affinity"]
    terms: list[dict[str, Any]] = affinity.get("preferred_during_scheduling_ignored_during_execution", [])
    return terms


def place(
    nodes: Sequence[Node], groups: Mapping[str, NodeGroupSettings], terms: Sequence[Mapping[str, Any]]
) -> str:
    """Return the group of the node that gets a small job; the scheduler chooses by chance among equals."""
    sizes = known_sizes()
    allocatable = {
        name: describe_group(name, group, sizes, monitoring_agent=False).allocatable
        for name, group in groups.items()
    }

    def taken(node: Node) -> dict[str, float]:
        room = allocatable[node.group]
        return {
            "cpu": node.cpu_taken + SMALL_JOB["cpu"] / room["cpu"],
            "memory": node.memory_taken + SMALL_JOB["memory"] / room["memory"],
        }

    def affinity(node: Node) -> int:
        return sum(
            term["weight"]
            for term in terms
            for expression in term["preference"]["match_expressions"]
            if node.group in expression["values"]
        )

    with_room = [node for node in nodes if max(taken(node).values()) <= 1]
    largest_affinity = max(affinity(node) for node in with_room)

    def score(node: Node) -> int:
        cpu, memory = taken(node).values()
        least_allocated = (int((1 - cpu) * 100) + int((1 - memory) * 100)) // 2
        balanced = int((1 - abs(cpu - memory) / 2) * 100)
        normalized = affinity(node) * 100 // largest_affinity if largest_affinity else 0
        return least_allocated + balanced + node.image + NODE_AFFINITY_WEIGHT * normalized

    return max(with_room, key=score).group


TWO = groups_of({"big": "m5.8xlarge", "main": "m5.2xlarge"})
SIX = groups_of(
    {
        "f": "m5.16xlarge",
        "e": "m5.8xlarge",
        "d": "m5.4xlarge",
        "c": "m5.2xlarge",
        "b": "m5.xlarge",
        "a": "c5.xlarge",  # as large as b
    }
)


def test_a_small_job_goes_to_a_small_node_that_has_room() -> None:
    """Without the preference the emptiest node gets it, which is the large one whose big job has ended."""
    nodes = [Node("big"), Node("main", cpu_taken=0.8, memory_taken=0.3)]
    assert place(nodes, TWO, terms=[]) == "big"
    assert place(nodes, TWO, preferences(TWO)) == "main"


@pytest.mark.parametrize(("smaller", "larger"), ["bc", "cd", "de", "ef"])
def test_a_full_small_node_wins_against_an_empty_larger_one(smaller: str, larger: str) -> None:
    """It holds for all neighbours among five sizes, each time that no smaller one has room."""
    nodes = [Node(larger), Node(smaller, cpu_taken=0.6, memory_taken=0.3)]
    assert place(nodes, SIX, preferences(SIX)) == smaller


def test_an_image_outweighs_the_preference_only_among_three_sizes() -> None:
    """With two sizes nothing outweighs it; with more, an image of 2 GB that only the larger node has."""
    only_there = [Node("big", image=100), Node("main", cpu_taken=0.85, memory_taken=0.85)]
    assert place(only_there, TWO, preferences(TWO)) == "main"
    three = {name: SIX[name] for name in "bcd"}
    for image, expected in ((49, "b"), (100, "c")):  # 1 GB on half of the nodes; 2 GB
        nodes = [Node("c", image=image), Node("b", cpu_taken=0.7, memory_taken=0.6)]
        assert place(nodes, three, preferences(three)) == expected


def test_a_small_job_takes_a_large_node_when_no_small_one_has_room() -> None:
    """It is a preference: the job does not wait. A taint and a fleet of its own forbid it."""
    nodes = [Node("big"), Node("main", cpu_taken=0.9, memory_taken=0.5)]
    assert place(nodes, TWO, preferences(TWO)) == "big"


def test_small_jobs_are_not_packed_on_nodes_of_equal_size() -> None:
    """The preference is between sizes; EKS's scheduler still takes the emptiest node of one size."""
    nodes = [Node("a", cpu_taken=0.5, memory_taken=0.5), Node("b")]
    assert place(nodes, SIX, preferences(SIX)) == "b"


def test_a_fleet_with_one_size_has_no_preference() -> None:
    """Its configuration is that of earlier versions, byte for byte."""
    assert preferences({name: SIX[name] for name in "ab"}) == []


def test_sizes_are_in_the_order_of_ec2() -> None:
    """A family and a generation do not count; metal-24xl has the vCPU of 24xlarge."""
    rising = ["t3.nano", "m5.large", "m7i.xlarge", "c5.2xlarge", "m5.12xlarge", "m7i.metal-24xl", "i3.metal"]
    groups = groups_of({name: name for name in rising})
    assert sorted(groups, key=lambda name: groups[name].instance_size) == rising
    equal = groups_of({"a": "m7i.metal-24xl", "b": "m5.24xlarge"})
    assert equal["a"].instance_size == equal["b"].instance_size
