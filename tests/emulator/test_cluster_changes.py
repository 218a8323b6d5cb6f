"""A deployed cluster gets another zone, is upgraded, is destroyed, and is deployed again under its name.

It has the settings that a platform team adds, too.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from plan_review.plan import read_plan
from stacks.iam import trust
from tests.deployer_policy import find_missing
from tests.emulator.project import Project, running_project
from tests.platform_settings import BOUNDARY, PLATFORM_SETTINGS

STACKS = ("network", "cluster")  # what a machine without Kubernetes deploys for real
ZONES = ["eu-central-1a", "eu-central-1b"]
SETTINGS = {
    "cluster.name": "changed",
    "cluster.kubernetes_version": "1.34",
    "cluster.addon_versions": {"coredns": "v1.11.3-eksbuild.1"},  # the newest Kubernetes that it fits is 1.34
    "network.availability_zones": ZONES,
    "cluster.node_groups": {
        "main": {
            "instance_types": ["m5.2xlarge"],
            "min_size": 1,
            "max_size": 3,
            "release_version": "1.34.2-20260520",
        }
    },
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """An environment of two zones with its network, in an account that has never used Auto Scaling."""
    # On an emulated AWS of its own, which needs no destroy at the end.
    with running_project(tmp_path_factory.mktemp("changed") / "project", aws_reattach) as project:
        environment = project.another("changed", SETTINGS | prepare_account(project))
        environment.apply("network")
        yield environment


@pytest.fixture(scope="module")
def refused(fresh: Project) -> str:
    """What the plan of the cluster says in this account."""
    assert fresh.terraform("cluster", "init").returncode == 0
    plan = fresh.plan("cluster")
    assert plan.returncode == 1, plan.stdout
    return plan.stderr


@pytest.fixture(scope="module")
def small(fresh: Project, refused: str) -> Project:
    """The same environment with its cluster, after the account got the role of Auto Scaling."""
    assert refused
    fresh.client("iam").create_role(  # ministack spells the role's name in another way than AWS
        RoleName="AWSServiceRoleForAutoScaling",
        Path="/aws-service-role/autoscaling.amazonaws.com/",
        AssumeRolePolicyDocument=trust({"Service": "autoscaling.amazonaws.com"}),
    )
    fresh.apply("cluster")
    return fresh


def test_a_key_for_volumes_needs_the_role_of_auto_scaling(refused: str) -> None:
    """The plan of an account without the role has the command that makes it."""
    assert "the account does not have the role that Auto Scaling uses the key with." in refused
    assert "aws iam create-service-linked-role --aws-service-name autoscaling.amazonaws.com" in refused


@pytest.mark.parametrize("stack", STACKS)
def test_a_second_plan_is_empty_with_the_settings_of_a_platform_team(small: Project, stack: str) -> None:
    """AWS answers with everything that the settings name, and the credential of Docker Hub is in no state."""
    assert small.planned_changes(stack) == {}
    assert small.token not in small.terraform(stack, "state", "pull").stdout


def test_aws_holds_what_the_settings_of_a_platform_team_name(small: Project) -> None:
    """Roles, keys, flow logs, endpoints, add-ons, repair and the cache of Docker Hub are in AWS."""
    cluster, settings = describe_cluster(small), small.settings.cluster
    assert cluster["roleArn"].endswith(":role/cicd/changed-cluster")
    role = small.client("iam").get_role(RoleName="changed-flow-logs")["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY
    assert cluster["encryptionConfig"][0]["provider"]["keyArn"] == settings.secrets_key_arn
    (grant,) = small.client("kms").list_grants(KeyId=settings.volumes_key_arn)["Grants"]
    assert grant["GranteePrincipal"].endswith("/AWSServiceRoleForAutoScaling")
    eks, ec2 = small.client("eks"), small.client("ec2")
    group = eks.describe_nodegroup(clusterName="changed", nodegroupName="main-a")["nodegroup"]
    assert group["nodeRepairConfig"] == {"enabled": True}
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=group["launchTemplate"]["id"])
    disk = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["BlockDeviceMappings"][0]["Ebs"]
    assert (disk["KmsKeyId"], disk["Iops"], disk["Throughput"]) == (settings.volumes_key_arn, 6000, 500)
    assert "eks-node-monitoring-agent" in eks.list_addons(clusterName="changed")["addons"]
    (flow_log,) = ec2.describe_flow_logs()["FlowLogs"]
    assert flow_log["DeliverLogsPermissionArn"] == role["Arn"]
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert len([item for item in endpoints if item["VpcEndpointType"] == "Interface"]) == 7
    (rule,) = small.client("ecr").describe_pull_through_cache_rules()["pullThroughCacheRules"]
    assert rule["ecrRepositoryPrefix"] == "changed-dockerhub"


def test_the_emulated_eks_starts_no_nodes_with_a_key_that_is_not_granted(small: Project) -> None:
    """Their instances would end at once, since Auto Scaling may not use the key of their volumes."""
    eks, ec2 = small.client("eks"), small.client("ec2")
    present = eks.describe_nodegroup(clusterName="changed", nodegroupName="main-a")["nodegroup"]
    key = small.client("kms").create_key()["KeyMetadata"]["Arn"]
    volume = {"DeviceName": "/dev/xvda", "Ebs": {"KmsKeyId": key, "Encrypted": True}}
    template = ec2.create_launch_template(
        LaunchTemplateName="locked", LaunchTemplateData={"BlockDeviceMappings": [volume]}
    )["LaunchTemplate"]
    with pytest.raises(ClientError, match=f"InvalidKMSKey.*{key}"):
        eks.create_nodegroup(
            clusterName="changed",
            nodegroupName="locked",
            launchTemplate={"id": template["LaunchTemplateId"]},
            **{name: present[name] for name in ("subnets", "nodeRole", "instanceTypes", "scalingConfig")},
        )
    ec2.delete_launch_template(LaunchTemplateId=template["LaunchTemplateId"])


def test_a_running_cluster_keeps_its_roles_and_its_key(small: Project) -> None:
    """Another path or another key for Secrets is refused, before anything is replaced or deleted."""
    key = f"arn:aws:kms:eu-central-1:000000000000:key/{uuid.UUID(int=1)}"
    with small.changed({"aws.role_path": "/other/", "cluster.secrets_key_arn": key}):
        plan = small.plan("cluster")
    assert plan.returncode == 1
    assert "aws.role_path: /other/: the running cluster has the role arn:aws:iam::" in plan.stderr
    created_with = f"the running cluster was created with {small.settings.cluster.secrets_key_arn}, and EKS"
    assert f"cluster.secrets_key_arn: {key}: {created_with}" in plan.stderr


def test_the_settings_of_a_running_cluster_keep_its_role_path_and_its_key(small: Project) -> None:
    """Without the path the cluster would be replaced, and without the key the tag would go that names it."""
    with small.changed({"aws.role_path": None, "cluster.secrets_key_arn": None}):
        plan = small.plan("cluster")
    assert plan.returncode == 1
    assert "aws.role_path: not set: the running cluster has the role arn:aws:iam::" in plan.stderr
    created_with = f"the running cluster was created with {small.settings.cluster.secrets_key_arn}, and EKS"
    assert f"cluster.secrets_key_arn: not set: {created_with}" in plan.stderr


@pytest.fixture(scope="module")
def grown(small: Project) -> Project:
    """The same environment with a third zone, its network deployed."""
    environment = small.another("changed", {"network.availability_zones": [*ZONES, "eu-central-1c"]})
    environment.apply("network")
    return environment


def test_an_appended_zone_gets_node_groups_and_leaves_the_control_plane(grown: Project) -> None:
    """The plan adds the zone's group, divides the sizes anew, and does not touch the cluster; it applies."""
    before = describe_cluster(grown)
    changes = grown.planned_changes("cluster")
    actions = {address: item["change"]["actions"] for address, item in changes.items()}
    assert actions.pop("aws_eks_node_group.node_group_main-c") == ["create"]
    assert actions.pop("aws_eks_node_group.node_group_main-a") == ["update"]  # 2 + 1 nodes become 1 + 1 + 1
    assert {address.partition(".")[0] for address in actions} == {"aws_autoscaling_group_tag"}
    assert all(action == ["create"] for action in actions.values())
    applied = grown.terraform("cluster", "apply", "-input=false", "test.tfplan")
    assert applied.returncode == 0, applied.stderr
    assert describe_cluster(grown)["resourcesVpcConfig"] == before["resourcesVpcConfig"]
    (subnet,) = grown.client("eks").describe_nodegroup(clusterName="changed", nodegroupName="main-c")[
        "nodegroup"
    ]["subnets"]
    assert subnet == grown.outputs("network")["private_subnet_ids"][2]
    assert grown.planned_changes("cluster") == {}


