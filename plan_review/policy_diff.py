"""Compare two IAM policy documents statement by statement, and judge whether the new one may grant more."""

import difflib
import itertools
import operator
from typing import Any

from plan_review.values import parse_json

# Two statements with at least this share of equal lines are shown as one that was edited.
SIMILARITY_THRESHOLD = 0.5

_LISTS = ("Action", "NotAction", "Resource", "NotResource")
_PRINCIPALS = ("Principal", "NotPrincipal")
_Statement = dict[str, Any]


def read_statements(value: Any) -> list[_Statement] | None:
    """Return the statements of a policy document in a string; None if the string holds none."""
    document = parse_json(value) if isinstance(value, str) else None
    if not isinstance(document, dict) or "Statement" not in document:
        return None
    statements = document["Statement"]
    statements = statements if isinstance(statements, list) else [statements]
    return statements if all(isinstance(item, dict) for item in statements) else None


def diff_statements(before: Any, after: Any) -> tuple[list[str], bool]:
    """Return the changed statements as lines of a diff, and whether the new ones may grant more.

    Args:
        before: The statements before; None if there was no policy.
        after: The statements afterwards; None if there is no policy, else a value that can't be read.

    """
    if not isinstance(after, list | None):
        removed = [f"- {line}" for item in before or [] for line in _write_lines(_normalize(item))]
        return [*removed, f"+ {after}"], True
    lines: list[str] = []
    widens = False
    for old, new in _pair_statements(before or [], after or []):
        if old == new:
            continue
        left, right = _write_lines(old) if old else [], _write_lines(new) if new else []
        # Not ndiff: it takes very long where many lines are alike.
        changed = difflib.unified_diff(left, right, lineterm="", n=len(left))
        lines += [f"{line[0]} {line[1:]}" for line in itertools.islice(changed, 3, None)]
        widens |= _may_grant_more(old, new)
    return lines, widens


def _pair_statements(
    before: list[_Statement], after: list[_Statement]
) -> list[tuple[_Statement | None, _Statement | None]]:
    """Pair the statements of two documents: equal ones, then by Sid, then similar ones."""
    left = [_normalize(item) for item in before]
    right = [_normalize(item) for item in after]
    pairs: list[tuple[_Statement | None, _Statement | None]] = []
    for match in (operator.eq, _have_same_sid, _are_similar):
        for old in list(left):
            new = next((item for item in right if match(old, item)), None)
            if new is not None:
                pairs.append((old, new))
                left.remove(old)
                right.remove(new)
    return [*pairs, *((old, None) for old in left), *((None, new) for new in right)]


def _have_same_sid(old: _Statement, new: _Statement) -> bool:
    return bool(old.get("Sid")) and old.get("Sid") == new.get("Sid")


def _are_similar(old: _Statement, new: _Statement) -> bool:
    ratio = difflib.SequenceMatcher(None, _write_lines(old), _write_lines(new), autojunk=False).ratio()
    return old["Effect"] == new["Effect"] and ratio >= SIMILARITY_THRESHOLD


def _normalize(statement: _Statement) -> _Statement:
    """Return a statement in one form: to IAM a value equals a list of one, and order has no meaning."""
    normal = {"Effect": statement.get("Effect", "Allow")} | statement
    for key in _LISTS:
        if key in normal:
            normal[key] = _sort_strings(normal[key])
    for key in _PRINCIPALS:
        given = normal.get(key)
        if isinstance(given, dict):
            normal[key] = {kind: _sort_strings(part) for kind, part in given.items()}
    condition = normal.get("Condition")
    if isinstance(condition, dict):
        normal["Condition"] = {
            operator: {key: _sort_strings(part) for key, part in keys.items()}
            if isinstance(keys, dict)
            else keys
            for operator, keys in condition.items()
        }
    return normal


def _sort_strings(value: Any) -> list[str]:
    return sorted(map(str, value if isinstance(value, list) else [value]))


def _write_lines(statement: _Statement) -> list[str]:
    """Return a statement as lines, one for each action, resource, principal and condition."""
    sid = f" {statement['Sid']}" if statement.get("Sid") else ""
    lines = [f"{statement['Effect']}{sid}"]
    for key in _PRINCIPALS:
        given = statement.get(key)
        if isinstance(given, dict):
            lines += [f"  {key} {kind}: {part}" for kind, parts in sorted(given.items()) for part in parts]
        elif given is not None:
            lines.append(f"  {key}: {given}")
    for key in _LISTS:
        lines += [f"  {key}: {part}" for part in statement.get(key, [])]
    condition = statement.get("Condition")
    if isinstance(condition, dict):
        lines += [
            f"  Condition {operator} {key}: {part}"
            for operator, keys in sorted(condition.items())
            for key, parts in (sorted(keys.items()) if isinstance(keys, dict) else [("", [keys])])
            for part in parts
        ]
    return lines


def _may_grant_more(old: _Statement | None, new: _Statement | None) -> bool:
    """Return whether the new statement may allow something that the old one did not."""
    if old is None or new is None:
        statement = old or new or {}
        return bool((statement["Effect"] == "Allow") == (old is None))
    if old["Effect"] != new["Effect"] or old.get("Condition") != new.get("Condition"):
        return True
    for key in (*_LISTS, *_PRINCIPALS):
        left, right = (set(_flatten(item.get(key))) for item in (old, new))
        if left == right:
            continue
        grows = not right <= left or not right
        shrinks = not left <= right or not left
        # Not… keys and Deny reverse the direction: a longer list grants less.
        if shrinks if key.startswith("Not") != (new["Effect"] == "Deny") else grows:
            return True
    return False


def _flatten(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{kind}: {part}" for kind, parts in value.items() for part in parts]
    return value if isinstance(value, list) else [] if value is None else [str(value)]
