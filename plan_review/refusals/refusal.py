"""One refusal, and the reading of attributes that the rules share."""

import re
from dataclasses import dataclass
from typing import Any

from plan_review.plan import Change
from plan_review.values import get_nested


@dataclass(frozen=True)
class Refusal:
    """A value that AWS refuses.

    Attributes:
        path: The attribute's path.
        after: The value.
        rule: The rule that it breaks, as a clause.
        source: The title of the page that has the rule.
        before: The value before; None if the rule is not about a change.
        is_certain: False if the account may have another quota, or the rule an exception.

    """

    path: str
    after: Any
    rule: str
    source: str
    before: Any = None
    is_certain: bool = True


def get_number(state: Any, path: str) -> float | None:
    """Return a number by its path; None if it is not set or unknown."""
    value = get_nested(state, path)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def get_text(state: Any, path: str) -> str:
    """Return a text by its path; empty if it is not set, unknown or sensitive."""
    value = get_nested(state, path)
    return value if isinstance(value, str) else ""


def list_texts(value: Any) -> list[str] | None:
    """Return a list of texts; None if a part of it is unknown."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return value


def is_written(change: Change, name: str) -> bool:
    """Return whether the configuration sets an attribute; false if the plan holds no configuration."""
    return change.configured is not None and name in change.configured


def is_new(change: Change) -> bool:
    """Return whether the apply creates the resource: then all of its attributes are sent."""
    return change.action in ("create", "replace")


def is_sent(change: Change, *names: str) -> bool:
    """Return whether the apply sends one of several attributes: that of a new resource, or a changed one."""
    if change.before is None or is_new(change):
        return True
    return any(change.before.get(name) != (change.after or {}).get(name) for name in names)


def parse_minor(version: str) -> int | None:
    """Return the minor version of Kubernetes in a text such as 1.35."""
    found = re.fullmatch(r"1\.(\d+)", version)
    return int(found[1]) if found else None
