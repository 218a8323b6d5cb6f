"""Changes that AWS refuses: the apply will fail. The plan alone shows it.

api_model.py compares values with the limits of AWS's API models. The other modules have rules of single
services that join several fields or several resources; each rule names its source.
A false alarm is worse than a miss: an unknown value is never judged, and a rule that has exceptions which a
plan does not show is no rule here.
"""

from collections.abc import Iterator

from plan_review.findings import Category, Finding
from plan_review.plan import Change, Plan
from plan_review.refusals import api_model, ec2, eks, iam, other_services, s3
from plan_review.refusals.refusal import Refusal
from plan_review.values import Difference


def find(plan: Plan) -> Iterator[Finding]:
    """Yield a finding for each change that AWS refuses."""
    changes = [change for change in plan.resources if change.type.startswith("aws_")]
    for change in changes:
        if change.action in ("create", "update", "replace"):
            for rules in (api_model, eks, ec2, iam, s3, other_services):
                for refusal in rules.find(change):
                    yield _build_finding(change, refusal)
        if change.action in ("delete", "replace"):
            for refusal in other_services.find_deletion(change):
                yield _build_finding(change, refusal)
    for rules_of_plan in (eks, ec2, iam):
        for change, refusal in rules_of_plan.find_together(changes):
            yield _build_finding(change, refusal)


def _build_finding(change: Change, refusal: Refusal) -> Finding:
    verb = "will" if refusal.is_certain else "may"
    return Finding(
        Category.REFUSAL,
        needs_approval=refusal.is_certain,
        address=change.address,
        text=f"{verb} be refused: {refusal.rule} ({refusal.source})",
        differences=(Difference(refusal.path, refusal.before, refusal.after),),
    )
