"""Addresses of resources that a rename must not destroy and create again.

A construct id never changes: a change of one of these needs a `moved` block, or it replaces the resource.
Not here: node groups, which are replaced by design, and addresses with a hash.
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
def test_stateful_resources_keep_their_addresses(stack: str, example: Synthesized) -> None:
    """Each pinned resource of the example environment has its address."""
    resources = example[stack]["resource"]
    addresses = {f"{kind}.{name}" for kind, named in resources.items() for name in named}
    assert PINNED[stack] - addresses == set()


@pytest.mark.parametrize("stack", PINNED)
def test_every_address_of_a_pinned_type_is_pinned(stack: str, example: Synthesized) -> None:
    """A new resource of one of these types must be added to the list."""
    kinds = {address.partition(".")[0] for address in PINNED[stack]}
    resources = example[stack]["resource"]
    assert {f"{kind}.{name}" for kind in kinds for name in resources[kind]} == PINNED[stack]


@pytest.mark.parametrize("stack", PINNED)
def test_addresses_have_no_hash(stack: str, example: Synthesized) -> None:
    """Network and cluster are flat: an address is the construct's id, without path or hash."""
    for resource in chain.from_iterable(named.values() for named in example[stack]["resource"].values()):
        metadata = resource["//"]["metadata"]
        assert metadata["path"] == f"{stack}/{metadata['uniqueId']}"


def test_stateful_workloads_keep_their_paths(example: Synthesized) -> None:
    """An address inside a construct has a hash of the construct's path, so the path must not change."""
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
