"""Synthesized stacks, and Terraform in their folders."""

import json
from pathlib import Path

import pytest

from deployment.terraform import TerraformError, read_stacks
from tests.environments import STACKS, Synthesized


@pytest.fixture
def output(example: Synthesized, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the synthesized example environment."""
    assert example
    return next(tmp_path_factory.getbasetemp().glob("example*"))


def test_stacks_come_in_the_order_in_which_they_read_each_other(output: Path) -> None:
    """The order is network, cluster, workloads, whatever the order in cdktf's manifest."""
    assert tuple(stack.name for stack in read_stacks(output)) == STACKS


def test_a_missing_dependency_is_an_error(tmp_path: Path) -> None:
    """A manifest with a stack whose dependency is missing ends in a message."""
    stacks = {"cluster": {"workingDirectory": "stacks/cluster", "dependencies": ["network"]}}
    (tmp_path / "manifest.json").write_text(json.dumps({"stacks": stacks}))
    with pytest.raises(TerraformError, match="the stack network is missing"):
        read_stacks(tmp_path)


def test_only_outputs_that_are_read_count(output: Path) -> None:
    """The cluster reads the private subnets, and does not wait for the addresses of the NAT gateways."""
    cluster = read_stacks(output)[1]
    read = cluster.find_outputs_read("network")
    assert "private_subnet_ids" in read
    assert "nat_public_ips" not in read
