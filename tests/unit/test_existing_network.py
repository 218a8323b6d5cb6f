"""The JSON of the network stack that uses an existing VPC."""

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest

from stacks.settings.network import EndpointService
from tests.environments import Synthesized

ZONES = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
EXISTING = {
    "vpc_id": "vpc-0123456789abcdef0",
    "private_subnet_ids": [f"subnet-0a0000000000000{number:02}" for number in range(3)],
    "public_subnet_ids": [f"subnet-0b0000000000000{number:02}" for number in range(3)],
}


@pytest.fixture
def synthesize_existing(synthesize_changed: Callable[..., Synthesized]) -> Callable[..., Synthesized]:
    """Synthesize the example environment in an existing VPC; keywords change the settings of `existing`."""

    def changed(**changes: Any) -> Synthesized:
        return synthesize_changed(
            {"network": {"availability_zones": ZONES, "existing": {**EXISTING, **changes}}}
        )

    return changed


def test_nothing_is_created(synthesize_existing: Callable[..., Synthesized]) -> None:
    """The stack has no resource, only data sources."""
    network = synthesize_existing()["network"]
    assert "resource" not in network
    assert network["data"]["aws_vpc"]["vpc"]["id"] == EXISTING["vpc_id"]


def test_the_other_stacks_are_the_same(
    synthesize_existing: Callable[..., Synthesized], example: Synthesized
) -> None:
    """Cluster and workloads do not differ from those in a VPC of the environment's own."""
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


def test_public_subnets_are_optional(synthesize_existing: Callable[..., Synthesized]) -> None:
    """Without public subnets the output is an empty list."""
    network = synthesize_existing(public_subnet_ids=[])["network"]
    assert network["output"]["public_subnet_ids"]["value"] == []
    assert set(network["data"]["aws_subnet"]) == {f"private_subnet_{letter}" for letter in "abc"}


def test_zones_that_eks_does_not_take_are_refused(
    synthesize_existing: Callable[..., Synthesized],
) -> None:
    """AWS tells the ID of a subnet's zone, since its letter differs from account to account."""
    for subnet in synthesize_existing()["network"]["data"]["aws_subnet"].values():
        conditions = [check["condition"] for check in subnet["lifecycle"]["postcondition"]]
        assert '${!contains(["use1-az3", "usw1-az2", "cac1-az3"], self.availability_zone_id)}' in conditions


def test_a_plan_warns_of_a_private_subnet_without_free_addresses(
    synthesize_existing: Callable[..., Synthesized],
) -> None:
    """Each private subnet has a check, which stops no plan; public subnets have none."""
    checks = synthesize_existing()["network"]["check"]
    conditions = {name: item["assert"][0]["condition"] for name, item in checks.items()}
    assert conditions == {
        f"free_addresses_{letter}": (
            f"${{data.aws_subnet.private_subnet_{letter}.available_ip_address_count >= 16}}"
        )
        for letter in "abc"
    }


def test_no_data_waits_for_an_apply(synthesize_existing: Callable[..., Synthesized]) -> None:
    """Data sources refer only to each other, so a plan knows all values."""
    network = synthesize_existing()["network"]
    assert "depends_on" not in json.dumps(network["data"])


def test_terraform_forgets_all_resources_of_an_own_vpc(
    synthesize_existing: Callable[..., Synthesized], synthesize_changed: Callable[..., Synthesized]
) -> None:
    """An environment that created its VPC and later names it as existing does not destroy it."""
    everything = {
        "network.nat_gateways": "one_per_zone",
        "network.flow_logs": {},
        "network.interface_endpoints": list(get_args(EndpointService)),
    }
    made = synthesize_changed(everything)["network"]["resource"]
    removed = synthesize_existing()["network"]["removed"]
    assert {item["from"] for item in removed} == {f"{kind}.{name}" for kind in made for name in made[kind]}
    assert all(item["lifecycle"] == {"destroy": False} for item in removed)
