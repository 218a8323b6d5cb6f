"""New nodes beside the old ones, step by step as docs/operations.md says: no step touches anything else."""

from collections.abc import Callable
from typing import Any

from stacks.versions import CLUSTER_AUTOSCALER_IMAGE_TAGS
from tests.environments import Changes, Synthesized, runner_values
from tests.unit.test_placement import executor, groups_of

GROUPS = "cluster.node_groups"
OLD: dict[str, Any] = {"instance_types": ["m5.2xlarge"], "min_size": 1, "max_size": 10}
BIG: dict[str, Any] = {"instance_types": ["m5.8xlarge"], "max_size": 4}
HELD = {"kubernetes_version": "1.35"}

FLEET = "runners.default.node_groups"
CONTROL_PLANE: Changes = {"cluster.kubernetes_version": "1.36"}
STEPS: dict[str, Changes] = {
    "before": {GROUPS: {"main": OLD, "big": BIG}},
    "upgrade": CONTROL_PLANE | {GROUPS: {"main": OLD | HELD, "big": BIG | HELD}, FLEET: ["main", "big"]},
    "add": CONTROL_PLANE
    | {GROUPS: {"main": OLD | HELD, "big": BIG | HELD, "main-2": OLD}, FLEET: ["main", "big"]},
    "move": CONTROL_PLANE
    | {
        GROUPS: {"main-2": OLD, "main": OLD | HELD, "big": BIG | HELD},
        FLEET: ["main-2", "big"],
    },
    "remove": CONTROL_PLANE
    | {
        GROUPS: {"main-2": OLD, "big": BIG | HELD},
        FLEET: ["main-2", "big"],
    },
}


def find_changes(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Return the addresses that differ between the JSON of a stack before and after.

    A resource that only waits for other ones counts as unchanged.
    """

    def resources(stack: dict[str, Any]) -> dict[str, Any]:
        return {
            f"{kind}.{name}": {key: value for key, value in item.items() if key != "depends_on"}
            for kind, named in stack["resource"].items()
            for name, item in named.items()
        }

    old, new = resources(before), resources(after)
    return {address for address in old | new if old.get(address) != new.get(address)}


def test_only_the_control_plane_is_upgraded_while_groups_are_held(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """With a version of its own each group stays as it is; the autoscaler follows the control plane."""
    before, after = (synthesize_changed(STEPS[step]) for step in ("before", "upgrade"))
    changed = find_changes(before["cluster"], after["cluster"])
    assert changed == {"aws_eks_cluster.cluster"}
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
