"""The JSON of an environment with the rules of a platform team, and the values that the settings refuse."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from jobs.instance_sizes import known_sizes
from jobs.scheduling import describe_group
from stacks.settings.load import PROJECT, load_settings
from tests.environments import Mistakes, Synthesized
from tests.platform_settings import BOUNDARY, CREDENTIAL, PLATFORM_SETTINGS, SECRETS_KEY, VOLUMES_KEY


@pytest.fixture(scope="module")
def stacks(synthesize_changed: Callable[..., Synthesized]) -> Synthesized:
    """The example environment with all of these settings, and with each kind of role."""
    roles = {
        "runners.default.cache_multipart": True,
        "runners.default.job_policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
    }
    return synthesize_changed(PLATFORM_SETTINGS | roles)


def test_every_role_has_the_boundary_and_the_path(stacks: Synthesized) -> None:
    """No stack makes a role outside of the rules of the account."""
    roles = [role for stack in stacks.values() for role in stack["resource"].get("aws_iam_role", {}).values()]
    names = {role["name"].removeprefix("example-") for role in roles}
    assert names >= {"cluster", "node", "cluster-admin", "cluster-autoscaler", "runner-default"}
    assert names >= {"cache-default", "jobs-default"}
    assert {(role["permissions_boundary"], role["path"]) for role in roles} == {(BOUNDARY, "/cicd/")}


@pytest.mark.parametrize("path", ["cicd", "/cicd", "cicd/", "//", "/ci cd/"])
def test_a_role_path_begins_and_ends_with_a_slash(mistakes: Mistakes, path: str) -> None:
    """IAM refuses other paths."""
    (line,) = mistakes({"aws.role_path": path})
    assert line.startswith(f'example.yaml: aws.role_path: "{path}": not of the accepted form')


def test_the_boundary_is_of_this_account(mistakes: Mistakes) -> None:
    """IAM takes no policy of another account."""
    (line,) = mistakes({"aws.permissions_boundary_arn": "arn:aws:iam::999999999999:policy/boundary"})
    assert line.startswith("example.yaml: aws.permissions_boundary_arn: ")
    assert "must be a policy of AWS or of this account, arn:aws:iam::123456789012:policy/…" in line


def test_a_key_of_the_account_encrypts_secrets_instead_of_a_new_one(stacks: Synthesized) -> None:
    """The cluster stack makes no key, and the cluster's tag tells later plans which key it has."""
    resources = stacks["cluster"]["resource"]
    assert "aws_kms_key" not in resources
    (cluster,) = resources["aws_eks_cluster"].values()
    assert cluster["encryption_config"]["provider"]["key_arn"] == SECRETS_KEY
    assert cluster["tags"] == {"secrets-key-arn": SECRETS_KEY}


def test_auto_scaling_may_use_the_key_of_the_volumes_before_a_node_starts(stacks: Synthesized) -> None:
    """Each launch template names the key, and each node group waits for the grant."""
    resources = stacks["cluster"]["resource"]
    ((name, grant),) = resources["aws_kms_grant"].items()
    assert grant["key_id"] == VOLUMES_KEY
    assert {"CreateGrant", "Decrypt", "GenerateDataKeyWithoutPlaintext"} <= set(grant["operations"])
    assert {disk["kms_key_id"] for disk in disks(stacks).values()} == {VOLUMES_KEY}
    groups = resources["aws_eks_node_group"].values()
    assert all(f"aws_kms_grant.{name}" in group["depends_on"] for group in groups)


def test_the_disk_of_a_group_has_its_own_speed(stacks: Synthesized) -> None:
    """A group without these settings has EBS's defaults."""
    main, big = disks(stacks)["main"], disks(stacks)["big"]
    assert (main["iops"], main["throughput"]) == (6000, 500)
    assert "iops" not in big
    assert "throughput" not in big


def disks(stacks: Synthesized) -> dict[str, dict[str, Any]]:
    """Return the root volume of each launch template, by the node group's name in the settings."""
    return {
        name.removeprefix("launch_template_"): template["block_device_mappings"][0]["ebs"]
        for name, template in stacks["cluster"]["resource"]["aws_launch_template"].items()
    }


