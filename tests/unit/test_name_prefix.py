"""The name of an environment, and the prefix of its resources' names."""

import json
from collections.abc import Callable

import pytest

from stacks import STACKS
from tests.environments import Mistakes, Synthesized


def test_a_renamed_environment_differs_in_state_keys_and_tag_alone(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """With the old name as the prefix, only state keys and the tag have the new name."""
    before = synthesize_changed({}, name="old")
    after = synthesize_changed({"name_prefix": "old"}, name="renamed")
    for stack in STACKS:
        moved = json.dumps(after[stack])
        keys = moved.count('"key": "renamed/') + moved.count('"environment": "renamed"')
        assert moved.count('"renamed') == keys
        assert json.loads(moved.replace('"renamed/', '"old/').replace('"renamed"', '"old"')) == before[stack]


@pytest.mark.parametrize("stack", STACKS)
def test_a_prefix_begins_every_name(stack: str, synthesize_changed: Callable[..., Synthesized]) -> None:
    """With `name_prefix` no name in AWS has the environment's own name."""
    text = json.dumps(synthesize_changed({"name_prefix": "prefix"}, name="berlin")[stack]["resource"])
    assert '"prefix-' in text
    assert "berlin" not in text.replace('"environment": "berlin"', "")  # the tag has the environment's name


def test_a_prefix_has_the_form_of_an_environments_name(mistakes: Mistakes) -> None:
    """The prefix is an environment's old name, so the same rule applies."""
    (line,) = mistakes({"name_prefix": "Old_"})
    assert line.startswith('example.yaml: name_prefix: "Old_": not of the accepted form. Accepted: ')
