"""The maximum of nodes: the sum over all node groups, by instance type. The number that a plan sets.

An approval does not depend on prices (money.py has them): the table of prices lacks types and regions, and
an update of it would change what needs an approval. Within a family, such as m5, the price follows the size.
So a change needs an approval if a family may have more machine than before, or if the maximum is known only
after the apply.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from plan_review.findings import Category, Finding
from plan_review.plan import Change
from plan_review.values import UNKNOWN, Difference, get_nested

# By type: the attribute with the maximum, and the one with the instance types.
GROUPS = {
    "aws_eks_node_group": ("scaling_config.max_size", "instance_types"),
    "aws_autoscaling_group": ("max_size", ""),
}
# Their nodes or instances are counted elsewhere, or not at all.
_TEMPLATES = frozenset({"aws_launch_template", "aws_launch_configuration", "aws_instance"})
# The size of `large` and smaller, with xlarge as 1 (Amazon EC2, "Instance type naming conventions"). The
# settings have the same order (stacks/settings/node_groups.py): this folder reads plans of any project, and
# imports no settings.
_SMALL_SIZES = {"nano": 1 / 32, "micro": 1 / 16, "small": 1 / 8, "medium": 1 / 4, "large": 1 / 2}

# More nodes than any group can have. A larger number is no number to count with.
_MOST_NODES = 10**9


@dataclass(frozen=True)
class _Maximum:
    """The maximum of nodes of a group, None if it is unknown, and their instance types."""

    size: int | None = 0
    types: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the text that the report shows."""
        size = UNKNOWN if self.size is None else self.size
        return f"{size} × {', '.join(self.types) or 'node'}"


@dataclass(frozen=True)
class NodeNumber:
    """The number of nodes that a plan sets for an EKS node group, by the group's names in EKS."""

    cluster: str
    group: str
    number: int


def find_numbers_set(changes: Sequence[Change]) -> Iterator[tuple[Change, NodeNumber]]:
    """Yield the node groups whose number of nodes an apply sets, though the number itself does not change.

    The AWS provider sends the number of the time of the plan together with a new minimum or maximum.
    """
    for change in changes:
        if change.type != "aws_eks_node_group" or change.action != "update":
            continue
        before, after = change.get("scaling_config")
        number = get_nested(change.after, "scaling_config.desired_size")
        if before != after and isinstance(number, int):
            cluster, group = (
                str((change.after or {}).get(f"{kind}_name")) for kind in ("cluster", "node_group")
            )
            yield change, NodeNumber(cluster, group, number)


def find(changes: Sequence[Change]) -> Iterator[Finding]:
    """Yield one finding if the groups may have more, fewer or other nodes than before, and others.

    The others name the groups whose number of nodes an apply of the plan sets.

    Args:
        changes: All resources of a plan, since unchanged groups count as well.

    """
    yield from _find_maximum(changes)
    for change in changes:
        yield from _find_larger(change)
    for change, item in find_numbers_set(changes):
        yield Finding(
            Category.CAPACITY,
            needs_approval=False,
            address=change.address,
            text=f"sets the group {item.group} to {item.number} node(s), its number at the time of this plan"
            "; `apply` refuses that if the group has more by then",
        )


def _find_maximum(changes: Sequence[Change]) -> Iterator[Finding]:
    groups = [
        (change, _read_maximum(change.type, change.before), _read_maximum(change.type, change.after))
        for change in changes
        if change.type in GROUPS and change.action != "forget"
    ]
    changed = [group for group in groups if group[1] != group[2]]
    if not changed:
        return
    old, new = [before for _, before, _ in groups], [after for _, _, after in groups]
    unknown = any(maximum.size is None for maximum in (*old, *new))
    before, after = _add_by_family(old), _add_by_family(new)
    yield Finding(
        Category.CAPACITY,
        needs_approval=unknown or any(after[family] > before[family] for family in after),
        address="",
        text=f"at most {_count_nodes(old)} → {_count_nodes(new)} nodes in all groups together"
        + (", and an unknown number more" if unknown else ""),
        differences=tuple(
            Difference(
                change.address,
                None if before == _Maximum() else str(before),
                None if after == _Maximum() else str(after),
            )
            for change, before, after in changed
        ),
        covers=tuple(
            (change.address, path.replace(".", "[0]."))
            for change, _, _ in changed
            for path in GROUPS[change.type]
        ),
    )


def _find_larger(change: Change) -> Iterator[Finding]:
    """Yield the finding of an instance, or of a template of instances, that gets another instance type."""
    before, after = change.get("instance_type")
    if (
        change.type not in _TEMPLATES
        or change.action not in ("update", "replace")
        or before == after
        or not isinstance(before, str)
        or not isinstance(after, str)
    ):
        return
    (old_family, old), (new_family, new) = _split_type(before), _split_type(after)
    yield Finding(
        Category.CAPACITY,
        needs_approval=old_family != new_family or new > old,
        address=change.address,
        text="gets another instance type",
        differences=(Difference("instance_type", before, after),),
    )


def _read_maximum(kind: str, state: dict[str, Any] | None) -> _Maximum:
    size_path, types_path = GROUPS[kind]
    size = get_nested(state, size_path) or 0
    types = get_nested(state, types_path)
    # Unknown instance types, and those of a launch template, have no name in the plan.
    names = tuple(item for item in (types if isinstance(types, list) else []) if isinstance(item, str))
    if not isinstance(size, int) or abs(size) > _MOST_NODES:
        return _Maximum(None, names)
    return _Maximum(size, names) if size else _Maximum()


def _count_nodes(maxima: Sequence[_Maximum]) -> int:
    return sum(maximum.size or 0 for maximum in maxima)


def _add_by_family(maxima: Sequence[_Maximum]) -> dict[str, float]:
    """Return the nodes of each family, weighted by their size; in a group its largest type counts."""
    total: defaultdict[str, float] = defaultdict(float)
    for maximum in maxima:
        weights: defaultdict[str, float] = defaultdict(float)
        for family, weight in map(_split_type, maximum.types or ("",)):
            weights[family] = max(weights[family], weight)
        for family, weight in weights.items():
            total[family] += (maximum.size or 0) * weight
    return total


def _split_type(name: str) -> tuple[str, float]:
    """Return the family of an instance type and its size in xlarge; an unknown size is its own family.

    metal-24xl is 24xlarge. Plain metal has no number, so it is unknown.
    """
    family, _, size = name.partition(".")
    found = re.fullmatch(r"(\d*)xlarge|metal-(\d+)xl", size)
    if found:
        return family, float(found[1] or found[2] or 1)
    return (family, _SMALL_SIZES[size]) if size in _SMALL_SIZES else (name, 1.0)
