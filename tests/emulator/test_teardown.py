"""Destroying: the last of the files, since nothing is left for others."""

from tests.emulator.project import Project


def test_a_stack_that_others_stand_on_is_not_destroyed_alone(deployed: Project) -> None:
    """`cdktf destroy network` names the stacks to be destroyed first, and destroys nothing."""
    refused = deployed.cdktf("destroy", "network", "--auto-approve")
    assert refused.returncode != 0
    assert "cluster" in refused.stdout + refused.stderr
    (vpc,) = deployed.client("ec2").describe_vpcs(VpcIds=[deployed.outputs("network")["vpc_id"]])["Vpcs"]
    assert vpc["State"] == "available"


def test_destroy_leaves_nothing(deployed: Project) -> None:
    """`cdktf destroy '*'` takes the stacks down in the reverse order, and AWS holds none of them."""
    done = deployed.cdktf("destroy", "*", "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    ec2 = deployed.client("ec2")
    ours = [{"Name": "tag:environment", "Values": ["local"]}]
    assert deployed.client("eks").list_clusters()["clusters"] == []
    assert ec2.describe_vpcs(Filters=ours)["Vpcs"] == []
    assert ec2.describe_subnets(Filters=ours)["Subnets"] == []
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert [
        role["RoleName"]
        for role in deployed.client("iam").list_roles()["Roles"]
        if role["RoleName"].startswith("local-")
    ] == []
    locks = deployed.client("s3").list_objects_v2(Bucket=deployed.state_bucket).get("Contents", [])
    assert not any(item["Key"].endswith(".tflock") for item in locks)
