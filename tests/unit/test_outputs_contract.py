"""The outputs keep the contract of the last release, since other projects read them."""

import json
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from tools.generate_docs import OUTPUTS

CONTRACT = Path(__file__).parents[1] / "snapshots" / "outputs.json"
HOW_TO_DEPRECATE = (
    "Other projects read it. Keep the old output and publish the new one beside it under another name; say "
    "in the old one's description since when it is deprecated and what replaces it. It may go, here and in "
    f"{CONTRACT.name}, when a release has announced it and no consumer reads it any more."
)


def published() -> dict[str, dict[str, str]]:
    """Return the type of each output by stack and name."""
    return {
        stack: {item.name: _name(item.type) for item in fields(outputs)} for stack, outputs in OUTPUTS.items()
    }


def _name(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


@pytest.mark.parametrize("stack", OUTPUTS)
def test_no_output_is_removed_and_none_changes_its_type(stack: str) -> None:
    """Each output of the last release still exists and has the same type."""
    now = published()[stack]
    for name, kind in json.loads(CONTRACT.read_text())[stack].items():
        assert now.get(name) == kind, f"{stack}.{name} was {kind}, is {now.get(name)}. {HOW_TO_DEPRECATE}"
