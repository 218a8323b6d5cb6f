"""Destroying: the last of the files, since nothing is left for others."""

import subprocess

import pytest

from tests.deployer_policy import find_missing, find_unused
from tests.emulator.project import Project

CHANGE = {
    "aws.tags": {"team": "platform"},
    "cluster.kubernetes_version": "1.36",
    "cluster.node_groups.main.labels": {"example.com/team": "platform"},
}


def test_a_stack_that_others_stand_on_is_not_destroyed_alone(deployed_by_cdktf: Project) -> None:
    """`cdktf destroy network` names the stacks to be destroyed first, and destroys nothing."""
    refused = deployed_by_cdktf.cdktf("destroy", "network", "--auto-approve")
    assert refused.returncode != 0
    assert "cluster" in refused.stdout + refused.stderr
    (vpc,) = deployed_by_cdktf.client("ec2").describe_vpcs(
        VpcIds=[deployed_by_cdktf.outputs("network")["vpc_id"]]
    )["Vpcs"]
    assert vpc["State"] == "available"


@pytest.fixture(scope="module")
def destroyed(deployed_by_cdktf: Project) -> subprocess.CompletedProcess[str]:
    """The end of a deployment that was changed before: its tags, its labels and its Kubernetes version."""
    with deployed_by_cdktf.changed(CHANGE):
        deployed_by_cdktf.apply("cluster")
    return deployed_by_cdktf.cdktf("destroy", "*", "--auto-approve")


def test_destroy_leaves_nothing(
    deployed_by_cdktf: Project, destroyed: subprocess.CompletedProcess[str]
) -> None:
    """`cdktf destroy '*'` takes the stacks down in the reverse order, and AWS holds none of them."""
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
    ec2 = deployed_by_cdktf.client("ec2")
    ours = [{"Name": "tag:environment", "Values": ["local"]}]
    assert deployed_by_cdktf.client("eks").list_clusters()["clusters"] == []
    assert ec2.describe_vpcs(Filters=ours)["Vpcs"] == []
    assert ec2.describe_subnets(Filters=ours)["Subnets"] == []
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert [
        role["RoleName"]
        for role in deployed_by_cdktf.client("iam").list_roles()["Roles"]
        if role["RoleName"].startswith("local-")
    ] == []
    locks = (
        deployed_by_cdktf.client("s3")
        .list_objects_v2(Bucket=deployed_by_cdktf.state_bucket)
        .get("Contents", [])
    )
    assert not any(item["Key"].endswith(".tflock") for item in locks)


@pytest.mark.usefixtures("destroyed")
def test_the_documented_permissions_suffice_and_none_is_unused(deployed_by_cdktf: Project) -> None:
    """All that Terraform asked of AWS from deploy to destroy is in docs/deployer_policy.json, and no more."""
    assert find_missing(deployed_by_cdktf.actions) == []
    assert find_unused(deployed_by_cdktf.actions) == []
