"""Settings of the cluster autoscaler: refused values, and accepted values at the limits."""

import pytest

from stacks.settings.load import load_settings
from tests.environments import Changes, Mistakes, WriteEnvironment


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        pytest.param({"autoscaler.expander": "priority"}, "{}", id="no priorities"),
        pytest.param(
            {"autoscaler.expander_priorities": {"main": 1}}, '{"main": 1}', id="priorities without it"
        ),
    ],
)
def test_priorities_need_the_expander_priority(mistakes: Mistakes, changes: Changes, shown: str) -> None:
    """The autoscaler would ignore one without the other."""
    assert mistakes(changes) == [
        (
            f"example.yaml: autoscaler.expander_priorities: {shown}: must be given with "
            "`expander: priority`, and only then"
        )
    ]


@pytest.mark.parametrize(
    ("priorities", "shown"),
    [
        pytest.param(
            {"main": 1, "big": 2, "spot": 3},
            ".spot: 3: must be the priority of one of main, big",
            id="no such group",
        ),
        pytest.param(
            {"main": 1},
            ': {"main": 1}: must have a number for every node group; big has none',
            id="a group without a number",
        ),
        pytest.param({"main": 0}, ".main: 0: must be at least 1", id="zero"),
        pytest.param({"main": 1000001}, ".main: 1000001: must be at most 1000000", id="too high"),
        pytest.param({"main": "1"}, '.main: "1": must be an integer', id="string"),
    ],
)
def test_every_node_group_has_an_integer_as_priority(
    mistakes: Mistakes, priorities: dict[str, object], shown: str
) -> None:
    """The autoscaler would never choose a group that is missing or misspelt."""
    (line,) = mistakes(
        {"autoscaler.expander": "priority", "autoscaler.expander_priorities": dict(priorities)}
    )
    assert line.startswith(f"example.yaml: autoscaler.expander_priorities{shown}")


def test_the_lowest_and_highest_priority_pass(write_environment: WriteEnvironment) -> None:
    """1 and 1000000 are accepted."""
    priorities = {"main": 1, "big": 1000000}
    path = write_environment(
        {"autoscaler.expander": "priority", "autoscaler.expander_priorities": priorities}
    )
    assert load_settings(path).autoscaler.expander_priorities == priorities


@pytest.mark.parametrize("key", ["scale_down_unneeded_time", "scale_down_delay_after_add"])
@pytest.mark.parametrize("duration", ["10", "0m", "10 m", "1.5h", "-1m", "1d", "10M", "100000s"])
def test_a_duration_has_the_form_of_a_flag(mistakes: Mistakes, key: str, duration: str) -> None:
    """The autoscaler would not start with any of these values."""
    (line,) = mistakes({f"autoscaler.{key}": duration})
    assert line.startswith(f'example.yaml: autoscaler.{key}: "{duration}": not of the accepted form.')
    assert line.endswith("such as 30s, 10m or 1h30m")


@pytest.mark.parametrize("duration", ["1s", "99999s", "1h30m", "1h1m1s"])
def test_short_and_long_durations_pass(write_environment: WriteEnvironment, duration: str) -> None:
    """Seconds, minutes and hours are accepted, alone and together."""
    assert load_settings(write_environment({"autoscaler.scale_down_unneeded_time": duration}))


def test_an_expander_of_another_cloud_is_refused(mistakes: Mistakes) -> None:
    """`price` exists only for another cloud."""
    (line,) = mistakes({"autoscaler.expander": "price"})
    assert line.startswith(
        "example.yaml: autoscaler.expander: \"price\": must be 'least-waste', 'most-pods', "
        "'random' or 'priority'"
    )
