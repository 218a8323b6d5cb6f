"""Outputs of the root module: other projects read them by remote state."""

from collections.abc import Iterator

from plan_review.findings import Danger, Finding
from plan_review.plan import Change
from plan_review.values import Difference


def find(change: Change) -> Iterator[Finding]:
    """Yield the finding of an output that goes, or that gets another value."""
    if change.action == "delete":
        yield Finding(
            Danger.OUTPUT,
            needs_approval=True,
            address=change.address,
            text="is no longer published: projects that read it fail",
        )
    elif change.action == "update":
        items = tuple(change.differences) or (Difference("value", change.before, change.after),)
        yield Finding(
            Danger.OUTPUT,
            needs_approval=False,
            address=change.address,
            text="gets another value",
            differences=items,
        )
