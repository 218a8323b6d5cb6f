"""The most that may be spent on nodes: the sum of all groups' maxima, by instance type."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from plan_review.findings import Danger, Finding
from plan_review.plan import Change
from plan_review.values import Difference

GROUPS = ("aws_eks_node_group", "aws_autoscaling_group")


@dataclass(frozen=True)
class _Group:
    address: str
    before: tuple[str, int]
    after: tuple[str, int]


def find(changes: Sequence[Change]) -> Iterator[Finding]:
    """Yield one finding if the groups may have more, fewer or other nodes than before.

    Args:
        changes: All of a plan's resources, since those that stay count as well.

    """
    groups = [
        _Group(change.address, _most(change.before), _most(change.after))
        for change in changes
        if change.type in GROUPS and change.action != "forget"
    ]
    if all(group.before == group.after for group in groups):
        return
    before, after = (
        sum(size for _, size in side) for side in zip(*((g.before, g.after) for g in groups), strict=True)
    )
    items = [
        Difference(group.address, _shown(group.before), _shown(group.after))
        for group in groups
        if group.before != group.after
    ]
    yield Finding(
        Danger.CAPACITY,
        needs_approval=after > before,
        address="",
        text=f"at most {before} → {after} nodes in all groups together",
        differences=tuple(items),
    )


def _most(state: dict[str, Any] | None) -> tuple[str, int]:
    """Return the instance types and the maximum of a group; ("", 0) if it is not there."""
    if not state:
        return "", 0
    scaling = state.get("scaling_config")
    size = (scaling[0] if isinstance(scaling, list) and scaling else state).get("max_size")
    types = state.get("instance_types")
    # What is unknown, or set by a launch template, has no name here.
    known = [str(name) for name in types] if isinstance(types, list) else []
    return ", ".join(known), size if isinstance(size, int) else 0


def _shown(most: tuple[str, int]) -> str | None:
    types, size = most
    return f"{size} × {types or 'node'}" if size or types else None
