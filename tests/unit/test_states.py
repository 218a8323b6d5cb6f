"""States that are older than the last plan saw, and states that no program of ours wrote. No AWS."""

import json
from typing import Any

import pytest

from deployment.states import State, find_older_than_planned, parse_state


def make_state(serial: int, lineage: str) -> State:
    """Return a state with a resource."""
    return State(serial, lineage, resources=1, is_deployed=True, document={})


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (make_state(6, "n"), "has serial 6, and the last plan on this machine saw serial 7 of n"),
        (make_state(9, "other"), "is of another origin (lineage), and the last plan"),
        (None, "is missing, and the last plan"),
        (make_state(7, "n"), None),
        (make_state(8, "n"), None),
    ],
)
def test_a_state_older_than_planned_is_found(network: State | None, words: str | None) -> None:
    """A lower serial, another lineage or no state at all is named; the message says how to accept it."""
    planned = {"network": (7, "n"), "cluster": (3, "c")}
    found = find_older_than_planned(planned, {"network": network, "cluster": make_state(3, "c")})
    assert list(found) == (["network"] if words else [])
    if words:
        assert found["network"].startswith(words)
        assert "delete the folder of the plan" in found["network"]


def test_a_state_that_may_not_be_read_is_not_judged() -> None:
    """Nobody knows its serial, and whether it exists."""
    planned = {"network": (7, "n"), "cluster": (3, "c")}
    assert find_older_than_planned(planned, {"cluster": make_state(3, "c")}) == {}


def test_a_plan_of_another_bucket_does_not_count() -> None:
    """After `make demo-down` and `make demo` the last plan is of states that are gone with the emulator."""
    planned = {"network": (7, "n"), "cluster": (3, "c")}
    assert find_older_than_planned(planned, {"network": make_state(1, "new"), "cluster": None}) == {}
    assert find_older_than_planned(planned, {}) == {}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"version": 4, "serial": "x", "lineage": "a", "resources": [], "outputs": {}},
        {"version": 3, "serial": 1, "lineage": "a", "resources": [], "outputs": {}},
        {"version": 4, "serial": 1, "lineage": "a", "resources": [{}], "outputs": {}},
        {"version": 4, "serial": 1, "lineage": "a", "resources": 5, "outputs": {}},
        [[]],
        None,
    ],
)
def test_other_json_is_no_state(content: Any) -> None:
    """JSON of another shape is named as such, and never ends in a traceback."""
    assert parse_state(json.dumps(content).encode()) == "is not a Terraform state: it was overwritten"
