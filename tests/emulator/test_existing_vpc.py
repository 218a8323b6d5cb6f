"""An existing VPC: the network stack reads and checks it, and never changes it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.deployer_policy import find_missing
from tests.emulator.project import Project

NODE_GROUPS = {
    "main": {"instance_types": ["m5.2xlarge"], "min_size": 1, "max_size": 2},
    "big": {"instance_types": ["m5.8xlarge"], "max_size": 2},
}
ZONES = ["eu-central-1a", "eu-central-1b"]


@dataclass(frozen=True)
class Vpc:
    """A VPC as another team would have made it, with the zones' subnets in their order."""

    id: str
    private: list[str]
    public: list[str]
    private_route_tables: list[str]
    nat_address: str
    nat_id: str

    @property
    def settings(self) -> dict[str, Any]:
        """Return what an environment's file says to use it."""
        return {"vpc_id": self.id, "private_subnet_ids": self.private, "public_subnet_ids": self.public}


@pytest.fixture(scope="module")
def vpc(project: Project) -> Vpc:
    """A VPC made by hand: the first private subnet has a route table, the second uses the main one."""
    ec2 = project.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport={"Value": True})
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    ranges = iter(f"10.30.{number}.0/24" for number in range(4))
    private, public = (
        [
            ec2.create_subnet(VpcId=vpc_id, AvailabilityZone=zone, CidrBlock=next(ranges))["Subnet"][
                "SubnetId"
            ]
            for zone in ZONES
        ]
        for _ in range(2)
    )
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(VpcId=vpc_id, InternetGatewayId=gateway)
    address = ec2.allocate_address(Domain="vpc")
    nat = ec2.create_nat_gateway(SubnetId=public[0], AllocationId=address["AllocationId"])
    nat_id = nat["NatGateway"]["NatGatewayId"]
    main = [{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "association.main", "Values": ["true"]}]
    main_id = ec2.describe_route_tables(Filters=main)["RouteTables"][0]["RouteTableId"]
    private_id, public_id = (
        ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"] for _ in range(2)
    )
    for table, target in (
        (main_id, {"NatGatewayId": nat_id}),
        (private_id, {"NatGatewayId": nat_id}),
        (public_id, {"GatewayId": gateway}),
    ):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
    for table, subnet in ((private_id, private[0]), *((public_id, subnet) for subnet in public)):
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    return Vpc(vpc_id, private, public, [private_id, main_id], address["PublicIp"], nat_id)


@pytest.fixture(scope="module")
def adopted(project: Project, vpc: Vpc) -> Project:
    """An environment with network and cluster deployed into that VPC by plain Terraform."""
    environment = project.another(
        "adopted",
        {
            "network.existing": vpc.settings,
            "cluster.name": "adopted",
            "cluster.node_groups": NODE_GROUPS,
            "alarms": {"emails": ["ops@example.com"]},
        },
    )
    for stack in ("network", "cluster"):
        environment.apply(stack)
    return environment


@contextmanager
def vpc_attribute(project: Project, vpc: Vpc, name: str) -> Iterator[None]:
    """Switch an attribute of the VPC off while the block runs."""
    ec2 = project.client("ec2")
    ec2.modify_vpc_attribute(VpcId=vpc.id, **{name: {"Value": False}})
    try:
        yield
    finally:
        ec2.modify_vpc_attribute(VpcId=vpc.id, **{name: {"Value": True}})


def test_the_published_outputs_are_those_of_the_vpc(adopted: Project, vpc: Vpc) -> None:
    """Consumers and the cluster stack find the VPC under the names that any network has."""
    assert adopted.outputs("network") == {
        "vpc_id": vpc.id,
        "vpc_cidr": "10.30.0.0/16",
        "availability_zones": ZONES,
        "private_subnet_ids": vpc.private,
        "public_subnet_ids": vpc.public,
        "private_route_table_ids": vpc.private_route_tables,
        "nat_public_ips": [vpc.nat_address],
    }


def test_the_cluster_and_its_nodes_are_in_the_named_subnets(adopted: Project, vpc: Vpc) -> None:
    """Control plane and node groups use the private subnets of the settings."""
    eks = adopted.client("eks")
    cluster = eks.describe_cluster(name="adopted")["cluster"]
    groups = eks.list_nodegroups(clusterName="adopted")["nodegroups"]
    of_groups = {
        subnet
        for name in groups
        for subnet in eks.describe_nodegroup(clusterName="adopted", nodegroupName=name)["nodegroup"][
            "subnets"
        ]
    }
    assert set(cluster["resourcesVpcConfig"]["subnetIds"]) == set(vpc.private)
    assert of_groups == set(vpc.private)


@pytest.mark.parametrize("stack", ["network", "cluster"])
def test_a_second_plan_is_empty(adopted: Project, stack: str) -> None:
    """Terraform reads the VPC when it plans, so that a plan without changes is empty."""
    plan = adopted.terraform(stack, "plan", "-detailed-exitcode", "-input=false", "-no-color")
    assert plan.returncode == 0, plan.stdout + plan.stderr


def test_alarms_watch_the_cluster_and_its_way_out(adopted: Project, vpc: Vpc) -> None:
    """Each alarm is sent to the new topic; the gateway is the one that the subnets' routes lead to."""
    topic = adopted.client("sns").list_topics()["Topics"][0]["TopicArn"]
    subscriptions = adopted.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [(item["Protocol"], item["Endpoint"]) for item in subscriptions] == [("email", "ops@example.com")]
    alarms = adopted.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {alarm["AlarmName"].removeprefix("adopted-") for alarm in alarms} == {
        *("autoscaler-silent", "pods-waiting", "nodes-main-a", "vcpu-quota-standard-ondemand"),
        *(f"nat-ports-{vpc.nat_id}", f"nat-drops-{vpc.nat_id}"),
    }
    assert {(*alarm["AlarmActions"], *alarm["OKActions"]) for alarm in alarms} == {(topic, topic)}


