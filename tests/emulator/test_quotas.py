"""The vCPU quotas of EC2, which a plan compares with the node groups."""

import shlex

import pytest
from botocore.exceptions import ClientError

from plan_review.plan import read_plan
from tests.emulator.project import Project
from tests.emulator.test_eks_zones import GPU


def test_a_plan_warns_of_nodes_above_a_quota(deployed: Project) -> None:
    """The report has the vCPUs that the settings ask for, the quota, and a command that AWS understands."""
    with deployed.changed({"cluster.node_groups.gpu": GPU}):
        plan = deployed.plan("cluster")
        assert plan.returncode == 0, plan.stderr
        shown = deployed.terraform("cluster", "show", "-json", "test.tfplan")
    (failed,) = read_plan(shown.stdout).failed_checks
    assert "check.vcpu_quota_on_demand_g_and_vt: cluster.node_groups: max_size of gpu: " in failed
    assert "may use 24 vCPU together, and the account's quota of On-Demand G and VT instances" in failed
    assert "in eu-central-1 is 0 vCPU" in failed
    assert "adds up to 32 vCPU" in failed  # two zones, two nodes in each
    _, _, command = failed.partition("aws service-quotas request-service-quota-increase ")
    _, region, _, service, _, code, _, value = shlex.split(command)
    quotas = deployed.client("service-quotas")
    assert quotas.meta.region_name == region
    quotas.request_service_quota_increase(ServiceCode=service, QuotaCode=code, DesiredValue=float(value))
    assert quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"] == 24


def test_the_emulated_eks_starts_no_nodes_above_a_quota(deployed: Project) -> None:
    """A group whose first nodes are above it fails; one without nodes does not."""
    eks = deployed.client("eks")
    group = {
        "clusterName": "cicd",
        "nodegroupName": "above",
        "subnets": deployed.outputs("network")["private_subnet_ids"][:1],
        "nodeRole": deployed.outputs("cluster")["node_role_arn"],
    }

    def create(name: str, way_to_pay: str, nodes: int) -> None:
        sizes = {"minSize": 0, "maxSize": 125, "desiredSize": nodes}
        eks.create_nodegroup(**group, instanceTypes=[name], capacityType=way_to_pay, scalingConfig=sizes)

    with pytest.raises(ClientError, match=r"VcpuLimitExceeded.* limit of 5 .*Standard.*Spot"):
        create("m5.2xlarge", "SPOT", 1)
    with pytest.raises(ClientError, match=r"VcpuLimitExceeded.* limit of 1000 .*On-Demand Standard"):
        create("m5.2xlarge", "ON_DEMAND", 125)  # 1000 vCPU beside the nodes that run
    create("m5.2xlarge", "SPOT", 0)
    eks.delete_nodegroup(clusterName="cicd", nodegroupName="above")
