"""An environment of a released version keeps what can't be made again, judged by the synthesized JSON.

`make released` has written the JSON of each released version. A test in tests/emulator deploys them
(`make test-long`); this one takes no time.
"""

import json
from typing import Any

import pytest

from local_aws.rehearsal import generate
from stacks import STACKS
from tests.environments import RELEASES, Synthesized, read_released

# The arguments whose change replaces a resource: "Forces new resource" in the documentation of AWS provider
# 5.100.0, and what a plan of that provider names in `replace_paths`.
CREATE_ONLY = {
    "aws_cloudwatch_log_group": ["name", "log_group_class"],
    "aws_eip": ["domain"],
    "aws_eks_access_entry": ["cluster_name", "principal_arn", "type"],
    "aws_eks_cluster": [
        "access_config.bootstrap_cluster_creator_admin_permissions",
        "bootstrap_self_managed_addons",
        "encryption_config",  # its removal
        "kubernetes_network_config",
        "name",
        "role_arn",
    ],
    "aws_eks_node_group": [
        "ami_type",
        "capacity_type",
        "cluster_name",
        "disk_size",
        "instance_types",
        "launch_template.id",
        "launch_template.name",
        "node_group_name",
        "node_role_arn",
        "remote_access",
        "subnet_ids",
    ],
    "aws_eks_pod_identity_association": ["cluster_name", "namespace", "service_account"],
    "aws_iam_role": ["name", "path"],
    "aws_internet_gateway": [],
    "aws_kms_key": ["customer_master_key_spec", "key_usage", "multi_region"],
    "aws_launch_template": ["name"],
    "aws_nat_gateway": ["allocation_id", "connectivity_type", "subnet_id"],
    "aws_route_table": ["vpc_id"],
    "aws_s3_bucket": ["bucket", "object_lock_enabled"],
    "aws_subnet": ["availability_zone", "cidr_block", "vpc_id"],
    "aws_vpc": ["cidr_block", "instance_tenancy"],
    "aws_vpc_endpoint": ["service_name", "vpc_endpoint_type", "vpc_id"],
}
# Terraform may make these again: nodes and jobs do not notice it.
REPLACEABLE = {
    "aws_autoscaling_group_tag",
    "aws_default_security_group",
    "aws_eks_access_policy_association",
    "aws_eks_addon",
    "aws_iam_role_policy",
    "aws_iam_role_policy_attachment",
    "aws_kms_alias",
    "aws_route",
    "aws_route_table_association",
    "aws_s3_bucket_lifecycle_configuration",
    "aws_s3_bucket_policy",
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_server_side_encryption_configuration",
    "kubernetes_limit_range_v1",
    "kubernetes_network_policy_v1",
    "kubernetes_pod_disruption_budget_v1",
    "kubernetes_priority_class_v1",
    "kubernetes_resource_quota_v1",
}


def find_create_only() -> dict[str, list[str]]:
    """Return the create-only arguments by type: of the AWS provider from above, of the others from facts."""
    schema = json.loads(generate.SCHEMA.read_text())
    rehearsed = {
        kind: [
            path.removeprefix(f"{kind}.")
            for path, item in generate.walk(kind, resource["block"])
            if item.get("replace")
        ]
        for provider in schema.values()
        for kind, resource in provider["resource_schemas"].items()
        if kind not in REPLACEABLE
    }
    return CREATE_ONLY | rehearsed


def find_value(arguments: Any, path: str) -> Any:
    """Return the value of an argument by its path, or None; an argument with a path is in a block."""
    for name in path.split("."):
        arguments = arguments.get(name) if isinstance(arguments, dict) else None
    return arguments


@pytest.mark.parametrize("release", RELEASES)
def test_every_type_of_a_released_version_is_judged(release: str) -> None:
    """A type is in one of the two lists, or its provider is rehearsed."""
    kinds = {kind for stack in read_released(release).values() for kind in stack["resource"]}
    assert kinds - find_create_only().keys() - REPLACEABLE == set()


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("stack", STACKS)
def test_an_upgrade_makes_no_stateful_resource_again(release: str, stack: str, local: Synthesized) -> None:
    """Each stateful resource of a released version has its address and its create-only arguments."""
    released, now = read_released(release)[stack]["resource"], local[stack]["resource"]
    judged = 0
    for kind, paths in find_create_only().items():
        for name, arguments in released.get(kind, {}).items():
            assert name in now.get(kind, {}), f"{kind}.{name}: an upgrade would destroy it"
            for path in paths:
                before, after = find_value(arguments, path), find_value(now[kind][name], path)
                assert after == before, f"{kind}.{name}.{path}: an upgrade would replace it"
            judged += 1
    assert judged