@pytest.mark.parametrize("setting", ["secrets_key_arn", "volumes_key_arn"])
@pytest.mark.parametrize(
    ("arn", "message"),
    [
        ("arn:aws:kms:eu-central-1:123456789012:alias/nodes", "not of the accepted form"),
        (SECRETS_KEY.replace("eu-central-1", "eu-west-1"), "must be of the region eu-central-1"),
    ],
)
def test_a_key_is_named_by_its_arn_in_the_region(
    mistakes: Mistakes, setting: str, arn: str, message: str
) -> None:
    """An alias can be moved to another key, and EBS uses no key of another region."""
    (line,) = mistakes({f"cluster.{setting}": arn})
    assert line.startswith(f'example.yaml: cluster.{setting}: "{arn}": {message}')


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"disk_iops": 2999}, "disk_iops: 2999: must be at least 3000"),
        (
            {"disk_size_gib": 20, "disk_iops": 10001},
            "disk_iops: 10001: must be at most 10000, 500 for each of the 20 GiB",
        ),
        (
            {"disk_throughput_mib_per_second": 751},
            "disk_throughput_mib_per_second: 751: must be at most 750, a quarter of the volume's 3000 IOPS",
        ),
    ],
)
def test_a_disk_that_ec2_refuses_is_refused(
    mistakes: Mistakes, changes: dict[str, int], message: str
) -> None:
    """EC2 would refuse the launch template's instances, one after the other."""
    prefix = "cluster.node_groups.main"
    (line,) = mistakes({f"{prefix}.{name}": value for name, value in changes.items()})
    assert line.startswith(f"example.yaml: {prefix}.{message}")


def test_eks_repairs_nodes_with_the_help_of_the_agent(stacks: Synthesized) -> None:
    """Every node group is repaired, and the add-on finds more faults than the kubelet reports."""
    resources = stacks["cluster"]["resource"]
    groups = resources["aws_eks_node_group"].values()
    assert all(group["node_repair_config"] == {"enabled": True} for group in groups)
    assert "eks-node-monitoring-agent" in {item["addon_name"] for item in resources["aws_eks_addon"].values()}


def test_a_plan_that_upgrades_warns_of_an_old_agent(stacks: Synthesized) -> None:
    """It is one of the add-ons that go before the control plane."""
    read = stacks["cluster"]["data"]["aws_eks_addon"]["deployed_addon"]
    assert '"coredns","eks-node-monitoring-agent"]' in read["for_each"].replace(" ", "")


def test_the_capacity_check_leaves_room_for_the_agent(stacks: Synthesized) -> None:
    """The plan and `make jobs` take its requests from what a job can have: 10m CPU and 30 MiB."""
    largest = stacks["workloads"]["locals"]["largest_nodes_default"]
    assert 'local.node_allocatable["main"].cpu - 160' in largest["cpu"]["allocatable"]
    assert 'local.node_allocatable["main"].memory - 30' in largest["memory"]["allocatable"]
    settings = load_settings(PROJECT / "environments" / "example.yaml").cluster.node_groups["main"]
    group = describe_group("main", settings, known_sizes(), monitoring_agent=True)
    taken = {key: group.allocatable[key] - group.room[key] for key in group.allocatable}
    assert taken == {"cpu": 160, "memory": 30, "ephemeral_storage": 0}


def test_a_version_of_an_addon_that_is_not_installed_is_refused(mistakes: Mistakes) -> None:
    """The version alone would install nothing."""
    (line,) = mistakes({"cluster.addon_versions": {"eks-node-monitoring-agent": "v1.7.0-eksbuild.1"}})
    assert "must be left out, or cluster.node_monitoring_agent be true" in line


def test_the_cni_takes_fewer_spare_addresses(stacks: Synthesized) -> None:
    """The targets are text, as the add-on's schema wants them; network policies stay on."""
    (cni,) = (
        addon
        for addon in stacks["cluster"]["resource"]["aws_eks_addon"].values()
        if addon["addon_name"] == "vpc-cni"
    )
    assert json.loads(cni["configuration_values"]) == {
        "enableNetworkPolicy": "true",
        "env": {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "12"},
    }


@pytest.mark.parametrize("name", ["warm_ip_target", "minimum_ip_target"])
def test_the_targets_of_the_cni_are_set_together(mistakes: Mistakes, name: str) -> None:
    """One alone would make many requests to EC2, or keep no address for the next pod."""
    (line,) = mistakes({f"cluster.{name}": 5})
    assert f"must be set together with {name}" in line


