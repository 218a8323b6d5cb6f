"""The JSON of the example environment, which plan reviewers read."""

import json

import pytest

from stacks import STACKS
from stacks.settings.load import PROJECT
from tests.environments import Synthesized

SNAPSHOTS = PROJECT / "tests" / "snapshots"


@pytest.mark.parametrize("stack", STACKS)
def test_the_example_environment_matches_its_snapshot(example: Synthesized, stack: str) -> None:
    """A review shows each change of the JSON as a change of the snapshot (`make snapshots` writes it)."""
    reviewed = json.loads((SNAPSHOTS / f"{stack}.json").read_text())
    assert example[stack] == reviewed
