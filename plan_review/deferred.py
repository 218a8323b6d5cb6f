"""Changes and actions that Terraform left to a later plan: the apply does not make them."""

from collections.abc import Iterator

from plan_review.findings import Category, Finding
from plan_review.plan import Deferred

# Terraform's reasons in words.
_REASONS = {
    "instance_count_unknown": "count or for_each is known only after the apply",
    "resource_config_unknown": "its configuration is known only after the apply",
    "provider_config_unknown": "the configuration of its provider is known only after the apply",
    "absent_prereq": "something that it needs does not exist yet",
    "deferred_prereq": "something that it needs is deferred, too",
    "excluded": "it is excluded from this plan",
    "not_included": "it is not among the targets of this plan",
}


def find(deferred: Deferred) -> Iterator[Finding]:
    """Yield the finding of a change or an action that is deferred."""
    because = f": {_REASONS[deferred.reason]}" if deferred.reason in _REASONS else ""
    yield Finding(
        Category.DEFERRED,
        needs_approval=False,
        address=deferred.address,
        text=f"waits for a later plan ({deferred.action}){because}",
    )
