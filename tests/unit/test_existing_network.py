"""The JSON of the network stack that uses an existing VPC."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.environments import Synthesized

ZONES = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
EXISTING = {
    "vpc_id": "vpc-0123456789abcdef0",
    "private_subnet_ids": [f"subnet-0a0000000000000{number:02}" for number in range(3)],
    "public_subnet_ids": [f"subnet-0b0000000000000{number:02}" for number in range(3)],
}


@pytest.fixture
def synthesize_existing(synthesize_changed: Callable[..., Synthesized]) -> Callable[..., Synthesized]:
    """Synthesize the example environment in an existing VPC, some of whose settings are changed."""

    def changed(**changes: Any) -> Synthesized:
        return synthesize_changed(
            {"network": {"availability_zones": ZONES, "existing": {**EXISTING, **changes}}}
        )

    return changed


def test_nothing_is_created(synthesize_existing: Callable[..., Synthesized]) -> None:
    """The stack has no resource: what it names is only read."""
    network = synthesize_existing()["network"]
    assert "resource" not in network
    assert network["data"]["aws_vpc"]["vpc"]["id"] == EXISTING["vpc_id"]


def test_the_other_stacks_do_not_know(
    synthesize_existing: Callable[..., Synthesized], example: Synthesized
) -> None:
    """Cluster and workloads are the same as on a VPC of the environment's own."""
    existing = synthesize_existing()
    assert existing["cluster"] == example["cluster"]
    assert existing["workloads"] == example["workloads"]


def test_the_outputs_are_those_of_any_network(
    synthesize_existing: Callable[..., Synthesized], example: Synthesized
) -> None:
    """Consumers find the same names and descriptions; lists are in the order of the zones."""
    outputs = synthesize_existing()["network"]["output"]
    described = {name: item["description"] for name, item in outputs.items()}
    assert described == {name: item["description"] for name, item in example["network"]["output"].items()}
    assert outputs["private_subnet_ids"]["value"] == [
        f"${{data.aws_subnet.private_subnet_{letter}.id}}" for letter in "abc"
    ]


def test_without_public_subnets_none_is_published(synthesize_existing: Callable[..., Synthesized]) -> None:
    """Public subnets are optional: the output is an empty list then."""
    network = synthesize_existing(public_subnet_ids=[])["network"]
    assert network["output"]["public_subnet_ids"]["value"] == []
    assert set(network["data"]["aws_subnet"]) == {f"private_subnet_{letter}" for letter in "abc"}


def test_no_data_waits_for_an_apply(synthesize_existing: Callable[..., Synthesized]) -> None:
    """Data sources refer to nothing but each other, so that all is known when planning."""
    network = synthesize_existing()["network"]
    assert "depends_on" not in json.dumps(network["data"])


def test_all_that_network_makes_would_be_forgotten(
    synthesize_existing: Callable[..., Synthesized], synthesize_changed: Callable[..., Synthesized]
) -> None:
    """An environment that made its VPC and then names one as existing never plans to destroy it."""
    made = synthesize_changed({"network.nat_gateways": "one_per_zone"})["network"]["resource"]
    removed = synthesize_existing()["network"]["removed"]
    assert {item["from"] for item in removed} == {f"{kind}.{name}" for kind in made for name in made[kind]}
    assert all(item["lifecycle"] == {"destroy": False} for item in removed)
