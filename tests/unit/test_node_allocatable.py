"""The resources of a node: the tags that the autoscaler reads, and the capacity check."""

import math
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.instance_sizes import InstanceSize, known_sizes
from jobs.scheduling import describe_group
from stacks.settings.load import PROJECT, load_settings
from tests.environments import Synthesized

# Amazon EC2, "Instance types": vCPUs, memory in MiB, network interfaces, IPv4 addresses of an interface.
INSTANCE_TYPES = {
    "m5.large": (2, 8192, 3, 10),
    "m5.xlarge": (4, 16384, 4, 15),
    "m5.2xlarge": (8, 32768, 4, 15),
    "m5.8xlarge": (32, 131072, 8, 30),
}
FACTS = (
    "default_vcpus",
    "memory_size",
    "maximum_network_interfaces",
    "maximum_ipv4_addresses_per_interface",
)
PREFIX = "k8s.io/cluster-autoscaler/node-template/resources/"


def evaluate(expression: str, **names: Any) -> Any:
    """Return the value of an expression of Terraform's that Python reads in the same way."""
    types = {
        f"instance_type_{name.replace('.', '_')}": SimpleNamespace(**dict(zip(FACTS, facts, strict=True)))
        for name, facts in INSTANCE_TYPES.items()
    }
    data = SimpleNamespace(aws_ec2_instance_type=SimpleNamespace(**types))
    smallest = lambda *amounts: min(amounts)  # noqa: E731 - Python's own wants two arguments or a list
    known = {"data": data, "floor": math.floor, "min": smallest, "max": max}
    return eval(expression.removeprefix("${").removesuffix("}"), {**known, **names})


def node_allocatable(stack: dict[str, Any]) -> dict[str, SimpleNamespace]:
    """Return the amounts in `local.node_allocatable` of a stack by the node group's name in the settings."""
    return {
        group: SimpleNamespace(**{key: evaluate(str(text)) for key, text in amounts.items()})
        for group, amounts in stack["locals"]["node_allocatable"].items()
    }


def tags(cluster: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the resource tags of each node group's Auto Scaling group by the node group's name in EKS."""
    amounts = SimpleNamespace(node_allocatable=node_allocatable(cluster))
    found: dict[str, dict[str, str]] = {}
    for item in cluster["resource"]["aws_autoscaling_group_tag"].values():
        if item["tag"]["key"].startswith(PREFIX):
            group = re.search(r"node_group_([\w-]+)\.", item["autoscaling_group_name"])
            expression = re.fullmatch(r"(\$\{[^}]+\})(m|Mi)", item["tag"]["value"])
            assert group
            assert expression
            value = f"{evaluate(expression[1], local=amounts)}{expression[2]}"
            found.setdefault(group[1], {})[item["tag"]["key"].removeprefix(PREFIX)] = value
    return found


def test_the_autoscaler_knows_what_a_node_has_for_pods(example: Synthesized) -> None:
    """The tags hold what the kubelet leaves for pods, not the whole machine; steady groups have them too."""
    main = {"cpu": "7910m", "memory": "29317Mi", "ephemeral-storage": "91136Mi"}  # 8 vCPUs, 32 GiB, 100 GiB
    big = {"cpu": "31850m", "memory": "118312Mi", "ephemeral-storage": "91136Mi"}  # 32 vCPUs, 128 GiB
    assert tags(example["cluster"]) == {
        **{f"main-{zone}": main for zone in "abc"},
        **{f"big-{zone}": big for zone in "abc"},
    }


def test_tags_and_capacity_check_have_the_same_numbers(example: Synthesized) -> None:
    """Both stacks calculate the resources of a node in the same way, so the autoscaler finds what fits."""
    cluster, workloads = (node_allocatable(example[stack]) for stack in ("cluster", "workloads"))
    assert workloads == cluster


@pytest.fixture
def further(synthesize_changed: Callable[..., Synthesized]) -> dict[str, SimpleNamespace]:
    """The resources of the nodes of further groups, by the groups' names."""
    types = {"two": ["m5.large"], "four": ["m5.xlarge"], "mixed": ["m5.8xlarge", "m5.2xlarge"]}
    groups = {name: {"instance_types": names, "max_size": 1} for name, names in types.items()}
    changes = {f"cluster.node_groups.{name}": group for name, group in groups.items()}
    return node_allocatable(synthesize_changed(changes)["cluster"])


def test_the_smallest_instance_type_of_a_group_counts(further: dict[str, SimpleNamespace]) -> None:
    """Any of the group's instance types may be the one that AWS has."""
    assert further["mixed"] == further["main"]


def test_the_kubelet_reserves_less_of_each_further_core(further: dict[str, SimpleNamespace]) -> None:
    """EKS's nodes with 2, 4 and 32 vCPUs report these amounts as allocatable."""
    assert {name: further[name].cpu for name in ("two", "four", "big")} == {
        "two": 1930,
        "four": 3920,
        "big": 31850,
    }


def test_a_job_that_just_fits_brings_an_empty_group_its_first_node(example: Synthesized) -> None:
    """The check leaves room for what the autoscaler expects on a new node of a group without nodes.

    That is one kube-proxy of 100m more than the daemon sets' 150m. A steady group needs no new node for it.
    """
    expression = example["workloads"]["locals"]["largest_nodes_default"]["cpu"]["allocatable"]
    assert expression == (
        '${max(local.node_allocatable["big"].cpu - 250, local.node_allocatable["main"].cpu - 150)}'
    )


def test_plan_and_make_jobs_calculate_the_same_amounts(
    example: Synthesized, further: dict[str, SimpleNamespace]
) -> None:
    """`python -m jobs` has the formulas of the plan in Python."""
    groups = load_settings(PROJECT / "environments" / "example.yaml").cluster.node_groups
    sizes = {name: InstanceSize(*facts) for name, facts in INSTANCE_TYPES.items()}
    planned = node_allocatable(example["cluster"])
    assert {
        name: SimpleNamespace(**describe_group(name, group, sizes, monitoring_agent=False).allocatable)
        for name, group in groups.items()
    } == planned
    small = groups["main"].model_copy(update={"instance_types": ("m5.xlarge", "m5.large")})
    assert (
        SimpleNamespace(**describe_group("small", small, sizes, monitoring_agent=False).allocatable)
        == further["two"]
    )


def test_make_jobs_knows_the_sizes_of_instance_types() -> None:
    """Its table has what EC2 documents."""
    assert {name: known_sizes()[name] for name in INSTANCE_TYPES} == {
        name: InstanceSize(*facts) for name, facts in INSTANCE_TYPES.items()
    }
