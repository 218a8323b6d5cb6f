"""Orphans in an account with objects of others that have the same tag, and the commands that delete them."""

from typing import Any

import boto3
import pytest

from deployment import orphans
from deployment.orphans import AwsObject, find_objects, show_orphans
from deployment.states import StateError
from stacks.backend import Backend
from stacks.settings import Settings
from stacks.settings.load import PROJECT, load_settings

BACKEND = Backend(bucket="states", region="eu-central-1", encrypt=True, use_lockfile=True)


@pytest.fixture
def settings() -> Settings:
    """The settings of the example environment."""
    return load_settings(PROJECT / "environments" / "example.yaml")


def tagged(name: str = "", **item: Any) -> dict[str, Any]:
    """Return an object of EC2 with the environment's tag."""
    tags = {"environment": "example", "Name": name, **item.pop("tags", {})}
    return {**item, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


OWN, OTHER = "vpc-own", "vpc-other"
ASSOCIATIONS = [
    {"RouteTableAssociationId": "rtbassoc-own", "SubnetId": "subnet-own"},
    {"RouteTableAssociationId": "rtbassoc-other", "SubnetId": "subnet-of-a-consumer"},
]
ROUTES = [
    {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "Origin": "CreateRouteTable"},
    {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-own", "Origin": "CreateRoute"},
    {"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": "pcx-1", "Origin": "CreateRoute"},
    {"DestinationCidrBlock": "10.8.0.0/16", "NatGatewayId": "nat-own", "Origin": "EnableVgwRoutePropagation"},
    {"DestinationCidrBlock": "10.7.0.0/16", "NatGatewayId": "nat-of-a-consumer", "Origin": "CreateRoute"},
]
ANSWERS: dict[str, dict[str, Any]] = {
    "DescribeVpcs": {
        "Vpcs": [
            tagged("example-vpc", VpcId=OWN, tags={"kubernetes.io/cluster/cicd": "shared"}),
            tagged("example-vpc", VpcId=OTHER),
        ]
    },
    "DescribeSubnets": {
        "Subnets": [
            tagged("example-public-a", SubnetId="subnet-own", VpcId=OWN),
            tagged("example-public-a", SubnetId="subnet-other", VpcId=OTHER),
            tagged("consumer", SubnetId="subnet-of-a-consumer", VpcId=OWN),
        ]
    },
    "DescribeNatGateways": {"NatGateways": [tagged("example-nat-a", NatGatewayId="nat-own", VpcId=OWN)]},
    "DescribeRouteTables": {
        "RouteTables": [
            tagged(
                "example-private-a",
                RouteTableId="rtb-own",
                VpcId=OWN,
                Associations=ASSOCIATIONS,
                Routes=ROUTES,
            ),
            tagged("web", RouteTableId="rtb-x", VpcId=OWN, Associations=ASSOCIATIONS, Routes=ROUTES),
        ]
    },
    "DescribeInternetGateways": {
        "InternetGateways": [
            tagged("example-internet", InternetGatewayId="igw-own", Attachments=[]),
            tagged("example-internet", InternetGatewayId="igw-other", Attachments=[{"VpcId": OTHER}]),
        ]
    },
    "DescribeFlowLogs": {
        "FlowLogs": [
            tagged("example-vpc", FlowLogId="fl-own", ResourceId=OWN),
            tagged("example-vpc", FlowLogId="fl-other", ResourceId=OTHER),
        ]
    },
    "DescribeAddresses": {
        "Addresses": [
            tagged("example-nat-a", AllocationId="eipalloc-own"),
            tagged("web", AllocationId="eipalloc-other"),
        ]
    },
    "ListOpenIDConnectProviders": {
        "OpenIDConnectProviderList": [{"Arn": f"arn:aws:iam::1:oidc-provider/eks/id/{id_}"} for id_ in "AB"]
    },
    "ListOpenIDConnectProviderTags": {"Tags": [{"Key": "environment", "Value": "example"}]},
    "ListRoles": {"Roles": [{"RoleName": name} for name in ("example-node", "examples-of-others")]},
    "ListRoleTags": {"Tags": [{"Key": "environment", "Value": "example"}]},
    "DescribeLogGroups": {
        "logGroups": [
            {"logGroupName": name, "arn": name} for name in ("/aws/eks/cicd/cluster", "/web/examples/cicd-2")
        ]
    },
    "ListTagsForResource": {"tags": {"environment": "example"}},
    "ListKeys": {"Keys": [{"KeyId": "own"}, {"KeyId": "other"}]},
    "ListResourceTags": {"Tags": [{"TagKey": "environment", "TagValue": "example"}]},
    "ListBuckets": {"Buckets": []},
}


def answer(_client: Any, operation: str, arguments: dict[str, Any]) -> Any:
    """Answer as an account does in which others have taken the environment's tag."""
    match operation:
        case "DescribeCluster":
            issuer = "https://eks/id/A"
            described = {"name": arguments["name"], "identity": {"oidc": {"issuer": issuer}}}
            return {"cluster": described | {"tags": {"environment": "example"}}}
        case "ListAddons":
            return {"addons": ["vpc-cni"]}
        case "DescribeAddon":
            return {"addon": {"tags": {"environment": "example"}}}
        case "DescribeKey":
            words = "Secrets in the EKS cluster cicd" if arguments["KeyId"] == "own" else "Backups"
            return {"KeyMetadata": {"KeyState": "Enabled", "Description": words}}
    items = ("associations", "nodegroups", "accessEntries", "LaunchTemplates", "VpcEndpoints")
    more = ("SecurityGroups", "AttachedPolicies", "PolicyNames", "Aliases")
    return {name: [] for name in (*items, *more)} | ANSWERS.get(operation, {})


def test_objects_of_others_are_no_orphans(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have the environment's tag, but neither its names nor its VPC; a consumer's route has neither."""
    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", answer)
    monkeypatch.setattr(
        orphans,
        "create_client",
        lambda service, _aws, *, region: boto3.client(
            service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b"
        ),
    )
    assert [item.id for item in find_objects(settings)] == [
        "cicd:vpc-cni",
        "cicd",
        "rtbassoc-own",
        "rtb-own_0.0.0.0/0",
        "nat-own",
        "fl-own",
        "eipalloc-own",
        "subnet-own",
        "rtb-own",
        "igw-own",
        OWN,
        "example-node",
        "arn:aws:iam::1:oidc-provider/eks/id/A",
        "/aws/eks/cicd/cluster",
        "own",
    ]


@pytest.mark.parametrize(
    ("environment", "command"),
    [("example", "aws "), ("local", ".venv/bin/python -m local_aws run aws ")],
)
def test_the_commands_reach_the_account_of_the_environment(
    environment: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the local environment the emulator, never a real account; a warning comes first."""
    found = [AwsObject("aws_eks_cluster", "cicd", "", ("eks delete-cluster --name cicd",))]
    monkeypatch.setattr(orphans, "refuse_other_account", lambda _aws: None)
    monkeypatch.setattr(orphans, "refuse_damaged_states", lambda *_: None)
    monkeypatch.setattr(orphans, "find_orphans", lambda *_: found)
    show_orphans(load_settings(PROJECT / "environments" / f"{environment}.yaml"), BACKEND)
    warning, _, *lines = capsys.readouterr().out.splitlines()
    assert "Look at each before you delete it" in warning
    delete = "eks delete-cluster --name cicd --region eu-central-1"
    assert lines == ["# aws_eks_cluster cicd", f"{command}{delete}"]


def test_a_damaged_state_lists_no_orphans(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a state that is lost, all live objects would look like orphans."""

    def refuse(*_: Any) -> None:
        raise StateError("network: was deleted")

    monkeypatch.setattr(orphans, "refuse_other_account", lambda _aws: None)
    monkeypatch.setattr(orphans, "refuse_damaged_states", refuse)
    with pytest.raises(StateError, match="was deleted"):
        show_orphans(settings, BACKEND)
    assert capsys.readouterr().out == ""
