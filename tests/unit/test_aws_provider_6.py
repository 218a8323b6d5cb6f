"""AWS provider 6.x as a choice: the stacks are valid for it, and some settings need it.

The fixtures have the arguments and attributes of the provider's schema (tools/generate_aws_arguments.py).
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stacks.settings.load import PROJECT
from stacks.versions import AWS_PROVIDER_6
from tests.environments import Mistakes, Synthesized
from tests.platform_settings import PLATFORM_SETTINGS
from tests.unit.test_existing_network import EXISTING, ZONES

FIXTURES = PROJECT / "tests" / "fixtures" / "aws_provider"
# What Terraform itself knows in a resource, a data source and a provider, and cdktf's comment.
META_ARGUMENTS = {
    "//",
    "depends_on",
    "count",
    "for_each",
    "provider",
    "lifecycle",
    "provisioner",
    "connection",
}
REFERENCE = re.compile(
    r"\b((?:data\.|ephemeral\.)?aws_[a-z0-9_]+)\.[A-Za-z][A-Za-z0-9_-]*((?:\[[^\[\]]*\]|\.[a-z_][a-z0-9_]*)*)"
)
EVERYTHING: dict[str, Any] = {
    **PLATFORM_SETTINGS,
    "alarms": {"emails": ["ops@example.com"]},
    "cluster.enable_irsa": True,
    "network.nat_gateways": "one_per_zone",
    "runners.default.cache_multipart": True,
    "runners.default.job_policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
}
ONLY_IN_6: dict[str, Any] = {
    "cluster.deletion_protection": True,
    "cluster.scheduler_scoring": "MostAllocated",
    "cluster.node_groups.main.update_strategy": "MINIMAL",
    "cluster.node_groups.main.warm_pool": {"max_prepared": 3, "min_size": 1},
}


@pytest.fixture(scope="module")
def chosen(synthesize_changed: Callable[..., Synthesized]) -> Synthesized:
    """The example environment with every kind of resource, on AWS provider 6.x."""
    return synthesize_changed({**EVERYTHING, **ONLY_IN_6, "versions.aws_provider": AWS_PROVIDER_6})


def _read_schema(version: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((FIXTURES / f"{version}.json").read_text())
    return schema


def _blocks(stacks: Synthesized) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield place, type and arguments of everything that the AWS provider reads."""
    for stack, document in stacks.items():
        for kind, prefix in (("resource", ""), ("data", "data."), ("ephemeral", "ephemeral.")):
            for type_, named in document.get(kind, {}).items():
                for name, block in named.items() if type_.startswith("aws_") else ():
                    yield f"{stack}: {type_}.{name}", f"{prefix}{type_}", block
        for provider in document["provider"]["aws"]:
            yield f"{stack}: provider", "provider", provider


def _find_wrong_arguments(place: str, block: Any, known: dict[str, Any]) -> Iterator[str]:
    """Yield arguments that the schema does not have, and those that it requires and that are missing."""
    for item in block if isinstance(block, list) else [block]:
        if not isinstance(item, dict):
            continue  # an expression, or a list of plain values
        yield from (
            f"{place}.{name} is missing" for name in known if name[-1] == "!" and name[:-1] not in item
        )
        for name, value in item.items():
            inner = known.get(name, known.get(f"{name}!"))
            if inner is None:
                yield f"{place}.{name} is unknown"
            elif inner:
                yield from _find_wrong_arguments(f"{place}.{name}", value, inner)


def _find_wrong_references(text: str, schema: dict[str, Any]) -> Iterator[str]:
    """Yield references to attributes that the schema does not have."""
    for kind, path in set(REFERENCE.findall(text)):
        if kind not in schema:
            continue
        known = schema[kind]["attributes"]
        for step in re.findall(r"\.([a-z_][a-z0-9_]*)", path):
            if step not in known:
                yield f"{kind}{path}: {step} is unknown"
                break
            known = known[step]
            if not known:
                break  # a plain value; what follows is a key of a map


