"""Zones: those that EKS does not take, and those that do not offer an instance type."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.project import Project

GPU = {"instance_types": ["g7e.2xlarge"], "max_size": 3}  # eu-central-1 has it in a and b; 8 vCPU


def plan_network(project: Project, changes: dict[str, Any]) -> str:
    """Return what the plan of another environment's network says, in one line."""
    environment = project.another("zones", changes)
    assert environment.terraform("network", "init").returncode == 0
    plan = environment.plan("network")
    assert plan.returncode == 1, plan.stdout
    return plan.stderr


def test_a_zone_that_eks_does_not_take_is_refused(deployed: Project) -> None:
    """The plan of the network names the zone's place in the settings, and nothing is created yet."""
    said = plan_network(
        deployed,
        {"aws.region": "us-east-1", "network.availability_zones": ["us-east-1a", "us-east-1c"]},
    )
    assert "network.availability_zones.1: us-east-1c: EKS does not take this zone" in said
    assert "network.availability_zones.0" not in said


def test_a_zone_that_the_account_does_not_have_is_refused(deployed: Project) -> None:
    """The plan names the zones that there are."""
    said = plan_network(deployed, {"network.availability_zones": ["eu-central-1a", "eu-central-1f"]})
    assert "network.availability_zones.1: eu-central-1f: AWS has no such zone for this account." in said
    assert "Accepted: eu-central-1a, eu-central-1b, eu-central-1c." in said


def test_an_instance_type_that_a_zone_does_not_offer_is_refused(deployed: Project) -> None:
    """The plan of the cluster names the setting and the zone, and only zones with a group count."""
    zones = ["eu-central-1b", "eu-central-1c"]
    with deployed.changed({"network.availability_zones": zones, "cluster.node_groups.gpu": GPU}):
        plan = deployed.plan("cluster")
    assert plan.returncode == 1
    assert "cluster.node_groups.gpu.instance_types: g7e.2xlarge: eu-central-1c offers none." in plan.stderr
    assert "eu-central-1b offers none" not in plan.stderr  # test_quotas.py has a plan that accepts it


def test_a_plan_warns_of_steady_nodes_in_one_zone(deployed: Project) -> None:
    """One node for DNS and autoscaler breaks what a NAT gateway per zone promises; the plan goes on."""
    with deployed.changed({"network.nat_gateways": "one_per_zone"}):
        plan = deployed.plan("cluster")
    assert plan.returncode == 0
    said = " ".join(plan.stdout.replace("│", " ").split())
    assert "cluster.node_groups.main.min_size: 1: with network.nat_gateways: one_per_zone" in said
    zones = deployed.settings.network.availability_zones
    assert f"Accepted: {len(zones)} or more, one for each of {', '.join(zones)}." in said


def test_the_emulated_eks_refuses_what_the_plan_refuses(deployed: Project) -> None:
    """A test of the plan alone could pass while EKS refuses, or refuse while EKS accepts."""
    eks, ec2 = deployed.client("eks"), deployed.client("ec2")
    outputs = deployed.outputs("network")
    subnet = ec2.create_subnet(
        VpcId=outputs["vpc_id"], AvailabilityZone="eu-central-1c", CidrBlock="10.0.200.0/24"
    )["Subnet"]["SubnetId"]
    role = deployed.outputs("cluster")["node_role_arn"]
    with pytest.raises(ClientError, match=r"InvalidRequestException.*g7e.2xlarge.*\(eu-central-1c\)"):
        eks.create_nodegroup(
            clusterName="cicd",
            nodegroupName="gpu",
            subnets=[subnet],
            nodeRole=role,
            instanceTypes=["g7e.2xlarge"],
        )
    with pytest.raises(ClientError, match=r"InvalidParameterException.*1\.33 is in extended support"):
        eks.create_cluster(
            name="old",
            version="1.33",
            roleArn=role,
            upgradePolicy={"supportType": "STANDARD"},
            resourcesVpcConfig={"subnetIds": outputs["private_subnet_ids"]},
        )
    with pytest.raises(ClientError, match=r"labels\.key.*less than or equal to 63"):
        eks.create_nodegroup(
            clusterName="cicd",
            nodegroupName="labelled",
            subnets=outputs["private_subnet_ids"],
            nodeRole=role,
            labels={"k" * 64: "x"},
        )
    ec2.delete_subnet(SubnetId=subnet)
