"""The roles as Terraform deployed them, under real IAM evaluation: each can do its work, and no more.

The policies come from the shared deployment, and so do the buckets' policies and the tags of the Auto
Scaling groups. A second emulator, which evaluates policies, gets copies of them. Only the trust policies
differ: EKS gives the roles to pods, and here the account's root takes them.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.iam.aws_managed_policies import aws_managed_policies_data

from local_aws import emulator
from tests.emulator.project import Project

OBJECT = "project/1/cache.zip"


def _through_proxy(client: Any, scheme: str = "https") -> Any:
    """Let each request of a client look as if it came through a proxy, which ends TLS."""

    def add_header(request: Any, **_details: Any) -> None:
        request.headers["X-Forwarded-Proto"] = scheme

    client.meta.events.register("before-send", add_header)
    return client


class Account:
    """An emulated account that evaluates policies, with the roles and buckets of a deployment."""

    def __init__(self, endpoint_url: str, deployed: Project) -> None:
        self._place = {"endpoint_url": endpoint_url, "region_name": deployed.settings.aws.region}
        self.prefix = deployed.settings.resource_prefix
        self.cache_bucket = deployed.outputs("workloads")["cache_bucket"]
        self.state_bucket = deployed.state_bucket
        self.token_parameter = deployed.settings.runners["default"].token_parameter
        self.id = self.root("sts").get_caller_identity()["Account"]
        self._copy_roles(deployed.client("iam"))
        self._copy_buckets(deployed.client("s3"))
        self.root("ssm").put_parameter(Name=self.token_parameter, Type="SecureString", Value="glrt-secret")
        self.groups = self._copy_groups(deployed.client("autoscaling"), deployed.settings.cluster.name)

    def root(self, service: str) -> Any:
        """Return a client of the account's root."""
        place = {"endpoint_url": self._place["endpoint_url"], "region": self._place["region_name"]}
        return _through_proxy(emulator.client(service, **place))

    def assume(self, role: str, service: str, scheme: str = "https") -> Any:
        """Return a client with the credentials of the role `<name_prefix>-<role>`."""
        arn = f"arn:aws:iam::{self.id}:role/{self.prefix}-{role}"
        given = self.root("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        client = boto3.client(
            service,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            **self._place,
        )
        return _through_proxy(client, scheme)

    def _copy_roles(self, source: Any) -> None:
        """Copy the roles and their inline policies; AWS's own policies come from moto's copy of them."""
        iam, managed = self.root("iam"), json.loads(aws_managed_policies_data)
        root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{self.id}:root"}}
        trust = {"Version": "2012-10-17", "Statement": [{**root, "Action": "sts:AssumeRole"}]}
        for role in source.list_roles()["Roles"]:
            name = {"RoleName": role["RoleName"]}
            iam.create_role(**name, AssumeRolePolicyDocument=json.dumps(trust))
            policies = {
                inline: source.get_role_policy(**name, PolicyName=inline)["PolicyDocument"]
                for inline in source.list_role_policies(**name)["PolicyNames"]
            }
            for attached in source.list_attached_role_policies(**name)["AttachedPolicies"]:
                policies[attached["PolicyName"]] = managed[attached["PolicyName"]]["Document"]
            for title, document in policies.items():
                iam.put_role_policy(**name, PolicyName=title, PolicyDocument=json.dumps(document))

    def _copy_buckets(self, source: Any) -> None:
        s3 = self.root("s3")
        location = {"LocationConstraint": self._place["region_name"]}
        for bucket in (self.cache_bucket, self.state_bucket):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=location)
            s3.put_bucket_policy(Bucket=bucket, Policy=source.get_bucket_policy(Bucket=bucket)["Policy"])

    def _copy_groups(self, source: Any, cluster: str) -> dict[str, str]:
        """Copy a group of the cluster with its tags, and give another cluster one; return their names."""
        group = source.describe_auto_scaling_groups()["AutoScalingGroups"][0]
        names = {"own": group["AutoScalingGroupName"], "neighbour": f"{group['AutoScalingGroupName']}-2"}
        for owner, name in names.items():
            rename = {"own": cluster, "neighbour": f"{cluster}-2"}[owner]
            tags = [
                {"Key": tag["Key"].replace(f"/{cluster}", f"/{rename}"), "Value": tag["Value"]}
                for tag in group["Tags"]
            ]
            self.root("autoscaling").create_auto_scaling_group(
                AutoScalingGroupName=name,
                MinSize=0,
                MaxSize=5,
                DesiredCapacity=2,
                AvailabilityZones=group["AvailabilityZones"],
                Tags=tags,
            )
        return names


