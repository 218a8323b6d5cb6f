"""Values of a plan: masked where sensitive, marked where unknown, and how two of them differ."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sensitive:
    """A value that nobody may see; two of them can still be told apart."""

    value: Any = field(repr=False)

    def __str__(self) -> str:
        """Return what is shown in its place."""
        return "(sensitive)"

    def __hash__(self) -> int:
        """Return a hash for any value, lists among them."""
        return hash(_key(self))


@dataclass(frozen=True)
class Unknown:
    """A value that only the apply will bring; no two are known to be the same.

    Attributes:
        expression: Where the configuration takes it from; may be empty.

    """

    expression: str = ""

    def __str__(self) -> str:
        """Return Terraform's own words for it."""
        return f"(known after apply: {self.expression})" if self.expression else "(known after apply)"


UNKNOWN = Unknown()
# Deeper than any provider's schema, and far from Python's own limit.
DEEPEST = 100


@dataclass(frozen=True)
class Difference:
    """One attribute, or one element of a list, that a change gives another value.

    Attributes:
        path: The attribute's path, such as `scaling_config[0].max_size`.
        before: Its value; None if there is none.
        after: Its value; None if there is none.

    """

    path: str
    before: Any
    after: Any


def masked(value: Any, marks: Any) -> Any:
    """Return a value with everything that Terraform marks as sensitive behind `Sensitive`.

    Args:
        value: `before` or `after` of a plan's change.
        marks: `before_sensitive` or `after_sensitive`: the same shape, with true where it is sensitive.

    """
    if marks is True:
        return value if value is None or isinstance(value, Sensitive) else Sensitive(value)
    return _walked(value, marks, masked)


def masked_alike(value: Any, other: Any) -> Any:
    """Return a value with every text behind `Sensitive` that is sensitive elsewhere in another value.

    Elements of a list that move are marked at another place, or only on the side where they are known.
    """
    return _masked_texts(value, set(_sensitive_texts(other, hidden=False)))


def _sensitive_texts(value: Any, *, hidden: bool) -> Iterator[str]:
    if isinstance(value, Sensitive):
        yield from _sensitive_texts(value.value, hidden=True)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _sensitive_texts(part, hidden=hidden)
    elif isinstance(value, str) and value and hidden:
        yield value


def _masked_texts(value: Any, secrets: set[str]) -> Any:
    if not secrets:
        return value
    if isinstance(value, dict):
        return {key: _masked_texts(part, secrets) for key, part in value.items()}
    if isinstance(value, list):
        return [_masked_texts(part, secrets) for part in value]
    return Sensitive(value) if isinstance(value, str) and value in secrets else value


def with_unknowns(value: Any, marks: Any) -> Any:
    """Return `after` of a plan's change with `UNKNOWN` where `after_unknown` has true."""
    if marks is True:
        return UNKNOWN
    if isinstance(marks, dict) and isinstance(value, dict | None):
        value = {key: None for key in marks if _has_mark(marks[key])} | (value or {})
    elif isinstance(marks, list) and isinstance(value, list | None):
        value = [*(value or []), *[None] * (len(marks) - len(value or []))]
    return _walked(value, marks, with_unknowns)


def _has_mark(marks: Any) -> bool:
    if isinstance(marks, dict | list):
        return any(map(_has_mark, marks.values() if isinstance(marks, dict) else marks))
    return marks is True


def _walked(value: Any, marks: Any, step: Any) -> Any:
    if isinstance(value, dict) and isinstance(marks, dict):
        return {key: step(part, marks.get(key)) for key, part in value.items()}
    if isinstance(value, list) and isinstance(marks, list):
        padded = [*marks, *[None] * (len(value) - len(marks))]
        return [step(part, mark) for part, mark in zip(value, padded, strict=False)]
    return value


def is_within(path: str, outer: str) -> bool:
    """Return whether a path leads to an attribute, or to something in it."""
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def top_level(path: str) -> str:
    """Return the name of the attribute that a path begins with."""
    return re.split(r"[.\[]", path)[0]


def is_unknown(value: Any) -> bool:
    """Return whether only the apply will bring a value, be it sensitive or not."""
    return isinstance(value.value if isinstance(value, Sensitive) else value, Unknown)


def is_too_deep(value: Any) -> bool:
    """Return whether a value is nested deeper than `DEEPEST`."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            part
            for item in level
            if isinstance(item, dict | list)
            for part in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def blocks(value: Any) -> list[dict[str, Any]]:
    """Return the nested blocks that an attribute holds; not what is unknown or sensitive."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def nested(state: Any, path: str) -> Any:
    """Return an attribute by its path, such as `vpc_config.endpoint_public_access`; None if it is not there.

    Of a block that is there several times it is the first one's.
    """
    for name in path.split("."):
        state = next(iter(blocks(state)), {}).get(name)
    return state


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Yield what differs, leaf by leaf; a text that holds JSON is compared as the value that it holds."""
    if same(before, after):
        return
    left, right = parsed(before), parsed(after)
    if isinstance(left, dict) and isinstance(right, dict):
        for key in [*left, *(key for key in right if key not in left)]:
            yield from differences(left.get(key), right.get(key), _joined(path, key))
    elif isinstance(left, list) and isinstance(right, list):
        yield from _list_differences(left, right, path)
    else:
        yield Difference(path, before, after)


def same(before: Any, after: Any) -> bool:
    """Return whether a value stays; null, an empty list and an empty mapping are the same to Terraform."""
    if isinstance(before, Unknown) or isinstance(after, Unknown):
        return False
    if _is_empty(before) and _is_empty(after):
        return True
    return bool(before == after) and isinstance(before, bool) == isinstance(after, bool)


def _is_empty(value: Any) -> bool:
    return value is None or value in ([], {}, "")


def _joined(path: str, key: str) -> str:
    if key.replace("_", "").replace("-", "").isalnum():
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key)}]"


def _list_differences(before: list[Any], after: list[Any], path: str) -> Iterator[Difference]:
    """Yield what differs between two lists, which in a plan's JSON may be sets: order means nothing."""
    gone, new = unmatched(before, after)
    if not gone and not new:
        yield Difference(path, before, after)  # the same entries in another order
    elif len(gone) == len(new) and all(_has_parts(item) for _, item in [*gone, *new]):
        for (index, left), (_, right) in zip(gone, new, strict=True):
            yield from differences(left, right, f"{path}[{index}]")
    else:
        yield from (Difference(path, item, None) for _, item in gone)
        yield from (Difference(path, None, item) for _, item in new)


def unmatched(
    before: Sequence[Any], after: Sequence[Any]
) -> tuple[list[tuple[int, Any]], list[tuple[int, Any]]]:
    """Return what only one of two lists has, each with its place there."""
    places = defaultdict(list)
    for index, item in enumerate(before):
        places[_key(item)].append(index)
    new = []
    for index, item in enumerate(after):
        same_items = places[_key(item)]
        if same_items and not is_unknown(item):
            same_items.pop(0)
        else:
            new.append((index, item))
    left = sorted(index for indexes in places.values() for index in indexes)
    return [(index, before[index]) for index in left], new


def _key(value: Any) -> str:
    """Return a text that two values share if they are equal."""
    return json.dumps(value, sort_keys=True, default=lambda item: [str(item), getattr(item, "value", None)])


def _has_parts(value: Any) -> bool:
    """Return whether a list's element may be the old one in another form, not another one."""
    return isinstance(parsed(value), dict | list) or (isinstance(value, str) and "\n" in value)


def parsed(value: Any) -> Any:
    """Return the object or list that a text holds as JSON, else the value itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return value if is_too_deep(found) else found
    return value
