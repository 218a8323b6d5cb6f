"""Addresses of what must not be destroyed and made anew by a rename.

A construct id is for ever: whoever changes one of these adds a `moved` block, or replaces the thing.
Node groups are not here, since they are replaced by design; nor is anything with a hash in its address.
"""

from itertools import chain

import pytest

from tests.environments import Synthesized

PINNED = {
    "network": {
        "aws_vpc.vpc",
        "aws_internet_gateway.internet_gateway",
        "aws_eip.nat_address_a",
        "aws_nat_gateway.nat_gateway_a",
        "aws_subnet.private_subnet_a",
        "aws_subnet.private_subnet_b",
        "aws_subnet.private_subnet_c",
        "aws_subnet.public_subnet_a",
        "aws_subnet.public_subnet_b",
        "aws_subnet.public_subnet_c",
        "aws_route_table.private_route_table_a",
        "aws_route_table.private_route_table_b",
        "aws_route_table.private_route_table_c",
        "aws_route_table.public_route_table",
    },
    "cluster": {
        "aws_eks_cluster.cluster",
        "aws_kms_key.secrets_key",
        "aws_cloudwatch_log_group.cluster_logs",
        "aws_iam_role.cluster_role",
        "aws_iam_role.cluster_admin_role",
        "aws_iam_role.node_role",
        "aws_eks_access_entry.cluster_admin_access",
        "aws_launch_template.launch_template_big",
        "aws_launch_template.launch_template_main",
    },
}


@pytest.mark.parametrize("stack", PINNED)
def test_what_holds_state_keeps_its_address(stack: str, example: Synthesized) -> None:
    """Each pinned resource of the example environment is where it was."""
    resources = example[stack]["resource"]
    addresses = {f"{kind}.{name}" for kind, named in resources.items() for name in named}
    assert PINNED[stack] - addresses == set()


@pytest.mark.parametrize("stack", PINNED)
def test_no_address_is_forgotten(stack: str, example: Synthesized) -> None:
    """Every resource of a kind that is pinned is pinned."""
    kinds = {address.partition(".")[0] for address in PINNED[stack]}
    resources = example[stack]["resource"]
    assert {f"{kind}.{name}" for kind in kinds for name in resources[kind]} == PINNED[stack]


@pytest.mark.parametrize("stack", PINNED)
def test_addresses_are_readable(stack: str, example: Synthesized) -> None:
    """Network and cluster are flat: an address is the construct's id, without path or hash."""
    for resource in chain.from_iterable(named.values() for named in example[stack]["resource"].values()):
        metadata = resource["//"]["metadata"]
        assert metadata["path"] == f"{stack}/{metadata['uniqueId']}"


def test_what_workloads_must_not_lose_keeps_its_place(example: Synthesized) -> None:
    """Inside a construct an address has a hash; what may not change is the path that it is made of."""
    kinds = ("aws_s3_bucket", "kubernetes_namespace_v1", "kubernetes_secret_v1", "helm_release")
    resources = example["workloads"]["resource"]
    paths = {item["//"]["metadata"]["path"] for kind in kinds for item in resources[kind].values()}
    assert paths == {
        "workloads/cache/bucket",
        "workloads/cluster_autoscaler/release",
        "workloads/runner_default/job_namespace",
        "workloads/runner_default/manager_namespace",
        "workloads/runner_default/release",
        "workloads/runner_default/token_secret",
    }
