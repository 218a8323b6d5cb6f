"""New nodes beside the old ones, step by step as docs/operations.md says: no step touches anything else."""

from collections.abc import Callable

from stacks.versions import CLUSTER_AUTOSCALER_IMAGE_TAGS
from tests.environments import Synthesized, runner_values
from tests.node_upgrade import STEPS, find_changes
from tests.unit.test_placement import executor, groups_of


def test_only_the_control_plane_is_upgraded_while_groups_are_held(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """With a version of its own each group stays as it is; the autoscaler follows the control plane."""
    before, after = (synthesize_changed(STEPS[step]) for step in ("update add-ons", "upgrade"))
    changed = find_changes(before["cluster"], after["cluster"])
    assert changed == {"aws_eks_cluster.cluster", "aws_eks_addon.addon_kube-proxy"}
    changed = find_changes(before["workloads"], after["workloads"])
    (release,) = changed
    values = after["workloads"]["resource"]["helm_release"][release.partition(".")[2]]["values"][0]
    assert CLUSTER_AUTOSCALER_IMAGE_TAGS["1.36"] in values


def test_a_new_group_has_the_new_version_and_changes_no_other(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """The second step creates the new group and its launch template, and no workload moves there yet."""
    before, after = (synthesize_changed(STEPS[step]) for step in ("upgrade", "add"))
    changed = find_changes(before["cluster"], after["cluster"])
    assert changed
    assert all("main-2" in address for address in changed)
    assert find_changes(before["workloads"], after["workloads"]) == set()
    versions = {
        name: group["version"] for name, group in after["cluster"]["resource"]["aws_eks_node_group"].items()
    }
    assert versions == {
        f"node_group_{group}-{zone}": "1.36" if group == "main-2" else "1.35"
        for group in ("main", "big", "main-2")
        for zone in "abc"
    }


def test_fleets_and_autoscaler_move_without_a_change_of_nodes(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """The first steady group carries managers and autoscaler; jobs go where the fleet says."""
    before, after = (synthesize_changed(STEPS[step]) for step in ("add", "move"))
    assert find_changes(before["cluster"], after["cluster"]) == set()
    assert groups_of(executor(after)) == ["big", "main-2"]
    for stacks, steady in ((before, "main"), (after, "main-2")):
        for _, values in runner_values(stacks["workloads"]):
            assert values["nodeSelector"] == {"node-group": steady}


def test_the_old_group_alone_is_removed(synthesize_changed: Callable[..., Synthesized]) -> None:
    """The last step destroys the old group with its tags and launch template, and changes no workload."""
    before, after = (synthesize_changed(STEPS[step]) for step in ("move", "remove"))
    changed = find_changes(before["cluster"], after["cluster"])
    assert changed
    for address in changed:
        kind, name = address.split(".")
        assert name not in after["cluster"]["resource"][kind]
        assert "main" in name
        assert "main-2" not in name
    assert find_changes(before["workloads"], after["workloads"]) == set()


def test_the_held_group_alone_gets_the_new_version(synthesize_changed: Callable[..., Synthesized]) -> None:
    """After the last step every group has the cluster's version, and no workload has changed."""
    before, after = (synthesize_changed(STEPS[step]) for step in ("remove", "release"))
    changed = find_changes(before["cluster"], after["cluster"])
    assert changed == {f"aws_eks_node_group.node_group_big-{zone}" for zone in "abc"}
    groups = after["cluster"]["resource"]["aws_eks_node_group"].values()
    assert {group["version"] for group in groups} == {"1.36"}
    assert find_changes(before["workloads"], after["workloads"]) == set()
