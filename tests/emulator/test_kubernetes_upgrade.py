"""EKS updates Kubernetes by one minor version at a time, and never back."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from plan_review.plan import Plan, read_plan
from tests.emulator.project import Project

CLUSTER = "aws_eks_cluster.cluster"
GROUP = "main"


@pytest.fixture
def old_cluster(deployed: Project) -> Iterator[str]:
    """Another cluster, of Kubernetes 1.33, with a node group."""
    eks, name = deployed.client("eks"), "old"
    subnets = deployed.outputs("network")["private_subnet_ids"]
    role = deployed.outputs("cluster")["node_role_arn"]
    eks.create_cluster(
        name=name,
        version="1.33",
        roleArn=role,
        upgradePolicy={"supportType": "EXTENDED"},
        resourcesVpcConfig={"subnetIds": subnets},
    )
    eks.create_nodegroup(
        clusterName=name,
        nodegroupName=GROUP,
        subnets=subnets,
        nodeRole=role,
        instanceTypes=["m5.large"],
        scalingConfig={"minSize": 0, "maxSize": 1, "desiredSize": 0},
    )
    yield name
    eks.delete_nodegroup(clusterName=name, nodegroupName=GROUP)
    eks.delete_cluster(name=name)


@pytest.fixture(scope="module")
def upgrade(deployed: Project) -> Plan:
    """A plan of the cluster stack from 1.35 to 1.36."""
    with deployed.changed({"cluster.kubernetes_version": "1.36"}):
        assert deployed.plan("cluster").returncode == 0
        return read_plan(deployed.terraform("cluster", "show", "-json", "test.tfplan").stdout)


def test_the_next_minor_version_is_an_update_in_place(upgrade: Plan) -> None:
    """From 1.35 to 1.36 the control plane and the node groups are updated, and nothing is replaced."""
    changes = [change for change in upgrade.changes if change.action != "no-op"]
    (cluster,) = (change for change in changes if change.address == CLUSTER)
    assert cluster.before["version"] == "1.35"
    assert cluster.after["version"] == "1.36"
    assert {change.type for change in changes} == {"aws_eks_cluster", "aws_eks_node_group"}
    assert {change.action for change in changes} == {"update"}


def test_the_plan_names_the_addons_that_an_upgrade_would_leave_behind(upgrade: Plan) -> None:
    """Those that several Kubernetes versions share go first; kube-proxy goes with the control plane."""
    addons, kube_proxy = sorted(upgrade.failed_checks)
    # The other two have EKS's default for 1.36 already.
    assert "cluster.addon_versions: {coredns: v1.14.3-eksbuild.14}." in addons
    assert (
        "cluster.addon_versions.kube-proxy: v1.35.3-eksbuild.21: older than cluster.kubernetes_version, 1.36."
        in kube_proxy
    )


def test_a_node_group_can_be_held_back(deployed: Project) -> None:
    """With its old version a group is not part of the upgrade."""
    held = {f"cluster.node_groups.{name}.kubernetes_version": "1.35" for name in ("main", "big")}
    with deployed.changed({"cluster.kubernetes_version": "1.36", **held}):
        assert set(deployed.planned_changes("cluster")) == {CLUSTER}


@pytest.mark.parametrize("wanted", ["1.34", "1.99"])
def test_a_way_back_is_refused(deployed: Project, wanted: str) -> None:
    """The plan fails, with the setting, the version that runs, and what is accepted.

    Of a version that this project does not test, EKS is asked whether it exists.
    """
    changes = {
        "cluster.kubernetes_version": wanted,
        "versions.cluster_autoscaler_image_tag": f"v{wanted}.0",
    }
    with deployed.changed(changes):
        plan = deployed.plan("cluster")
    assert plan.returncode == 1
    assert (
        f"cluster.kubernetes_version: {wanted}: the cluster runs 1.35. Accepted: 1.35 or 1.36, since EKS"
        in plan.stderr
    )
    unknown = "1.99: EKS does not have it. Accepted: 1.33, 1.34, 1.35, 1.36."
    assert (unknown in plan.stderr) == (wanted == "1.99")


def test_a_jump_is_refused(deployed: Project, old_cluster: str) -> None:
    """The plan fails, as it does for a way back."""
    with deployed.changed({"cluster.name": old_cluster}):
        plan = deployed.plan("cluster")
    assert plan.returncode == 1
    assert (
        "cluster.kubernetes_version: 1.35: the cluster runs 1.33. Accepted: 1.33 or 1.34, since EKS"
        in plan.stderr
    )


def test_a_cluster_in_extended_support_keeps_its_support_type(deployed: Project, old_cluster: str) -> None:
    """The plan fails with the day on which standard support ended, and with the type that the cluster has."""
    with deployed.changed({"cluster.name": old_cluster, "cluster.kubernetes_version": "1.33"}):
        plan = deployed.plan("cluster")
    assert plan.returncode == 1
    assert "cluster.support_type: STANDARD: the standard support of 1.33 ended on 2026-07-29" in plan.stderr
    assert "Accepted: EXTENDED, which the cluster has, or an upgrade" in plan.stderr


def test_the_emulated_eks_upgrades_as_eks_does(deployed: Project, old_cluster: str) -> None:
    """One minor version at a time, when all node groups have the cluster's, and never back."""
    eks = deployed.client("eks")

    def upgrade_cluster(version: str, **options: Any) -> None:
        eks.update_cluster_version(name=old_cluster, version=version, **options)

    def update_nodes(**options: Any) -> None:
        eks.update_nodegroup_version(clusterName=old_cluster, nodegroupName=GROUP, **options)

    with pytest.raises(ClientError, match=r"1\.33 is in extended support: supportType can't change"):
        eks.update_cluster_config(name=old_cluster, upgradePolicy={"supportType": "STANDARD"})
    with pytest.raises(ClientError, match=r"Unsupported Kubernetes minor version update from 1\.33 to 1\.35"):
        upgrade_cluster("1.35")
    with pytest.raises(ClientError, match=r"Nodegroup version 1\.34 must be from 1\.33.* to 1\.33"):
        update_nodes(version="1.34")
    upgrade_cluster("1.34")
    with pytest.raises(ClientError, match=r"must have its version, 1\.34"):
        upgrade_cluster("1.35")
    update_nodes()
    group = eks.describe_nodegroup(clusterName=old_cluster, nodegroupName=GROUP)["nodegroup"]
    assert (group["version"], group["releaseVersion"]) == ("1.34", "1.34.9-20260810")
    with pytest.raises(ClientError, match=r"Nodegroup version 1\.33 must be from 1\.34"):
        update_nodes(version="1.33")
    with pytest.raises(ClientError, match=r"1\.34\.2-20260520 is older than the nodegroup's"):
        update_nodes(releaseVersion="1.34.2-20260520")
    with pytest.raises(ClientError, match=r"1\.33\.13-20260923 is not valid for kubernetes version 1\.34"):
        update_nodes(releaseVersion="1.33.13-20260923")


