"""Intent: what all resources share, from the schema alone: check, plan, find what forces a replacement.

A block is one entry of schema.json: {"attributes": {...}, "blocks": {...}}. Values are plain Python (see
wire).
"""

from collections.abc import Iterator
from typing import Any

from rehearsal.wire import UNKNOWN

Block = dict[str, Any]
Path = tuple[str | int, ...]


def complaints(block: Block, config: dict[str, Any], path: Path = ()) -> Iterator[tuple[str, Path]]:
    """What the real provider would refuse in a configuration that Terraform itself accepts, with where."""
    for name, attribute in block["attributes"].items():
        value, here = config.get(name), (*path, name)
        if value is None or value is UNKNOWN:
            continue
        allowed = attribute.get("one_of")
        if allowed and any(
            each not in allowed
            for each in (value if isinstance(value, list) else [value])
            if each is not UNKNOWN
        ):
            yield f"expected {name} to be one of {allowed}, got {value}", here
        if value < attribute["min"] if "min" in attribute else False:
            yield f"expected {name} to be at least {attribute['min']}, got {value}", here
        if isinstance(value, str) and not attribute.get("min_length", 0) <= len(value) <= attribute.get(
            "max_length", len(value)
        ):
            yield (
                f"{name} must have 1 or more characters (a release's name at most 53)",
                here,
            )
        if config.get(attribute.get("conflicts")) is not None:
            yield f'"{name}": conflicts with {attribute["conflicts"]}', here
        if "requires" in attribute and config.get(attribute["requires"]) is None:
            yield f'"{name}": all of `{name},{attribute["requires"]}` must be specified', here
    for name, nested in _nested(block):
        for step, each in _elements(nested, config.get(name)):
            yield from complaints(nested, each, (*path, name, *step))


def planned(
    block: Block, proposed: dict[str, Any], config: dict[str, Any], *, creating: bool
) -> dict[str, Any]:
    """Terraform's proposal with defaults and unknowns filled in, and null for what is write-only."""
    state = {**proposed}
    for name, attribute in block["attributes"].items():
        if attribute.get("write_only"):
            state[name] = None
        elif config.get(name) is None and "default" in attribute:
            state[name] = attribute["default"]
        elif config.get(name) is None and creating and "computed" in attribute["mode"]:
            state[name] = UNKNOWN
    for name, nested in _nested(block):
        values = [
            planned(nested, value, given, creating=creating)
            for (_, value), (_, given) in zip(
                _elements(nested, state[name]), _elements(nested, config.get(name)), strict=False
            )
        ]
        if values:
            state[name] = values[0] if nested["nesting"] == "single" else values
    return state


def replacements(
    block: Block, prior: dict[str, Any], after: dict[str, Any], path: Path = ()
) -> Iterator[Path]:
    """Where the plan changes something that can't be changed in place."""
    for name, attribute in block["attributes"].items():
        if attribute.get("replace") and prior.get(name) != after.get(name):
            yield (*path, name)
    for name, nested in _nested(block):
        for (step, old), (_, new) in zip(
            _elements(nested, prior.get(name)), _elements(nested, after.get(name)), strict=False
        ):
            yield from replacements(nested, old, new, (*path, name, *step))


def settled(value: Any) -> Any:  # noqa: ANN401 - any Terraform value
    """The value with null for all that is still unknown: what no one sets is absent."""
    if isinstance(value, dict):
        return {name: settled(each) for name, each in value.items()}
    if isinstance(value, list):
        return [settled(each) for each in value]
    return None if value is UNKNOWN else value


def blank(block: Block) -> dict[str, Any]:
    """A state in which nothing is set."""
    blocks: dict[str, Any] = {
        name: None if nested["nesting"] == "single" else [] for name, nested in block["blocks"].items()
    }
    return {**dict.fromkeys(block["attributes"]), **blocks}


def _nested(block: Block) -> Iterator[tuple[str, Block]]:
    for name, each in {**block["attributes"], **block["blocks"]}.items():
        if "nesting" in each and not each.get("write_only"):
            yield name, each


def _elements(nested: Block, value: Any) -> list[tuple[tuple[int, ...], dict[str, Any]]]:  # noqa: ANN401
    """The objects in a nested block's value, each with its position (none for a single one)."""
    if value is None or value is UNKNOWN:
        return []
    objects = (
        [((), value)] if nested["nesting"] == "single" else [((at,), each) for at, each in enumerate(value)]
    )
    return [(step, each) for step, each in objects if isinstance(each, dict)]