def _find_wrong(stacks: Synthesized, schema: dict[str, Any]) -> list[str]:
    wrong = list(_find_wrong_references(json.dumps(dict(stacks)), schema))
    for place, kind, block in _blocks(stacks):
        given = {name: value for name, value in block.items() if name not in META_ARGUMENTS}
        if kind in schema or not kind.startswith("ephemeral."):  # the bindings of 6.25.0 have no ephemeral
            wrong += _find_wrong_arguments(place, given, schema[kind]["arguments"])
    return wrong


def test_the_stacks_are_valid_for_aws_provider_6(
    chosen: Synthesized, synthesize_changed: Callable[..., Synthesized]
) -> None:
    """The provider has every argument and attribute that is used, and is given all that it requires."""
    existing = synthesize_changed({"network": {"availability_zones": ZONES, "existing": EXISTING}})
    for stacks in (chosen, existing):
        assert _find_wrong(stacks, _read_schema(AWS_PROVIDER_6)) == []


def test_the_newest_bindings_of_cdktf_lack_only_what_the_settings_name(chosen: Synthesized) -> None:
    """These bindings, 21.22.1, are AWS provider 6.25.0. The settings refuse with it what it does not have."""
    unknown = {item.rpartition(".")[2] for item in _find_wrong(chosen, _read_schema("6.25.0"))}
    assert unknown == {
        f"{name} is unknown" for name in ("kube_scheduler_config", "update_strategy", "warm_pool_config")
    }


def test_a_setting_that_only_aws_provider_6_has_is_in_the_json(chosen: Synthesized) -> None:
    """The cluster and each part of the node group have it, and no other group."""
    resources = chosen["cluster"]["resource"]
    cluster = resources["aws_eks_cluster"]["cluster"]
    assert cluster["deletion_protection"] is True
    assert cluster["kube_scheduler_config"]["node_resources_fit"]["scoring_strategy"] == {
        "type": "MostAllocated",
        "resource": [{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}],
    }
    for name, group in resources["aws_eks_node_group"].items():
        is_main = "_main" in name
        assert ("warm_pool_config" in group) == is_main
        assert ("update_strategy" in group["update_config"]) == is_main
    assert resources["aws_eks_node_group"]["node_group_main-a"]["warm_pool_config"] == {
        "max_group_prepared_capacity": 3,
        "min_size": 1,
        "pool_state": "STOPPED",
        "reuse_on_scale_in": False,
    }


def test_settings_of_a_newer_aws_provider_are_refused(mistakes: Mistakes) -> None:
    """The message names the setting, its value, the provider, and the version that is needed."""
    lines = mistakes({**ONLY_IN_6, "versions.aws_provider": "6.8.0"})
    assert [line.split(": ")[1] for line in lines] == [*ONLY_IN_6]
    by_default = mistakes(ONLY_IN_6)
    assert len(by_default) == len(ONLY_IN_6)
    assert by_default[0] == (
        "example.yaml: cluster.deletion_protection: true: must be left out with AWS provider 5.100.0, which "
        "does not know it; or set versions.aws_provider to 6.9.0 or newer"
    )
    since = [line.rpartition(" to ")[2].partition(" ")[0] for line in lines]
    assert since == ["6.9.0", AWS_PROVIDER_6, AWS_PROVIDER_6, AWS_PROVIDER_6]


def test_a_warm_pool_of_spot_nodes_is_refused(mistakes: Mistakes) -> None:
    """EC2 Auto Scaling refuses it."""
    group = "cluster.node_groups.main"
    pool = {f"{group}.capacity_type": "SPOT", f"{group}.warm_pool": {"max_prepared": 1}}
    (line,) = mistakes({**pool, "versions.aws_provider": AWS_PROVIDER_6})
    assert line.startswith(f"example.yaml: {group}.warm_pool: ")
    assert line.endswith("must not be beside capacity_type: SPOT")
