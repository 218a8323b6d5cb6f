"""The network stack's JSON, read as its users would."""

from collections.abc import Callable

from tests.conftest import Synthesized


def test_there_is_one_public_and_one_private_subnet_per_zone(example: Synthesized) -> None:
    """Three configured zones make three subnets of each kind."""
    subnets = example["network"]["resource"]["aws_subnet"].values()
    roles = ["elb" if "kubernetes.io/role/elb" in subnet["tags"] else "internal" for subnet in subnets]
    assert sorted(roles) == ["elb"] * 3 + ["internal"] * 3


def test_nat_gateways_can_be_one_per_zone(synthesize_changed: Callable[..., Synthesized]) -> None:
    """`nat_gateways: one_per_zone` makes as many as there are zones."""
    network = synthesize_changed({"network.nat_gateways": "one_per_zone"})["network"]
    assert len(network["resource"]["aws_nat_gateway"]) == 3
