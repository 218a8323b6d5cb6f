"""Outputs of the root module, which other projects read from the state."""

from collections.abc import Iterator

from plan_review.findings import Category, Finding
from plan_review.plan import OutputChange
from plan_review.values import Difference


def find(output: OutputChange) -> Iterator[Finding]:
    """Yield the finding of an output that is removed or gets another value."""
    if output.action == "delete":
        yield Finding(
            Category.OUTPUT,
            needs_approval=True,
            address=output.name,
            text="is no longer published: projects that read it fail",
        )
    elif output.action == "update":
        items = tuple(output.differences) or (Difference("value", output.before, output.after),)
        yield Finding(
            Category.OUTPUT,
            needs_approval=False,
            address=output.name,
            text="gets another value",
            differences=items,
        )
