"""`python -m jobs` tells how long a job waits for a new node, and what an hour of it costs there."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobs.ci_file import read_pipeline
from jobs.explain import Answer, explain
from jobs.report import as_document, print_table, write_cost, write_wait
from prices.table import PriceTable, Row, Source
from stacks.settings.load import SettingsError, load_settings
from tests.environments import Changes, WriteEnvironment

PRICES = PriceTable(
    [Row("eu-central-1", "m5.2xlarge", Decimal("0.5"), "hour", "list")],
    {"list": Source("2026-09-03", "a list")},
)


@pytest.fixture
def ask(write_environment: WriteEnvironment, tmp_path: Path) -> Callable[..., Answer]:
    """Return the answer for one job of the example environment."""

    def answer(changes: Changes | None = None, **keys: Any) -> Answer:
        (tmp_path / "ci.yml").write_text(json.dumps({"job": {"script": "x", "tags": ["eks"], **keys}}))
        pipeline = read_pipeline(tmp_path / "ci.yml", variables={})
        (found,) = explain(pipeline.jobs, load_settings(write_environment(changes)), prices=PRICES)
        return found

    return answer


TIMES = {
    "autoscaler_seconds": [1, 2],
    "on_demand_node_seconds": [10, 20],
    "spot_node_seconds": [10, 90],
    "image_pull_seconds_per_gib": [100, 200],
    "image_gib": 0.01,
    "image_gib_by_name": {"registry.example.com/*:1": 3},
}


@pytest.mark.parametrize(
    ("changes", "keys", "seconds"),
    [
        ({}, {}, (12, 24)),
        ({}, {"image": "registry.example.com/android:1"}, (1 + 10 + 300, 2 + 20 + 600)),
        ({}, {"services": ["docker:28-dind"]}, (13, 26)),
        ({"cluster.node_groups.main.capacity_type": "SPOT"}, {}, (12, 94)),
    ],
)
def test_the_wait_is_autoscaler_node_and_images(
    ask: Callable[..., Answer], changes: dict[str, Any], keys: dict[str, Any], seconds: tuple[int, int]
) -> None:
    """The capacity type and the size of each image count, one image after the other."""
    answer = ask({"waiting_times": TIMES, **changes}, **keys)
    assert answer.wait
    assert (answer.wait.shortest, answer.wait.longest) == seconds


def test_a_job_that_waits_longer_than_the_runner_is_told(ask: Callable[..., Answer]) -> None:
    """The runner gives up after poll_timeout_seconds; the note names the setting."""
    answer = ask({"waiting_times": TIMES | {"on_demand_node_seconds": [1000, 2000]}})
    assert any("runners.default.poll_timeout_seconds" in note for note in answer.notes)


def test_an_hour_costs_the_share_of_the_node_up_to_the_whole(ask: Callable[..., Answer]) -> None:
    """Half of the CPU is half of the price, though memory is less; alone, the job pays the node."""
    answer = ask(variables={"KUBERNETES_CPU_REQUEST": "3855m", "KUBERNETES_MEMORY_REQUEST": "1Gi"})
    assert answer.chosen == ("main",)
    assert answer.cost
    assert answer.cost.alone == Decimal("0.5")
    assert answer.cost.share == Decimal("0.25")
    assert (write_cost(answer), answer.cost.date) == ("0.25-0.50", "2026-09-03")


def test_a_job_on_a_type_without_a_price_has_no_number(ask: Callable[..., Answer]) -> None:
    """A note names the type, the region and the table's date."""
    answer = ask(variables={"KUBERNETES_CPU_REQUEST": "12"})
    assert (answer.chosen, answer.cost, write_cost(answer)) == (("big",), None, "-")
    assert "no price known for m5.8xlarge in eu-central-1 (table of 2026-09-03)" in answer.notes
    types = {"cluster.node_groups.main.instance_types": ["m5.2xlarge", "m5.4xlarge"]}
    assert ask(types).cost is None  # any of them may be the node, and the most expensive one counts


def test_a_job_that_can_not_run_waits_and_costs_nothing(ask: Callable[..., Answer]) -> None:
    """Refused jobs have neither number."""
    answer = ask(variables={"KUBERNETES_CPU_REQUEST": "17"})
    assert (write_wait(answer), write_cost(answer)) == ("-", "-")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("spot_node_seconds", [90, 10], "must have the shorter time first"),
        ("spot_node_seconds", [90], "waiting_times.spot_node_seconds"),
        ("image_gib", 0, "waiting_times.image_gib"),
    ],
)
def test_times_that_are_no_range_are_refused(
    write_environment: WriteEnvironment, key: str, value: Any, message: str
) -> None:
    """The message names the setting."""
    with pytest.raises(SettingsError, match=message):
        load_settings(write_environment({f"waiting_times.{key}": value}))


def test_table_and_json_have_both(ask: Callable[..., Answer], capsys: pytest.CaptureFixture[str]) -> None:
    """No line of the table is longer than 100 columns; the JSON has numbers and their date."""
    answer = ask({"waiting_times.image_gib": 2}, services=["a", "b"])
    answer = replace(answer, job=replace(answer.job, name="a job with a name that needs two lines"))
    print_table([answer], [], "title")
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 100
    assert "4-16 min" in table
    assert "0.08-0.50" in table
    assert "On-Demand prices of 2026-09-03; Spot costs less." in " ".join(table.split())
    (job,) = as_document([answer], [], file="ci.yml", environment="example")["jobs"]
    assert job["waits_seconds"] == [275, 930]
    assert job["usd_an_hour"] == {"share": "0.0822", "alone": "0.5000", "prices_of": "2026-09-03"}
