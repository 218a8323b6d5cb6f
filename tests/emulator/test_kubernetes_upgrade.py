"""EKS updates Kubernetes by one minor version at a time, and never back."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.emulator.project import Project

CLUSTER = "aws_eks_cluster.cluster"


@contextmanager
def running(project: Project, version: str) -> Iterator[None]:
    """Let the cluster run a Kubernetes version while the block runs."""
    eks, name = project.client("eks"), project.settings.cluster.name
    eks.update_cluster_version(name=name, version=version)
    try:
        yield
    finally:
        eks.update_cluster_version(name=name, version=project.settings.cluster.kubernetes_version)


def test_the_next_minor_version_is_an_update_in_place(deployed: Project) -> None:
    """From 1.35 to 1.36 the control plane and the node groups are updated, and nothing is replaced."""
    with deployed.changed({"cluster.kubernetes_version": "1.36"}):
        changes = deployed.planned_changes("cluster")
    assert changes[CLUSTER]["change"]["before"]["version"] == "1.35"
    assert changes[CLUSTER]["change"]["after"]["version"] == "1.36"
    assert {item["type"] for item in changes.values()} == {"aws_eks_cluster", "aws_eks_node_group"}
    assert {tuple(item["change"]["actions"]) for item in changes.values()} == {("update",)}


def test_a_node_group_can_be_held_back(deployed: Project) -> None:
    """With its old version a group is not part of the upgrade."""
    held = {f"cluster.node_groups.{name}.kubernetes_version": "1.35" for name in ("main", "big")}
    with deployed.changed({"cluster.kubernetes_version": "1.36", **held}):
        assert set(deployed.planned_changes("cluster")) == {CLUSTER}


@pytest.mark.parametrize(
    ("now", "wanted", "accepted"),
    [
        pytest.param("1.35", "1.34", "1.35 or 1.36", id="back by one"),
        pytest.param("1.35", "1.99", "1.35 or 1.36", id="a version that EKS does not have"),
        pytest.param("1.33", "1.35", "1.33 or 1.34", id="on by two"),
    ],
)
def test_a_jump_or_a_way_back_is_refused(deployed: Project, now: str, wanted: str, accepted: str) -> None:
    """The plan fails, with the setting, the version that runs, and what is accepted.

    Of a version that this project does not test, EKS is asked whether it exists.
    """
    changes = {
        "cluster.kubernetes_version": wanted,
        "versions.cluster_autoscaler_image_tag": f"v{wanted}.0",
    }
    with running(deployed, now), deployed.changed(changes):
        plan = deployed.plan("cluster")
    assert plan.returncode == 1
    assert (
        f"cluster.kubernetes_version: {wanted}: the cluster runs {now}. Accepted: {accepted}, since EKS"
        in plan.stderr
    )
    unknown = "1.99: EKS does not have it. Accepted: 1.33, 1.34, 1.35, 1.36."
    assert (unknown in plan.stderr) == (wanted == "1.99")


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
