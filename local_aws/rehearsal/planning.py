"""Check and plan any resource by its schema.

A block is one of schema.json: {"attributes": [...], "block_types": [...]}. Values are plain Python, as
msgpack unpacks them. UNKNOWN stands for a value that Terraform knows only at the apply.
"""

import re
from collections.abc import Iterator
from typing import Any

from msgpack import ExtType

Block = dict[str, Any]
State = dict[str, Any]
Path = tuple[str | int, ...]

UNKNOWN = ExtType(0, b"\0")  # its form in msgpack


class RefusedError(Exception):
    """A refusal that Terraform shows to the user; `path` leads to the line in the configuration."""

    def __init__(self, summary: str, detail: str = "", path: Path = ()) -> None:
        super().__init__(summary)
        self.summary, self.detail, self.path = summary, detail, path


def find_mistakes(block: Block, config: State, path: Path = ()) -> Iterator[RefusedError]:
    """Yield the mistakes in a configuration that Terraform itself accepts."""
    for attribute in block["attributes"]:
        name, wrong = attribute["name"], []
        value = config[name]
        if value is None or value is UNKNOWN:
            continue
        if "matches" in attribute:
            given = [item for item in (value if isinstance(value, list) else [value]) if item is not UNKNOWN]
            if not all(re.fullmatch(attribute["matches"], str(item)) for item in given):
                wrong.append(f"{name} is {value!r}: it must match {attribute['matches']}")
        if config.get(attribute.get("conflicts")) is not None:
            wrong.append(f'"{name}": conflicts with {attribute["conflicts"]}')
        if "requires" in attribute and config[attribute["requires"]] is None:
            wrong.append(f'"{name}": all of `{name},{attribute["requires"]}` must be specified')
        if "instead" in attribute:
            wrong.append(f"{name} can't be rehearsed: use {attribute['instead']}")
        yield from (RefusedError("Invalid configuration", text, (*path, name)) for text in wrong)
    for step, nested, (inner,) in _nested(block, config):
        yield from find_mistakes(nested, inner, path + step)


def complete(block: Block, proposed: State, config: State, *, creating: bool) -> None:
    """Make a plan of Terraform's proposal: set defaults and UNKNOWN, and null for write-only fields."""
    for attribute in block["attributes"]:
        name = attribute["name"]
        if attribute.get("write_only"):
            proposed[name] = None
        elif config[name] is None and "default" in attribute:
            proposed[name] = attribute["default"]
        elif config[name] is None and creating and attribute.get("computed"):
            proposed[name] = UNKNOWN
    for _, nested, (inner, given) in _nested(block, proposed, config):
        complete(nested, inner, given, creating=creating)


def find_replacements(block: Block, prior: State, plan: State, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of the changes that replace the resource."""
    for item in _fields(block):
        name = item["name"]
        if item.get("replace") and prior[name] != plan[name]:
            yield (*path, name)
    for step, nested, (old, new) in _nested(block, prior, plan):
        yield from find_replacements(nested, old, new, path + step)


def drop_unknown(value: Any) -> Any:
    """Return the value with null for each UNKNOWN: the apply has not set it."""
    if isinstance(value, dict):
        return {name: drop_unknown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [drop_unknown(item) for item in value]
    return None if value is UNKNOWN else value


def _fields(block: Block) -> list[dict[str, Any]]:
    return [*block["attributes"], *block.get("block_types", [])]


def _nested(block: Block, *values: State) -> Iterator[tuple[Path, Block, tuple[State, ...]]]:
    """Yield path, schema and objects of the nested blocks that all of the values have."""
    for name, nested in ((item["name"], item["block"]) for item in _fields(block) if "block" in item):
        inner = [value[name] for value in values]
        found: dict[Path, tuple[Any, ...]] = {(name,): tuple(inner)}
        if all(isinstance(value, list) for value in inner):
            found = {(name, at): objects for at, objects in enumerate(zip(*inner, strict=False))}
        for step, objects in found.items():
            if all(isinstance(value, dict) for value in objects):
                yield step, nested, objects