def test_the_emulated_eks_moves_no_control_plane_to_other_zones(grown: Project) -> None:
    """Like EKS it refuses a set of subnets that is in more zones or in fewer."""
    subnets = grown.outputs("network")["private_subnet_ids"]
    for others in (subnets, subnets[:1]):
        with pytest.raises(ClientError, match=r"InvalidParameterException.*should belong to the exact set"):
            grown.client("eks").update_cluster_config(
                name="changed", resourcesVpcConfig={"subnetIds": others}
            )


def test_a_network_without_a_subnet_of_the_control_plane_is_refused(grown: Project) -> None:
    """The plan fails before it replaces node groups that could not reach the control plane."""
    eks, outputs = grown.client("eks"), grown.outputs("network")
    first, second, _ = outputs["private_subnet_ids"]
    another = grown.client("ec2").create_subnet(
        VpcId=outputs["vpc_id"], AvailabilityZone=ZONES[0], CidrBlock="10.0.200.0/24"
    )["Subnet"]["SubnetId"]
    eks.update_cluster_config(name="changed", resourcesVpcConfig={"subnetIds": [another, second]})
    try:
        plan = grown.plan("cluster")
    finally:
        eks.update_cluster_config(name="changed", resourcesVpcConfig={"subnetIds": [first, second]})
        grown.client("ec2").delete_subnet(SubnetId=another)
    assert plan.returncode == 1
    assert f"network: the control plane is in {another}, which the network does not have." in plan.stderr


