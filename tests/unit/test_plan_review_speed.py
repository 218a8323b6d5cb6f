"""The time of a review grows with the plan, and not faster than reading its JSON."""

import gc
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from plan_review import markdown
from plan_review.plan import read_plan
from plan_review.review import PlannedStack, Review
from tests.plan_documents import allow, document, policy, resource

# Measured: 8 to 12 times. Before equal attributes were skipped early it was 25 times.
MOST_TIMES = 18


def build_plan(number: int) -> str:
    """Return a plan with a number of policies, and six times as many launch templates, that all change."""
    changes = []
    for index in range(number):
        document_before = policy(allow(Action=["s3:GetObject", "ec2:Describe*", "logs:PutLogEvents"]))
        states = ({"policy": text} for text in (document_before, document_before.replace("Get", "Put")))
        changes.append(resource("aws_iam_policy", *states, address=f"aws_iam_policy.p[{index}]"))
    for index in range(number * 6):
        common: dict[str, Any] = {
            "name": f"t{index}",
            "tags": {"a": "b", "n": str(index)},
            "block_device_mappings": [
                {"device_name": f"/dev/{part}", "no_device": "z" * 30} for part in range(8)
            ],
        }
        states = (common | {"user_data": letter * 400} for letter in "xy")
        changes.append(resource("aws_launch_template", *states, address=f"aws_launch_template.t[{index}]"))
    return json.dumps(document(*changes))


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Do as the command does."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def measure(function: Callable[[str], Any], text: str) -> float:
    """Return the processor time of a call."""
    started = time.process_time()
    function(text)
    return time.process_time() - started


def review(text: str) -> None:
    """Review a plan, as the command does."""
    planned = Review("Plan", [PlannedStack("stack", read_plan(text))])
    assert "an explicit approval" in markdown.write(planned)
    assert planned.exit_status


@pytest.mark.parametrize("number", [100, pytest.param(1500, marks=pytest.mark.long)])
def test_a_review_takes_a_few_times_as_long_as_reading_the_json(number: int) -> None:
    """A plan of 20 MB takes 2 seconds; the small one shows that nothing grows with the square."""
    text = build_plan(number)
    with no_garbage_collection():
        # In turn, and the least of several: other processes slow one down more than the other.
        times = [measure(review, text) / measure(json.loads, text) for _ in range(5)]
    assert min(times) < MOST_TIMES