@pytest.fixture(scope="module")
def account(deployed: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The deployed roles in an account that evaluates their policies."""
    with emulator.running(tmp_path_factory.mktemp("account"), auth=True) as endpoint_url:
        yield Account(endpoint_url, deployed)


def refused(call: Callable[..., Any], **arguments: Any) -> bool:
    """Return whether IAM refuses a call; any other error fails the test."""
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"AccessDenied", "AccessDeniedException", "403"}:
            raise
        return True
    return False


def _instances(account: Account, owner: str) -> list[str]:
    names = [account.groups[owner]]
    described = account.root("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=names)
    return [item["InstanceId"] for item in described["AutoScalingGroups"][0]["Instances"]]


def test_the_autoscaler_resizes_its_own_cluster_alone(account: Account) -> None:
    """It raises and lowers a group with its cluster's tag, and is refused on a neighbour's."""
    autoscaler = account.assume("cluster-autoscaler", "autoscaling")
    listed = autoscaler.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert {group["AutoScalingGroupName"] for group in listed} == set(account.groups.values())
    for owner, is_refused in (("own", False), ("neighbour", True)):
        name, before = {"AutoScalingGroupName": account.groups[owner]}, _instances(account, owner)
        assert refused(autoscaler.set_desired_capacity, **name, DesiredCapacity=3) is is_refused, owner
        assert len(_instances(account, owner)) == (2 if is_refused else 3)
        terminate = autoscaler.terminate_instance_in_auto_scaling_group
        chosen = {"InstanceId": before[0], "ShouldDecrementDesiredCapacity": True}
        assert refused(terminate, **chosen) is is_refused, owner
        assert (before[0] in _instances(account, owner)) is is_refused


def test_the_autoscaler_changes_nothing_else(account: Account) -> None:
    """It can't change the bounds, the tags or the existence of its own groups."""
    autoscaler = account.assume("cluster-autoscaler", "autoscaling")
    name = {"AutoScalingGroupName": account.groups["own"]}
    tag = {"ResourceId": account.groups["neighbour"], "ResourceType": "auto-scaling-group", "Key": "a"}
    assert refused(autoscaler.update_auto_scaling_group, **name, MaxSize=100)
    assert refused(autoscaler.delete_auto_scaling_group, **name, ForceDelete=True)
    assert refused(autoscaler.create_or_update_tags, Tags=[{**tag, "Value": "b", "PropagateAtLaunch": False}])


def test_a_manager_reaches_its_own_prefix_of_the_cache_alone(account: Account) -> None:
    """It writes, reads and deletes below `default/`, not below another fleet's prefix, and lists nothing."""
    s3, bucket = account.assume("runner-default", "s3"), {"Bucket": account.cache_bucket}
    own = {**bucket, "Key": f"default/{OBJECT}"}
    s3.put_object(**own, Body=b"cache")
    assert s3.get_object(**own)["Body"].read() == b"cache"
    s3.delete_object(**own)
    # A policy without the slash behind the prefix would match the second one.
    for fleet in ("other", "default-2"):
        foreign = {**bucket, "Key": f"{fleet}/{OBJECT}"}
        account.root("s3").put_object(**foreign, Body=b"cache")
        assert refused(s3.get_object, **foreign)
        assert refused(s3.put_object, **foreign, Body=b"poisoned")
        assert refused(s3.delete_object, **foreign)
        assert account.root("s3").get_object(**foreign)["Body"].read() == b"cache"
    assert refused(s3.list_objects_v2, **bucket, Prefix="default/")


def test_without_tls_the_cache_refuses_its_manager(account: Account) -> None:
    """The bucket's own policy refuses it, although the role's policy allows it."""
    s3 = account.assume("runner-default", "s3", scheme="http")
    assert refused(s3.put_object, Bucket=account.cache_bucket, Key=f"default/{OBJECT}", Body=b"cache")


@pytest.mark.parametrize("role", ["runner-default", "cluster-autoscaler", "node"])
def test_no_role_in_the_cluster_reads_tokens_or_state(account: Account, role: str) -> None:
    """The manager, the autoscaler and the nodes read no token in SSM and no object of the state bucket."""
    ssm, s3 = account.assume(role, "ssm"), account.assume(role, "s3")
    name, state = account.token_parameter, {"Bucket": account.state_bucket, "Key": "local/cluster.tfstate"}
    assert account.root("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    assert refused(ssm.get_parameter, Name=name, WithDecryption=True)
    assert refused(ssm.get_parameters, Names=[name])
    assert refused(ssm.get_parameter_history, Name=name)
    assert refused(ssm.get_parameters_by_path, Path=name.rpartition("/")[0], Recursive=True)
    assert refused(ssm.put_parameter, Name=name, Value="other", Type="SecureString", Overwrite=True)
    account.root("s3").put_object(**state, Body=b"{}")
    assert refused(s3.get_object, **state)
    assert refused(s3.put_object, **state, Body=b"{}")
    assert refused(s3.list_objects_v2, Bucket=account.state_bucket)


def test_a_node_does_its_work(account: Account) -> None:
    """Its role describes instances and pulls images: what it is refused is no fault of the copy."""
    assert account.assume("node", "ecr").get_authorization_token()["authorizationData"]
    assert "Reservations" in account.assume("node", "ec2").describe_instances()
