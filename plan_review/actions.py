"""Actions that the apply runs (Terraform 1.14 and later, "Invoke actions"): calls that no diff shows."""

import re
from collections.abc import Iterator

from plan_review.findings import Category, Finding
from plan_review.plan import Action
from plan_review.values import find_differences

# Actions that change no resource and run no code of the project.
_HARMLESS = frozenset({"aws_cloudfront_create_invalidation", "aws_dynamodb_create_backup"})
_EVENTS = {"create": "creation", "destroy": "deletion"}
_ON_FAILURE = {
    "continue": "; the apply goes on if it fails",
    "taint": "; if it fails, the next plan replaces it",
}


def find(action: Action) -> Iterator[Finding]:
    """Yield the finding of an action."""
    text = "runs"
    if action.resource:
        # Terraform writes events as AfterCreate or after_create.
        event = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", action.event).replace("_", " ").lower()
        moment, _, verb = event.partition(" ")
        text = f"runs {moment} the {_EVENTS.get(verb, verb)} of the resource that triggers it"
    elif action.is_invoked:
        text = "runs alone: asked for by -invoke"
    # Terraform writes ActionOnFailureTaint. By default the apply stops.
    text += _ON_FAILURE.get(action.on_failure.lower().removeprefix("actiononfailure"), "")
    yield Finding(
        Category.ACTION,
        needs_approval=action.type not in _HARMLESS,
        address=f"{action.address} ({action.resource})" if action.resource else action.address,
        text=text,
        differences=tuple(find_differences({}, action.configuration or {})),
    )
