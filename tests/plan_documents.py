"""Small plans, as `terraform show -json` writes them, for the tests of plan_review/."""

import json
from typing import Any

from plan_review import markdown
from plan_review.findings import Category, Finding
from plan_review.plan import Plan, read_plan
from plan_review.review import PlannedStack, Review

State = dict[str, Any] | None


def resource(
    kind: str,
    before: State,
    after: State,
    *,
    address: str = "",
    actions: tuple[str, ...] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return the change of one resource; its actions follow from the attributes before and after.

    `unknown=…`, `before_sensitive=…` and `after_sensitive=…` are marks. `replace_paths=…` and
    `importing=…` belong to the change, and any other keyword to the resource.
    """
    if not actions:
        actions = ("create",) if before is None else ("delete",) if after is None else ("update",)
    change: dict[str, Any] = {
        "actions": list(actions),
        "before": before,
        "after": after,
        "after_unknown": more.pop("unknown", {}),
        "before_sensitive": more.pop("before_sensitive", {}),
        "after_sensitive": more.pop("after_sensitive", {}),
    }
    change |= {key: more.pop(key) for key in ("replace_paths", "importing") if key in more}
    return {
        "address": address or f"{kind}.this",
        "mode": "managed",
        "type": kind,
        "name": "this",
        "change": change,
        **more,
    }


def output(before: Any, after: Any, *, sensitive: bool = False) -> dict[str, Any]:
    """Return the change of one output."""
    actions = "create" if before is None else "delete" if after is None else "update"
    return {
        "actions": [actions],
        "before": before,
        "after": after,
        "after_unknown": False,
        "before_sensitive": sensitive,
        "after_sensitive": sensitive,
    }


def document(*changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a plan; `configured={address: expressions}` is short for its configuration."""
    if "configured" in more:
        resources = [
            {"address": address, "expressions": expressions}
            for address, expressions in more.pop("configured").items()
        ]
        more["configuration"] = {"root_module": {"resources": resources}}
    return {"format_version": "1.2", "planned_values": {}, "resource_changes": list(changes), **more}


def plan(*changes: dict[str, Any], **more: Any) -> Plan:
    """Return a plan that the review has read."""
    return read_plan(json.dumps(document(*changes, **more)))


def findings(category: Category, *changes: dict[str, Any], **more: Any) -> list[Finding]:
    """Return the findings of one category."""
    found = PlannedStack("stack", plan(*changes, **more)).findings
    return [finding for finding in found if finding.category == category]


def report(*changes: dict[str, Any], **more: Any) -> str:
    """Return the report of one plan."""
    return markdown.write(Review("Plan", [PlannedStack("stack", plan(*changes, **more))]))


def policy(*statements: dict[str, Any]) -> str:
    """Return a policy document; an element that is None is left out."""
    written = [{key: value for key, value in item.items() if value is not None} for item in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": written})


def allow(**more: Any) -> dict[str, Any]:
    """Return a statement that allows reading one bucket, with the given keys changed."""
    return {"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:bucket/*"} | more
