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
from plan_review.refusals.refusal import Refusal, is_sent, list_texts
from plan_review.values import Sensitive, list_blocks, parse_json

_INSTANCE_TYPES = {
    "aws_instance": "instance_type",
    "aws_launch_template": "instance_type",
    "aws_launch_configuration": "instance_type",
    "aws_eks_node_group": "instance_types",
}

# Amazon EC2, "Instance type naming conventions".
_SIZE = re.compile(r"nano|micro|small|medium|large|\d*xlarge|metal(-\d+xl)?")


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
    value = value.value if isinstance(value, Sensitive) else value
    least, most = limit.get("min", 0), limit.get("max", float("inf"))
    if isinstance(value, str):
        # To the provider an empty text is one that is not set; a map's may be empty.
        return _find_problem_of_text(value, limit) if value or limit["part"] == "value" else ""
    if isinstance(value, list | dict) and len(value) > most:
        return f"at most {most} are accepted, there are {len(value)}"
    # To the provider 0 may be a number that is not set.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and value and not least <= value <= most:
        return f"{least} to {most} is accepted" if "max" in limit else f"{least} and more is accepted"
    return ""


def _find_problem_of_text(text: str, limit: dict[str, Any]) -> str:
    least, most, pattern = limit.get("min", 0), limit.get("max", float("inf")), limit.get("pattern")
    size = len(_compact(text))
    if len(text) < least:
        return f"at least {least} characters are accepted"
    if size > most:
        return f"at most {most:,} characters are accepted, it has {size:,}"
    if pattern and len(text) <= most and not re.fullmatch(pattern, text):
        return f"the pattern {pattern.removeprefix('(?a)')} is accepted"
    return ""


def _compact(text: str) -> str:
    """Return JSON without the spaces that the provider does not send."""
    found = parse_json(text)
    return text if found is text else json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _find_instance_types(change: Change) -> Iterator[Refusal]:
    """Yield instance types that a known family does not have: most often a typing error."""
    name = _INSTANCE_TYPES.get(change.type, "")
    if not name or not is_sent(change, name):
        return
    families = _read_limits()["instance_sizes"]
    given = (change.after or {}).get(name)
    for item in list_texts(given if isinstance(given, list) else [given]) or []:
        family, _, size = item.partition(".")
        if family in families and size not in families[family].split():
            # A family may have got another size since the model was read.
            is_certain = not _SIZE.fullmatch(size)
            rule = f"the family {family} has no such size"
            yield Refusal(name, item, rule, "AWS API model, ec2 InstanceType", is_certain=is_certain)
