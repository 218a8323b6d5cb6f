"""The example environment's JSON, which is what plan reviewers read."""

import json

import pytest

from stacks.settings.load import PROJECT
from tests.environments import STACKS, Synthesized

SNAPSHOTS = PROJECT / "tests" / "snapshots"


@pytest.mark.parametrize("stack", STACKS)
def test_the_example_environment_is_what_was_reviewed(example: Synthesized, stack: str) -> None:
    """A change of the JSON shows in a review as a change of its snapshot (`make snapshots` writes it)."""
    reviewed = json.loads((SNAPSHOTS / f"{stack}.json").read_text())
    assert example[stack] == reviewed
