"""The corpus of plans on which reviewers are compared, and what ours says of it."""

import json
from collections import Counter

import pytest

from plan_review.exit_status import ExitStatus
from plan_review.findings import Category
from plan_review.plan import read_plan
from plan_review.review import PlannedStack, Review
from tools.compare_reviewers.__main__ import DOCUMENT
from tools.compare_reviewers.plans import Case, read_corpus

# What ours mentions or misses; docs/plan_review.md says so, too.
MISSED = {"quota of a namespace deleted", "subnet outside of its network"}


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Return the corpus."""
    return read_corpus()


def test_the_corpus_has_enough_plans_of_each_kind(cases: list[Case]) -> None:
    """At least 150 plans, each with a name of its own."""
    assert len({case.name for case in cases}) == len(cases) >= 150
    assert min(Counter(case.topic for case in cases).values()) >= 15
    assert Counter(case.is_danger for case in cases)[False] >= 50


def test_ours_stops_the_dangers_and_nothing_else(cases: list[Case]) -> None:
    """A danger needs an approval, and so does no harmless plan; an apply that fails is told as such."""
    wrong = set()
    for case in cases:
        stack = PlannedStack("corpus", read_plan(json.dumps(case.plan)))
        status = Review("Plan", [stack]).exit_status
        told = case.topic != "refusals" or any(item.category == Category.REFUSAL for item in stack.findings)
        if (status == ExitStatus.APPROVAL) != case.is_danger or not told:
            wrong.add(case.name)
    assert wrong == MISSED


def test_the_document_names_every_plan_that_ours_judges_wrong() -> None:
    """The tables are those of the last run, and the list below them is complete."""
    tables = DOCUMENT.read_text(encoding="utf-8").partition("<!-- begin compared -->")[2]
    for name in MISSED:
        assert name in tables