def test_flow_logs_are_kept_for_a_time_and_written_by_their_own_role(stacks: Synthesized) -> None:
    """The role may write to this one log group, and only the account's own flow logs may use it."""
    resources = stacks["network"]["resource"]
    ((group_name, group),) = resources["aws_cloudwatch_log_group"].items()
    (flow_log,) = resources["aws_flow_log"].values()
    (role,) = resources["aws_iam_role"].values()
    (permissions,) = resources["aws_iam_role_policy"].values()
    assert (group["retention_in_days"], flow_log["traffic_type"]) == (90, "REJECT")
    assert flow_log["log_destination"] == f"${{aws_cloudwatch_log_group.{group_name}.arn}}"
    (trusted,) = json.loads(role["assume_role_policy"])["Statement"]
    assert trusted["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert trusted["Condition"]["StringEquals"].keys() == {"aws:SourceAccount"}
    writes, _ = json.loads(permissions["policy"])["Statement"]
    assert writes["Resource"] == f"${{aws_cloudwatch_log_group.{group_name}.arn}}:*"


def test_flow_logs_may_go_to_a_bucket_of_the_account(
    synthesize_changed: Callable[..., Synthesized], mistakes: Mistakes
) -> None:
    """Then there is no log group and no role, and no retention to set."""
    bucket = {"bucket_arn": "arn:aws:s3:::example-flow-logs/cicd/"}
    resources = synthesize_changed({"network.flow_logs": bucket})["network"]["resource"]
    (flow_log,) = resources["aws_flow_log"].values()
    assert flow_log["log_destination_type"] == "s3"
    assert flow_log["log_destination"] == bucket["bucket_arn"]
    assert not {"aws_cloudwatch_log_group", "aws_iam_role"} & resources.keys()
    (line,) = mistakes({"network.flow_logs": bucket | {"retention_days": 7}})
    assert "network.flow_logs.retention_days: 7: must not be set beside bucket_arn" in line


def test_the_vpc_reaches_aws_by_endpoints_under_the_public_names(stacks: Synthesized) -> None:
    """Each service has an endpoint in every private subnet, which answers the VPC over HTTPS alone."""
    resources = stacks["network"]["resource"]
    endpoints = [item for item in resources["aws_vpc_endpoint"].values() if item.get("private_dns_enabled")]
    services = {item["service_name"].removeprefix("com.amazonaws.eu-central-1.") for item in endpoints}
    assert services == {"ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "autoscaling", "sts"}
    assert all(len(item["subnet_ids"]) == 3 for item in endpoints)
    ((name, group),) = resources["aws_security_group"].items()
    assert {tuple(item["security_group_ids"]) for item in endpoints} == {
        (f"${{aws_security_group.{name}.id}}",)
    }
    (rule,) = group["ingress"]
    assert (rule["protocol"], rule["from_port"], rule["to_port"]) == ("tcp", 443, 443)
    assert rule["cidr_blocks"] == ["${aws_vpc.vpc.cidr_block}"]
    assert "egress" not in group


def test_nodes_fill_the_cache_of_docker_hub_and_no_other_repository(stacks: Synthesized) -> None:
    """The rule has the ARN of the credential alone; the first pull of an image makes its repository."""
    resources = stacks["cluster"]["resource"]
    ((name, rule),) = resources["aws_ecr_pull_through_cache_rule"].items()
    assert rule["ecr_repository_prefix"] == "example-dockerhub"
    assert rule["credential_arn"] == CREDENTIAL
    (statement,) = json.loads(resources["aws_iam_role_policy"]["node_role_docker_hub_policy"]["policy"])[
        "Statement"
    ]
    assert set(statement["Action"]) == {"ecr:BatchImportUpstreamImage", "ecr:CreateRepository"}
    registry = f"${{aws_ecr_pull_through_cache_rule.{name}.registry_id}}"
    assert statement["Resource"].endswith(f":ecr:eu-central-1:{registry}:repository/example-dockerhub/*")


@pytest.mark.parametrize(
    ("arn", "message"),
    [
        (CREDENTIAL.replace("ecr-pullthroughcache/", ""), "not of the accepted form"),
        (CREDENTIAL.replace("eu-central-1", "eu-west-1"), "must be of the region eu-central-1"),
        (CREDENTIAL.replace("123456789012", "999999999999"), "must be of the account 123456789012"),
    ],
)
def test_the_credential_is_where_ecr_can_read_it(mistakes: Mistakes, arn: str, message: str) -> None:
    """ECR reads secrets of its own account and region, under one prefix."""
    (line,) = mistakes({"cluster.docker_hub_credential_arn": arn})
    assert line.startswith("example.yaml: cluster.docker_hub_credential_arn: ")
    assert message in line
