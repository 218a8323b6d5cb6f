"""Limits of AWS's API models: lengths, numbers and patterns of single values.

`python -m tools.generate_api_limits` writes api_limits.json from botocore's models, with the arguments
that the provider sends on as they are. The review itself needs no AWS library.
"""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plan_review.plan import Change
from plan_review.refusals.refusal import Refusal, get_text, is_sent, list_texts
from plan_review.values import Sensitive, list_blocks, parse_json

_INSTANCE_TYPES = {
    "aws_instance": "instance_type",
    "aws_launch_template": "instance_type",
    "aws_launch_configuration": "instance_type",
    "aws_eks_node_group": "instance_types",
}


@functools.cache
def _read_limits() -> Any:
    return json.loads(Path(__file__).with_name("api_limits.json").read_text(encoding="utf-8"))


def find(change: Change) -> Iterator[Refusal]:
    """Yield each value that is outside of the limits of the API, and each impossible instance type."""
    if change.after is None:
        return
    for limit in _read_limits()["limits"].get(change.type, ()):
        top = limit["path"].partition(".")[0]
        if not is_sent(change, top, f"{top}_all"):
            continue
        for path, value in _list_values(change.after, limit):
            problem = _find_problem(value, limit)
            if problem:
                source = f"AWS API model, {limit['api'].replace(':', ' ')}"
                yield Refusal(path, value, problem, source)
    yield from _find_instance_types(change)


def _list_values(state: dict[str, Any], limit: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values that a limit is about, each with its path."""
    path, part = limit["path"], limit["part"]
    states = [state]
    *outer, name = path.split(".")
    for block in outer:
        states = [item for found in states for item in list_blocks(found.get(block))]
    for found in states:
        value = found.get(name)
        if name == "tags" and isinstance(found.get("tags_all"), dict):
            value = found["tags_all"]  # with the provider's default tags
        if part in ("key", "value") and isinstance(value, dict):
            yield from ((f"{path}[{json.dumps(key)}]", key if part == "key" else value[key]) for key in value)
        elif part == "element" and isinstance(value, list):
            yield from ((path, item) for item in value)
        elif not part:
            yield path, value


def _find_problem(value: Any, limit: dict[str, Any]) -> str:
    """Return the rule that a value breaks; empty if it breaks none."""
    is_secret = isinstance(value, Sensitive)
    value = value.value if isinstance(value, Sensitive) else value
    least, most = limit.get("min", 0), limit.get("max", float("inf"))
    if isinstance(value, str):
        # To the provider an empty text is one that is not set; a map's may be empty.
        if not value and limit["part"] != "value":
            return ""
        if len(value) < least:
            return f"at least {least} characters are accepted"
        if len(_compact(value)) > most:
            return f"at most {most:,} characters are accepted, it has {len(_compact(value)):,}"
        pattern = limit.get("pattern")
        if pattern and not is_secret and len(value) <= most and not re.fullmatch(pattern, value):
            return f"the pattern {pattern.removeprefix('(?a)')} is accepted"
    elif isinstance(value, list | dict):
        if len(value) > most:
            return f"at most {most} are accepted, there are {len(value)}"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        # To the provider 0 may be a number that is not set.
        if value and not least <= value <= most:
            accepted = f"{least} to {most}" if "max" in limit else f"{least} and more"
            return f"{accepted} is accepted"
    return ""


def _compact(text: str) -> str:
    """Return JSON without the spaces that the provider does not send."""
    found = parse_json(text)
    return text if found is text else json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _find_instance_types(change: Change) -> Iterator[Refusal]:
    """Yield instance types of a known family in a size that no family has: a slip of the pen."""
    name = _INSTANCE_TYPES.get(change.type, "")
    if not name or not is_sent(change, name):
        return
    limits = _read_limits()
    single = get_text(change.after, name)
    for item in (
        [single] if single else list_texts(change.after[name] if name in change.after else None) or []
    ):
        family, _, size = item.partition(".")
        if family in limits["instance_families"] and size not in limits["instance_sizes"]:
            yield Refusal(name, item, "there is no such instance type", "AWS API model, ec2 InstanceType")
