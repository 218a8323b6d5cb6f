"""Read the values of a Helm release, with the TOML of GitLab Runner in them."""

import tomllib
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


def read_keys(given: Any) -> dict[str, tuple[str, Any]]:
    """Return each scalar of a release's `values` by its path: its key, and the scalar itself.

    Values that are unknown, sensitive or unreadable have no keys.
    """
    if not isinstance(given, list):
        return {}
    documents = [read_yaml(text) if isinstance(text, str) else None for text in given]
    values = documents[0] if len(documents) == 1 else documents
    return {path: (key, value) for path, key, value in _walk(values, "", "", set())}


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


def read_yaml(text: str) -> Any:
    """Return the YAML in a string; None if Helm could not read it either."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return None
