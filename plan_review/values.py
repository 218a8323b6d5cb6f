"""Values of a plan: mask the sensitive ones, mark the unknown ones, and compare them."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Sensitive:
    """A sensitive value. It is never shown, but it can be compared with another one."""

    value: Any = field(repr=False)

    def __str__(self) -> str:
        """Return the text that the report shows instead of the value."""
        return "(sensitive)"

    def __hash__(self) -> int:
        """Return a hash; the value may be a list or a map."""
        return hash(equality_key(self))


@dataclass(frozen=True)
class Unknown:
    """A value that is known only after the apply; two of them are never taken for equal.

    Attributes:
        expression: The reference that the configuration has for it; may be empty.

    """

    expression: str = ""

    def __str__(self) -> str:
        """Return Terraform's own words for it."""
        return f"(known after apply: {self.expression})" if self.expression else "(known after apply)"


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Difference:
    """One attribute, or one element of a list, that gets another value.

    Attributes:
        path: The attribute's path, such as `scaling_config[0].max_size`.
        before: Its value; None if there is none.
        after: Its value; None if there is none.

    """

    path: str
    before: Any
    after: Any


def mask_sensitive(value: Any, marks: Any) -> Any:
    """Return a value with every part behind `Sensitive` that Terraform marks as sensitive.

    Args:
        value: `before` or `after` of a plan's change.
        marks: `before_sensitive` or `after_sensitive`: the same shape, with true for a sensitive part.

    """
    if marks is True:
        return value if value is None or isinstance(value, Sensitive) else Sensitive(value)
    return _map_parts(value, marks, mask_sensitive)


def mask_secrets_of(value: Any, other: Any) -> Any:
    """Return a value with every string masked that is sensitive anywhere in `other`.

    When an element of a list moves, Terraform marks it at another index, or only on one side.
    """
    return _mask_strings(value, set(_sensitive_strings(other, hidden=False)))


def _sensitive_strings(value: Any, *, hidden: bool) -> Iterator[str]:
    if isinstance(value, Sensitive):
        yield from _sensitive_strings(value.value, hidden=True)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _sensitive_strings(part, hidden=hidden)
    elif isinstance(value, str) and value and hidden:
        yield value


def _mask_strings(value: Any, secrets: set[str]) -> Any:
    if not secrets:
        return value
    if isinstance(value, dict):
        return {key: _mask_strings(part, secrets) for key, part in value.items()}
    if isinstance(value, list):
        return [_mask_strings(part, secrets) for part in value]
    return Sensitive(value) if isinstance(value, str) and value in secrets else value


def mark_unknown(value: Any, marks: Any) -> Any:
    """Return `after` of a plan's change with `UNKNOWN` where `after_unknown` has true."""
    if marks is True:
        return UNKNOWN
    if isinstance(marks, dict) and isinstance(value, dict | None):
        value = {key: None for key in marks if has_mark(marks[key])} | (value or {})
    elif isinstance(marks, list) and isinstance(value, list | None):
        value = [*(value or []), *[None] * (len(marks) - len(value or []))]
    return _map_parts(value, marks, mark_unknown)


def has_mark(marks: Any) -> bool:
    """Return whether marks have true for any part of a value."""
    if isinstance(marks, dict | list):
        return any(map(has_mark, marks.values() if isinstance(marks, dict) else marks))
    return marks is True


def _map_parts(value: Any, marks: Any, function: Callable[[Any, Any], Any]) -> Any:
    """Call a function with each part of a value and the mark of the part."""
    if isinstance(value, dict) and isinstance(marks, dict):
        return {key: function(part, marks.get(key)) for key, part in value.items()}
    if isinstance(value, list) and isinstance(marks, list):
        padded = [*marks, *[None] * (len(value) - len(marks))]
        return [function(part, mark) for part, mark in zip(value, padded, strict=False)]
    return value


def is_within(path: str, outer: str) -> bool:
    """Return whether a path is that of an attribute, or of a part of it."""
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def top_level(path: str) -> str:
    """Return the name of the attribute that a path begins with."""
    return re.split(r"[.\[]", path)[0]


def is_unknown(value: Any) -> bool:
    """Return whether a value, sensitive or not, is known only after the apply."""
    return isinstance(value.value if isinstance(value, Sensitive) else value, Unknown)


