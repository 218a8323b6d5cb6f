"""The most that may be spent on nodes: the sum of all groups' maxima, by instance type.

A change needs an approval if there may be more nodes of any type than before, since a plan knows no
prices; or if only the apply will tell how many.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from plan_review.findings import Danger, Finding
from plan_review.plan import Change
from plan_review.values import Difference, nested

# By type: where the maximum is, or the number of nodes of a group that does not scale; and the
# attribute that names the machines.
GROUPS = {
    "aws_eks_node_group": (("scaling_config.max_size",), "instance_types"),
    "aws_autoscaling_group": (("max_size",), ""),
    "google_container_node_pool": (("autoscaling.max_node_count", "node_count"), "node_config.machine_type"),
    "azurerm_kubernetes_cluster_node_pool": (("max_count", "node_count"), "vm_size"),
}


@dataclass(frozen=True)
class _Most:
    """The most nodes that a group may have, of which types; None if that is not known."""

    size: int | None = 0
    types: str = ""

    def __str__(self) -> str:
        """Return it as a reader takes it in."""
        return f"{'unknown' if self.size is None else self.size} × {self.types or 'node'}"


def find(changes: Sequence[Change]) -> Iterator[Finding]:
    """Yield one finding if the groups may have more, fewer or other nodes than before.

    Args:
        changes: All of a plan's resources, since those that stay count as well.

    """
    groups = [
        (change.address, _most(change.type, change.before), _most(change.type, change.after))
        for change in changes
        if change.type in GROUPS and change.action != "forget"
    ]
    if all(before == after for _, before, after in groups):
        return
    before, after = (_by_type(side) for side in ([group[1] for group in groups], [g[2] for g in groups]))
    unknown = any(most.size is None for _, _, most in groups)
    yield Finding(
        Danger.CAPACITY,
        needs_approval=unknown or any(after[types] > before[types] for types in after),
        address="",
        text=f"at most {before.total()} → {after.total()} nodes in all groups together"
        + (", and more that only the apply will tell" if unknown else ""),
        differences=tuple(
            Difference(address, str(old) if old != _Most() else None, str(new) if new != _Most() else None)
            for address, old, new in groups
            if old != new
        ),
    )


def shows(change: Change, path: str) -> bool:
    """Return whether the finding of a plan shows an attribute of a group."""
    if change.type not in GROUPS or _most(change.type, change.before) == _most(change.type, change.after):
        return False
    sizes, machines = GROUPS[change.type]
    return re.sub(r"\[\d+\]", "", path) in (*sizes, machines)


def _by_type(groups: Sequence[_Most]) -> Counter[str]:
    total: Counter[str] = Counter()
    for most in groups:
        total[most.types] += most.size or 0
    return total


def _most(kind: str, state: dict[str, Any] | None) -> _Most:
    sizes, machines = GROUPS[kind]
    size = next((found for path in sizes if (found := nested(state, path)) is not None), 0)
    types = nested(state, machines)
    # What is unknown, or set by a launch template, has no name here.
    names = [str(item) for item in (types if isinstance(types, list) else [types]) if isinstance(item, str)]
    if not isinstance(size, int):
        return _Most(None, ", ".join(names))
    return _Most(size, ", ".join(names)) if size else _Most()
