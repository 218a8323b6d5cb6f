"""New nodes beside the old ones, by real applies in the order of docs/operations.md."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulator.project import Project, running_project
from tests.environments import runner_values
from tests.node_upgrade import STEPS, find_changes

pytestmark = pytest.mark.long  # it applies the cluster stack seven times

CLUSTER = "aws_eks_cluster.cluster"
ADDON = "aws_eks_addon.addon_"
NODES_OF_MAIN_2 = 3


class Walk:
    """An environment that takes one step of the runbook after the other."""

    def __init__(self, project: Project) -> None:
        """Deploy the network and the cluster of the first step."""
        self.project = project
        with project.changed(STEPS["before"]):
            project.apply("network")
            project.apply("cluster")
            self.workloads = self._read_workloads()
        self.changed_workloads: set[str] = set()

    def take(self, step: str) -> dict[str, str]:
        """Apply a step to the cluster; return what its plan did, by address. Afterwards a plan is empty."""
        with self.project.changed(STEPS[step]):
            planned = self.project.planned_changes("cluster")
            applied = self.project.terraform("cluster", "apply", "-input=false", "-no-color", "test.tfplan")
            assert applied.returncode == 0, applied.stdout + applied.stderr
            assert self.project.planned_changes("cluster") == {}
            before, self.workloads = self.workloads, self._read_workloads()
        self.changed_workloads = find_changes(before, self.workloads)
        return {address: "/".join(item["change"]["actions"]) for address, item in planned.items()}

    def steady_groups(self) -> set[str]:
        """Return the node groups that the managers need."""
        return {values["nodeSelector"]["node-group"] for _, values in runner_values(self.workloads)}

    def versions(self) -> dict[str, str]:
        """Return the version of each node group, as EKS answers."""
        eks, cluster = self.project.client("eks"), self.project.settings.cluster.name
        return {
            name: eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]["version"]
            for name in eks.list_nodegroups(clusterName=cluster)["nodegroups"]
        }

    def find_group(self, name: str) -> dict[str, Any]:
        """Return the Auto Scaling group of a node group."""
        (group,) = self.project.client("autoscaling").describe_auto_scaling_groups(
            Filters=[{"Name": "tag:eks:nodegroup-name", "Values": [name]}]
        )["AutoScalingGroups"]
        found: dict[str, Any] = group
        return found

    def _read_workloads(self) -> dict[str, Any]:
        text = (self.project.stack_folder("workloads") / "cdk.tf.json").read_text()
        stack: dict[str, Any] = json.loads(text)
        return stack


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Walk]:
    """The local environment before the upgrade, on an emulated AWS of its own."""
    with running_project(tmp_path_factory.mktemp("project") / "project", aws_reattach) as project:
        yield Walk(project)


def test_nodes_are_upgraded_beside_the_old_ones(walk: Walk) -> None:
    """EKS takes each step in its order, and no step replaces anything or touches another node group."""
    assert walk.take("update add-ons") == {f"{ADDON}coredns": "update"}
    assert walk.changed_workloads == set()

    assert walk.take("upgrade") == {CLUSTER: "update", f"{ADDON}kube-proxy": "update"}
    assert set(walk.versions().values()) == {"1.35"}

    added = walk.take("add")
    assert set(added.values()) == {"create"}
    assert all("main-2" in address for address in added)
    assert walk.changed_workloads == set()
    old, new = {"main-a", "main-b", "big-a", "big-b"}, {"main-2-a", "main-2-b"}
    assert walk.versions() == dict.fromkeys(old, "1.35") | dict.fromkeys(new, "1.36")

    assert walk.take("move") == {}
    assert {address.partition(".")[0] for address in walk.changed_workloads} == {"helm_release"}
    assert walk.steady_groups() == {"main-2"}

    # The autoscaler starts nodes for the jobs that go to main-2 now.
    walk.project.client("autoscaling").set_desired_capacity(
        AutoScalingGroupName=walk.find_group("main-2-a")["AutoScalingGroupName"],
        DesiredCapacity=NODES_OF_MAIN_2,
    )
    removed = walk.take("remove")
    assert set(removed.values()) == {"delete"}
    assert all("main" in address and "main-2" not in address for address in removed)
    assert walk.changed_workloads == set()
    assert walk.versions() == dict.fromkeys(("big-a", "big-b"), "1.35") | dict.fromkeys(new, "1.36")

    assert walk.take("release") == {f"aws_eks_node_group.node_group_big-{zone}": "update" for zone in "ab"}
    assert walk.changed_workloads == set()
    assert set(walk.versions().values()) == {"1.36"}
    assert walk.find_group("main-2-a")["DesiredCapacity"] == NODES_OF_MAIN_2
