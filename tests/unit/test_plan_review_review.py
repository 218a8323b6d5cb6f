"""Totals, exit status, GitLab's report, outputs, and the other changes."""

from typing import Any

import pytest

from plan_review.findings import Category
from plan_review.plan import Plan
from plan_review.review import PlannedStack, Review, other_changes
from tests.plan_documents import findings, output, plan, report, resource

TAGGED = resource("acme_thing", {"a": 1}, {"a": 2}, address="acme_thing.tagged")
BUCKET = resource("aws_s3_bucket", {}, None)
SAME = resource("acme_thing", {}, {}, address="acme_thing.same", actions=("no-op",))


def review(*plans: Plan | None, failed: bool = False) -> Review:
    """Return the review of several stacks."""
    return Review("Plan", [PlannedStack(f"s{n}", item, failed=failed) for n, item in enumerate(plans)])


@pytest.mark.parametrize(
    ("plans", "status"),
    [
        ([plan(SAME)], 0),
        ([plan()], 0),
        ([None], 0),
        ([plan(TAGGED)], 2),
        ([plan(output_changes={"a": output(None, 1)})], 2),
        ([plan(resource("a", {}, {}, actions=("no-op",), previous_address="a.b"))], 2),
        ([plan(resource("a", {}, {}, actions=("no-op",), importing={"id": "x"}))], 2),
        ([plan(SAME), plan(TAGGED)], 2),
        ([plan(BUCKET), plan(TAGGED)], 3),
        ([plan(output_changes={"a": output(1, None)})], 3),
    ],
)
def test_the_most_dangerous_stack_decides_the_exit_status(plans: list[Plan | None], status: int) -> None:
    """0 is nothing to do, 2 is changes, 3 is changes that need an explicit approval."""
    assert review(*plans).exit_status == status


def test_a_failed_stack_is_an_error() -> None:
    """The exit status is 1, even if other stacks need an approval."""
    assert review(plan(BUCKET), failed=True).exit_status == 1


def test_gitlabs_report_counts_a_replacement_twice() -> None:
    """A replacement is one creation and one deletion; moves, imports and forgotten resources don't count."""
    changes = [
        resource("a", None, {}),
        resource("b", {}, {"a": 1}),
        resource("c", {}, {}, actions=("delete", "create")),
        resource("d", {}, None),
        resource("e", {}, None, actions=("forget",)),
        resource("f", {}, {}, actions=("no-op",), previous_address="f.old"),
    ]
    assert review(plan(*changes), plan(BUCKET)).gitlab_report == {"create": 2, "update": 1, "delete": 3}


def test_totals_are_per_stack() -> None:
    """Each stack has a row; moves, imports and forgotten resources have columns if there are any."""
    moved = resource("a", {}, {}, actions=("no-op",), previous_address="a.old")
    imported = resource("b", {"x": 1}, {"x": 2}, importing={"id": "i"})
    text = report(moved, imported, BUCKET, resource("c", {}, None, actions=("forget",)))
    assert "| stack | create | update | replace | delete | import | move | forget | |" in text
    assert "| `stack` | 0 | 1 | 0 | 1 | 1 | 1 | 1 |  |" in text


@pytest.mark.parametrize(
    ("before", "after", "approvals"),
    [(1, 2, [False]), (1, None, [True]), (None, 1, []), (1, 1, [False])],
)
def test_removed_outputs_need_an_approval(before: Any, after: Any, approvals: list[bool]) -> None:
    """A removed output breaks its readers; a changed one is shown; a new one is no finding."""
    found = findings(Category.OUTPUT, output_changes={"vpc_id": output(before, after)})
    assert [item.needs_approval for item in found] == approvals


def left(*changes: dict[str, Any]) -> dict[str, list[str]]:
    """Return the addresses and the attributes among the other changes."""
    return {
        change.address: [item.path for item in items]
        for change, items in other_changes(PlannedStack("stack", plan(*changes)))
    }


def test_changes_without_a_finding_are_other_changes() -> None:
    """Each change is somewhere in the report."""
    assert left(TAGGED, BUCKET, SAME) == {"acme_thing.tagged": ["a"]}


def test_attributes_that_no_finding_shows_are_other_changes() -> None:
    """A harmless attribute is shown beside a dangerous one of the same resource."""
    before = {"addon_version": "v1", "configuration_values": "a"}
    after = {"addon_version": "v2", "configuration_values": "b"}
    assert left(resource("aws_eks_addon", before, after)) == {"aws_eks_addon.this": ["configuration_values"]}


def test_the_size_of_a_group_is_shown_once() -> None:
    """The section of nodes has the size; the other changes have the other attributes."""
    before, after = ({"scaling_config": [{"max_size": size}], "labels": {"a": size}} for size in (1, 2))
    assert left(resource("aws_eks_node_group", before, after)) == {"aws_eks_node_group.this": ["labels.a"]}
    del before["labels"], after["labels"]
    assert not left(resource("aws_eks_node_group", before, after))


def test_a_deleted_grant_is_shown_once() -> None:
    """The section of access has the deletion; a deletion that needs an approval is in both sections."""
    entry = resource("aws_eks_access_entry", {"principal_arn": "arn:p"}, None)
    provider = resource("aws_iam_openid_connect_provider", {"url": "https://a.example"}, None)
    found = PlannedStack("stack", plan(entry, provider)).findings
    assert [(item.category, item.address.partition(".")[0]) for item in found] == [
        (Category.ACCESS, "aws_eks_access_entry"),
        (Category.DESTRUCTION, "aws_iam_openid_connect_provider"),
        (Category.ACCESS, "aws_iam_openid_connect_provider"),
    ]


def test_a_move_is_shown_for_resources_with_findings() -> None:
    """A reviewer sees the old address of a replaced resource."""
    change = resource("aws_s3_bucket", {}, {}, actions=("delete", "create"), previous_address="a.old")
    assert left(change) == {"aws_s3_bucket.this": []}
