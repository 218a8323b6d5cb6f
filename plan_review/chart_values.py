"""Read the values of a Helm release, with the TOML of GitLab Runner in them."""

import copy
import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from plan_review.values import list_blocks
from plan_review.yaml_text import ERRORS, load_yaml

# Helm, "The Format and Limitations of --set": names with dots, indexes in brackets, escapes with a backslash.
_NAME_PARTS = re.compile(r"((?:[^.\[\]\\]|\\.)+)|\[(\d{1,4})\]")
SET_ATTRIBUTES = ("set", "set_list", "set_sensitive")


def read_documents(state: dict[str, Any]) -> list[Any]:
    """Return the documents in a release's `values`, each with what its `set` blocks set."""
    texts = state.get("values")
    documents = [
        read_yaml(text) for text in (texts if isinstance(texts, list) else []) if isinstance(text, str)
    ]
    blocks = [block for name in SET_ATTRIBUTES for block in list_blocks(state.get(name))]
    if not blocks:
        return documents
    written = copy.deepcopy([item for item in documents if isinstance(item, dict)]) or [{}]
    for document in written:
        for block in blocks:
            _set(document, str(block.get("name")), _read_set(block))
    return written


def _read_set(block: dict[str, Any]) -> Any:
    """Return the value of a `set` block as Helm reads it."""
    value = block.get("value")
    if not isinstance(value, str) or block.get("type") == "string":
        return value
    if value.startswith("{") and value.endswith("}"):
        return [item.strip() for item in value[1:-1].split(",")]
    return {"true": True, "false": False}.get(value, value)


def _set(document: dict[str, Any], name: str, value: Any) -> None:
    """Set one value by its name, and make the maps and lists on the way to it."""
    parts: list[Any] = [
        int(index) if index else re.sub(r"\\(.)", r"\1", key) for key, index in _NAME_PARTS.findall(name)
    ]
    if not parts or isinstance(parts[0], int):
        return  # Helm refuses such a name
    place: Any = document
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        if isinstance(part, int):
            place.extend(None for _ in range(part + 1 - len(place)))
            found = place[part]
        else:
            found = place.get(part)
        if after is None:
            place[part] = value
        else:
            wanted = list if isinstance(after, int) else dict
            place[part] = found if isinstance(found, wanted) else wanted()
            place = place[part]


def read_keys(given: Any) -> dict[str, tuple[str, Any]]:
    """Return each scalar of a release's `values` by its path: its key, and the scalar itself.

    Values that are unknown, sensitive or unreadable have no keys.
    """
    if not isinstance(given, list):
        return {}
    documents = [read_yaml(text) if isinstance(text, str) else None for text in given]
    values = documents[0] if len(documents) == 1 else documents
    return {path: (key, value) for path, key, value in _walk(values, "", "", set())}


def walk_keys(documents: list[Any]) -> set[tuple[str, Any]]:
    """Return each scalar in documents: its key, and the scalar itself."""
    return {
        (key, value) for _, key, value in _walk(documents, "", "", set()) if isinstance(value, str | bool)
    }


def _walk(value: Any, path: str, key: str, seen: set[int]) -> Iterator[tuple[str, str, Any]]:
    """Yield path, key and value of each scalar; each list and map once, since YAML aliases may be cyclic."""
    if isinstance(value, str) and key == "config":
        value = _read_toml(value)
    if not isinstance(value, dict | list):
        yield path, key, value
    elif id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, dict):
            for name, part in value.items():
                yield from _walk(part, f"{path}.{name}" if path else str(name), str(name), seen)
        else:
            for index, part in enumerate(value):
                yield from _walk(part, f"{path}[{index}]", key, seen)


def _read_toml(text: str) -> Any:
    """Return the TOML in a string; the string itself if it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return text


@lru_cache(maxsize=4096)
def _parse_yaml(text: str) -> Any:
    """Parse YAML once: a review reads each release's values for its findings, and again for its list."""
    return load_yaml(text)


def read_yaml(text: str) -> Any:
    """Return the YAML in a string; None if Helm could not read it either."""
    try:
        return copy.deepcopy(_parse_yaml(text))
    except ERRORS:
        return None
