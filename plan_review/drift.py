"""Changes that Terraform found since the last apply, and those that the same stack explains.

AWS shows the policy of `aws_iam_role_policy` as an attribute of its `aws_iam_role`, too. After the apply
that creates the policy, Terraform reports the role as changed outside of Terraform.
"""

from collections.abc import Iterator
from typing import Any

from plan_review.plan import Change, Plan
from plan_review.values import (
    Sensitive,
    equality_key,
    find_unmatched,
    is_empty,
    is_unknown,
    parse_json,
    top_level,
)

# By type and attribute: the types that manage the attribute of another resource.
_MANAGED_BY: dict[tuple[str, str], tuple[str, ...]] = {
    ("aws_default_route_table", "route"): ("aws_route",),
    ("aws_iam_role", "inline_policy"): ("aws_iam_role_policy",),
    ("aws_iam_role", "managed_policy_arns"): ("aws_iam_role_policy_attachment",),
    ("aws_route_table", "route"): ("aws_route",),
    ("aws_s3_bucket", "lifecycle_rule"): ("aws_s3_bucket_lifecycle_configuration",),
    ("aws_s3_bucket", "policy"): ("aws_s3_bucket_policy",),
    ("aws_s3_bucket", "server_side_encryption_configuration"): (
        "aws_s3_bucket_server_side_encryption_configuration",
    ),
    ("aws_s3_bucket", "versioning"): ("aws_s3_bucket_versioning",),
    ("aws_security_group", "egress"): (
        "aws_security_group_rule",
        "aws_vpc_security_group_egress_rule",
    ),
    ("aws_security_group", "ingress"): (
        "aws_security_group_rule",
        "aws_vpc_security_group_ingress_rule",
    ),
}
_IDENTITIES = ("id", "name", "arn")


def split_drift(plan: Plan) -> tuple[list[Change], list[tuple[Change, list[str]]]]:
    """Return the drift that a reviewer should see, and the drift that resources of the plan explain.

    The second list has the names of the explained attributes. Drift is explained if each new value is
    one that another resource of the plan configures for this one. Any other value may be tampering.
    """
    open_drift, explained = [], []
    for change in plan.drift:
        attributes = list(dict.fromkeys(top_level(item.path) for item in change.differences))
        if not attributes:
            continue
        if change.action == "update" and all(_is_explained(plan, change, name) for name in attributes):
            explained.append((change, attributes))
        else:
            open_drift.append(change)
    return open_drift, explained


def _is_explained(plan: Plan, change: Change, name: str) -> bool:
    types = _MANAGED_BY.get((change.type, name), ())
    identities = {equality_key(change.before.get(key)) for key in _IDENTITIES if change.before.get(key)}
    siblings = [
        values
        for other in plan.resources
        if other.type in types and (values := set(_list_scalars(other.after))) & identities
    ]
    before, after = (value if isinstance(value, list) else [value] for value in change.get(name))
    _, added = find_unmatched(before, after)
    return bool(added) and all(
        not is_unknown(item)
        and not isinstance(item, Sensitive)
        and any(set(_list_scalars(item)) <= values for values in siblings)
        for _, item in added
    )


def _list_scalars(value: Any) -> Iterator[str]:
    """Yield each scalar of a value that is not empty; a JSON document in a string counts as one."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _list_scalars(part)
    elif value is not False and not is_empty(value):
        # The older attribute of a bucket has `enabled`, the newer resource has `status`.
        yield equality_key("Enabled" if value is True else parse_json(value))