def test_an_addon_that_does_not_fit_stops_an_upgrade_and_the_plan_warns_of_it(grown: Project) -> None:
    """The add-on goes first; then control plane, kube-proxy and nodes, in this order, in one deployment."""
    eks = grown.client("eks")
    coredns = {"clusterName": "changed", "addonName": "coredns"}
    newer = {"coredns": "v1.13.2-eksbuild.21", "kube-proxy": "v1.35.3-eksbuild.21"}
    with grown.changed(
        {
            "cluster.kubernetes_version": "1.35",
            "cluster.addon_versions": newer,
            "cluster.node_groups.main.release_version": "recommended",
        }
    ):
        assert grown.plan("cluster").returncode == 0
        plan = read_plan(grown.terraform("cluster", "show", "-json", "test.tfplan").stdout)
        (failed,) = plan.failed_checks
        assert "cluster.addon_versions: {coredns: v1.13.2-eksbuild.21}" in failed
        (release,) = {
            change.after["release_version"] for change in plan.changes if change.type == "aws_eks_node_group"
        }
        assert release == "1.35.7-20260911"
        # Terraform updates the control plane before the add-ons: the new version of coredns comes too late.
        refused = grown.terraform("cluster", "apply", "-input=false", "-no-color", "test.tfplan")
        assert refused.returncode == 1
        assert "InvalidStateException: Upgrade readiness issues detected" in " ".join(
            refused.stderr.replace("│", " ").split()
        )
        eks.update_addon(**coredns, addonVersion=newer["coredns"])
        grown.apply("cluster")  # the emulated EKS refuses another order of the rest
    assert describe_cluster(grown)["version"] == "1.35"
    group = eks.describe_nodegroup(clusterName="changed", nodegroupName="main-a")["nodegroup"]
    assert (group["version"], group["releaseVersion"]) == ("1.35", release)


def test_a_destroyed_cluster_is_deployed_again_under_its_name(grown: Project) -> None:
    """The next deployment adopts the log group that EKS makes anew after destroy, and sets its retention."""
    grown.destroy("cluster")
    assert [group.get("retentionInDays") for group in log_groups(grown)] == [None]
    grown.apply("cluster")
    assert [group["retentionInDays"] for group in log_groups(grown)] == [30]
    assert grown.planned_changes("cluster") == {}
    # Now all zones of the settings are the control plane's.
    subnets = describe_cluster(grown)["resourcesVpcConfig"]["subnetIds"]
    assert set(subnets) == set(grown.outputs("network")["private_subnet_ids"])


def test_the_documented_permissions_suffice_for_the_settings_of_a_platform_team(small: Project) -> None:
    """docs/deployer_policy.json has all that Terraform asked of AWS so far."""
    assert find_missing(small.actions) == []


def test_the_log_group_of_another_environment_is_not_adopted(grown: Project) -> None:
    """The plan of an environment whose cluster name is taken creates a log group, which AWS will refuse."""
    other = grown.another("other", {})
    grown.client("s3").copy_object(
        Bucket=grown.state_bucket,
        Key="other/network.tfstate",
        CopySource=f"{grown.state_bucket}/changed/network.tfstate",
    )
    assert other.terraform("cluster", "init").returncode == 0
    plan = other.plan("cluster")
    assert "aws_cloudwatch_log_group.cluster_logs will be created" in plan.stdout, plan.stderr


def prepare_account(project: Project) -> dict[str, Any]:
    """Make what the settings of a platform team name, and return these settings."""
    kms, secrets = project.client("kms"), project.client("secretsmanager")
    secrets_key, volumes_key = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    credential = secrets.create_secret(Name="ecr-pullthroughcache/hub", SecretString=project.token)["ARN"]
    return PLATFORM_SETTINGS | {
        "cluster.secrets_key_arn": secrets_key,
        "cluster.volumes_key_arn": volumes_key,
        "cluster.docker_hub_credential_arn": credential,
    }


def log_groups(project: Project) -> list[dict[str, Any]]:
    """Return the log groups of the cluster's control plane."""
    found = project.client("logs").describe_log_groups(logGroupNamePrefix="/aws/eks/changed/")
    groups: list[dict[str, Any]] = found["logGroups"]
    return groups


def describe_cluster(project: Project) -> dict[str, Any]:
    """Return the cluster as EKS describes it."""
    cluster: dict[str, Any] = project.client("eks").describe_cluster(name="changed")["cluster"]
    return cluster