def test_only_failed_launches_of_the_own_node_groups_are_sent(adopted: Project) -> None:
    """EventBridge itself says which events match the rule."""
    events = adopted.client("events")
    pattern = events.describe_rule(Name="adopted-launch-failures")["EventPattern"]

    def matches(group: str, kind: str) -> bool:
        event = {
            "id": "1",
            "account": "000000000000",
            "time": "2026-11-26T00:00:00Z",
            "resources": [],
            "source": "aws.autoscaling",
            "region": "eu-central-1",
            "detail-type": kind,
            "detail": {"AutoScalingGroupName": group, "StatusMessage": "VcpuLimitExceeded"},
        }
        result: bool = events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))["Result"]
        return result

    for group in adopted.outputs("cluster")["autoscaling_group_names"].values():
        assert matches(group, "EC2 Instance Launch Unsuccessful")
        assert not matches(group, "EC2 Instance Launch Successful")
    assert not matches("another", "EC2 Instance Launch Unsuccessful")


def test_the_network_stack_manages_nothing(adopted: Project) -> None:
    """No resource of the VPC is in the state: no plan of this environment can change it."""
    state = json.loads(adopted.terraform("network", "state", "pull").stdout)
    assert state["resources"]
    assert {resource["mode"] for resource in state["resources"]} == {"data"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda vpc: {"network.existing.private_subnet_ids": vpc.private[::-1]},
            "network.existing.private_subnet_ids.0: {private[1]} is in eu-central-1b. Accepted: a subnet "
            "in eu-central-1a",
            id="zones in another order",
        ),
        pytest.param(
            lambda vpc: {"network.existing.public_subnet_ids": vpc.public[::-1]},
            "network.existing.public_subnet_ids.1: {public[0]} is in eu-central-1a.",
            id="public zones in another order",
        ),
        pytest.param(
            lambda vpc: {"network.existing": {"vpc_id": vpc.id, "private_subnet_ids": vpc.public}},
            "network.existing.private_subnet_ids.1: the route table of {public[1]} leads to an internet "
            "gateway",
            id="public subnets as private ones",
        ),
        pytest.param(
            lambda vpc: {"network.existing.private_subnet_ids": [vpc.private[0], "subnet-00000000000000000"]},
            "network.existing.private_subnet_ids.1: subnet-00000000000000000 is not a subnet of {id}.",
            id="no such subnet",
        ),
        pytest.param(
            lambda _: {"network.existing.vpc_id": "vpc-00000000000000000"},
            "network.existing.vpc_id: vpc-00000000000000000 is not a VPC with subnets in eu-central-1",
            id="no such VPC",
        ),
    ],
)
def test_a_wrong_id_is_refused_by_its_setting(
    adopted: Project, vpc: Vpc, change: Callable[[Vpc], dict[str, Any]], message: str
) -> None:
    """The plan fails, says which entry of the settings it is, and what belongs there."""
    with adopted.changed(change(vpc)):
        plan = adopted.plan("network")
    assert plan.returncode == 1
    assert message.format(**vars(vpc)) in plan.stderr


@pytest.mark.parametrize("attribute", ["EnableDnsSupport", "EnableDnsHostnames"])
def test_a_vpc_without_dns_is_refused(adopted: Project, vpc: Vpc, attribute: str) -> None:
    """Nodes find the private endpoint of EKS only with DNS resolution and DNS hostnames."""
    with vpc_attribute(adopted, vpc, attribute):
        plan = adopted.plan("network")
    assert plan.returncode == 1
    assert f"network.existing.vpc_id: {vpc.id} lacks DNS resolution or DNS hostnames" in plan.stderr


def test_a_private_subnet_that_gives_public_addresses_is_refused(adopted: Project, vpc: Vpc) -> None:
    """No node may be reached from the internet."""
    ec2, (_, subnet) = adopted.client("ec2"), vpc.private
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    try:
        plan = adopted.plan("network")
    finally:
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False})
    assert plan.returncode == 1
    assert f"network.existing.private_subnet_ids.1: {subnet} gives instances public addresses" in plan.stderr


def test_destroy_leaves_the_vpc(adopted: Project, vpc: Vpc) -> None:
    """The cluster goes; VPC, subnets and NAT gateway are as they were."""
    for stack in ("cluster", "network"):
        adopted.destroy(stack)
    ec2 = adopted.client("ec2")
    assert "adopted" not in adopted.client("eks").list_clusters()["clusters"]
    subnets = ec2.describe_subnets(SubnetIds=[*vpc.private, *vpc.public])["Subnets"]
    assert {subnet["VpcId"] for subnet in subnets} == {vpc.id}
    in_vpc = [{"Name": "vpc-id", "Values": [vpc.id]}]
    assert [nat["State"] for nat in ec2.describe_nat_gateways(Filter=in_vpc)["NatGateways"]] == ["available"]


def test_the_documented_permissions_suffice_for_alarms_and_an_existing_vpc(adopted: Project) -> None:
    """docs/deployer_policy.json has all that Terraform asked of AWS so far."""
    assert find_missing(adopted.actions) == []