def test_the_emulated_eks_refuses_addons_that_do_not_fit(deployed: Project, old_cluster: str) -> None:
    """An add-on must fit the cluster, and an upgrade is refused for it unless it is forced."""
    eks = deployed.client("eks")
    with pytest.raises(ClientError, match="Addon version specified is not supported"):
        eks.create_addon(clusterName=old_cluster, addonName="kube-proxy", addonVersion="v1.34.6-eksbuild.21")
    cni = {"clusterName": old_cluster, "addonName": "vpc-cni"}
    eks.create_addon(**cni)
    default = eks.describe_addon(**cni)["addon"]["addonVersion"]
    assert default == "v1.22.4-eksbuild.3"
    with pytest.raises(ClientError, match="1 minor version at a time"):
        eks.update_addon(**cni, addonVersion="v1.20.4-eksbuild.2")
    eks.create_addon(clusterName=old_cluster, addonName="coredns", addonVersion="v1.11.3-eksbuild.1")
    eks.update_cluster_version(name=old_cluster, version="1.34")
    eks.update_nodegroup_version(clusterName=old_cluster, nodegroupName=GROUP)
    with pytest.raises(ClientError, match=r"InvalidStateException.*Upgrade readiness issues detected"):
        eks.update_cluster_version(name=old_cluster, version="1.35")
    eks.update_cluster_version(name=old_cluster, version="1.35", force=True)
    for name in ("vpc-cni", "coredns"):
        eks.delete_addon(clusterName=old_cluster, addonName=name)


def test_a_new_cluster_may_have_any_version(deployed: Project) -> None:
    """A cluster that does not exist yet has no version to continue from."""
    with deployed.changed(
        {
            "cluster.kubernetes_version": "1.33",
            "cluster.support_type": "EXTENDED",
            "cluster.name": "new",
        }
    ):
        plan = deployed.plan("cluster")
    assert plan.returncode == 0, plan.stderr
    warning = "EKS's standard support of 1.33 ended on 2026-07-29"
    assert warning in plan.stdout + plan.stderr


def test_a_new_cluster_out_of_standard_support_is_refused(deployed: Project) -> None:
    """EKS creates none with support_type STANDARD; the message has the date and the two ways out."""
    with deployed.changed({"cluster.kubernetes_version": "1.33", "cluster.name": "new"}):
        plan = deployed.plan("cluster")
    assert plan.returncode == 1
    assert "cluster.kubernetes_version: 1.33: its standard support ended on 2026-07-29" in plan.stderr
    assert "Accepted: a newer version, or cluster.support_type: EXTENDED" in plan.stderr