def list_blocks(value: Any) -> list[dict[str, Any]]:
    """Return the nested blocks of an attribute, without unknown and sensitive ones."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def list_strings(value: Any) -> list[str]:
    """Return the strings of a list, or a single string; an unknown value as the report shows it."""
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item is not None]


def get_nested(state: Any, path: str) -> Any:
    """Return an attribute by its path, such as `vpc_config.endpoint_public_access`; None if it is not set.

    If a block is repeated, the first one is read.
    """
    for name in path.split("."):
        state = next(iter(list_blocks(state)), {}).get(name)
    return state


def find_differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Yield each attribute that differs; a string that holds JSON is compared as the value in it."""
    if is_equal(before, after):
        return
    left, right = parse_json(before), parse_json(after)
    if isinstance(left, dict) and isinstance(right, dict):
        for key in [*left, *(key for key in right if key not in left)]:
            yield from find_differences(left.get(key), right.get(key), _join_path(path, key))
    elif isinstance(left, list) and isinstance(right, list):
        yield from _find_list_differences(left, right, path)
    else:
        yield Difference(path, before, after)


def is_equal(before: Any, after: Any) -> bool:
    """Return whether two values are equal; to Terraform null, an empty list and an empty map are."""
    if isinstance(after, Unknown) or isinstance(before, Unknown):
        return False
    if is_empty(before) and is_empty(after):
        return True
    return bool(before == after) and isinstance(before, bool) == isinstance(after, bool)


def is_empty(value: Any) -> bool:
    """Return whether a value is null or empty."""
    return value is None or value in ([], {}, "")


def _join_path(path: str, key: str) -> str:
    if key.replace("_", "").replace("-", "").isalnum():
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key)}]"


def _find_list_differences(before: list[Any], after: list[Any], path: str) -> Iterator[Difference]:
    """Yield the differences of two lists. In a plan's JSON they may be sets, which have no order."""
    removed, added = find_unmatched(before, after)
    if not removed and not added:
        yield Difference(path, before, after)  # the same elements in another order
    elif len(removed) == len(added) and all(_has_parts(item) for _, item in [*removed, *added]):
        for (index, left), (_, right) in zip(removed, added, strict=True):
            yield from find_differences(left, right, f"{path}[{index}]")
    else:
        yield from (Difference(path, item, None) for _, item in removed)
        yield from (Difference(path, None, item) for _, item in added)


def find_unmatched(
    before: Sequence[Any], after: Sequence[Any]
) -> tuple[list[tuple[int, Any]], list[tuple[int, Any]]]:
    """Return the elements that only one of two lists has, each with its index."""
    indexes = defaultdict(list)
    for index, item in enumerate(before):
        indexes[equality_key(item)].append(index)
    added = []
    for index, item in enumerate(after):
        equal_items = indexes[equality_key(item)]
        if equal_items and not is_unknown(item):
            equal_items.pop(0)
        else:
            added.append((index, item))
    left = sorted(index for found in indexes.values() for index in found)
    return [(index, before[index]) for index in left], added


_KEYS = json.JSONEncoder(sort_keys=True, default=lambda item: [str(item), getattr(item, "value", None)])


def equality_key(value: Any) -> str:
    """Return a string that is the same for equal values."""
    # A text, the most frequent value, needs no escapes to differ from all others.
    if isinstance(value, str):
        return f'"{value}'
    return repr(value) if isinstance(value, int | float | None) else _KEYS.encode(value)


def _has_parts(value: Any) -> bool:
    """Return whether an element of a list can be edited in part, so that two elements can be compared."""
    return isinstance(parse_json(value), dict | list) or (isinstance(value, str) and "\n" in value)


@cache
def compile_wildcards(text: str, flags: re.RegexFlag) -> re.Pattern[str]:
    """Return a text in which `*` stands for any characters and `?` for one, as a pattern.

    Not fnmatch: to it the index of an address is a set of characters.
    """
    first, *others = (re.escape(part).replace(r"\?", ".") for part in re.sub(r"\*+", "*", text).split("*"))
    if not others:
        return re.compile(first, flags)
    # As in Python's fnmatch: a part between two * is found once and for all, so no text takes long.
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    return re.compile(f"{first}{middle}.*{others[-1]}", flags)


def parse_json(value: Any) -> Any:
    """Return the object or list that a string holds as JSON, else the value itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def escape_invisible(text: str) -> str:
    """Return a string with each invisible character, and each that reverses text, as a Python escape."""
    return "".join(
        character
        if character.isprintable() or character == "\t"
        else character.encode("unicode_escape").decode()
        for character in text
    )
