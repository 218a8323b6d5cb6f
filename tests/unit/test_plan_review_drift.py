"""Changes outside of Terraform, and those that the same stack explains."""

import json
from typing import Any

import pytest

from plan_review.drift import split_drift
from tests.plan_documents import allow, plan, policy, report, resource

ROLE = {"id": "web", "name": "web"}
POLICY = {"role": "web", "name": "read", "policy": policy(allow())}
CONFIGURED = [
    resource("aws_iam_role_policy", POLICY, POLICY, actions=("no-op",)),
    resource(
        "aws_iam_role_policy_attachment",
        *[{"role": "web", "policy_arn": "arn:read"}] * 2,
        actions=("no-op",),
    ),
    resource(
        "aws_s3_bucket_lifecycle_configuration",
        *[{"bucket": "b", "rule": [{"id": "old", "status": "Enabled", "expiration": [{"days": 30}]}]}] * 2,
        actions=("no-op",),
    ),
]


def explained(kind: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Return whether the plan explains a change outside of Terraform."""
    _, found = split_drift(plan(*CONFIGURED, resource_drift=[resource(kind, before, after)]))
    return bool(found)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("aws_iam_role", ROLE, {"inline_policy": [{"name": "read", "policy": policy(allow())}]}),
        ("aws_iam_role", ROLE, {"managed_policy_arns": ["arn:read"]}),
        ("aws_iam_role", ROLE | {"managed_policy_arns": ["arn:old"]}, {"managed_policy_arns": ["arn:read"]}),
        (
            "aws_s3_bucket",
            {"id": "b"},
            {
                "lifecycle_rule": [
                    {"id": "old", "enabled": True, "prefix": "", "expiration": [{"days": 30, "date": ""}]}
                ]
            },
        ),
    ],
)
def test_values_that_a_sibling_configures_are_explained(
    kind: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """AWS shows a role's policies and a bucket's rules as attributes of the role and the bucket."""
    assert explained(kind, before, before | after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            {}, {"inline_policy": [{"name": "read", "policy": policy(allow(Action="s3:*"))}]}, id="action"
        ),
        pytest.param({}, {"inline_policy": [{"name": "other", "policy": policy(allow())}]}, id="name"),
        pytest.param({}, {"managed_policy_arns": ["arn:read", "arn:admin"]}, id="one more"),
        pytest.param({"managed_policy_arns": ["arn:read"]}, {"managed_policy_arns": []}, id="removed"),
        pytest.param(
            {"id": "other", "name": "other"}, {"managed_policy_arns": ["arn:read"]}, id="another role"
        ),
        pytest.param({}, {"description": "x", "managed_policy_arns": ["arn:read"]}, id="another attribute"),
    ],
)
def test_tampering_is_not_explained(before: dict[str, Any], after: dict[str, Any]) -> None:
    """A value that no resource of the plan configures may come from somebody else."""
    assert not explained("aws_iam_role", ROLE | before, ROLE | before | after)


def test_explained_changes_are_one_line() -> None:
    """The line names the resources and the attributes; other changes are listed apart."""
    filled = ROLE | {"inline_policy": [{"name": "read", "policy": json.dumps(json.loads(POLICY["policy"]))}]}
    text = report(
        *CONFIGURED,
        resource_drift=[resource("aws_iam_role", ROLE, filled), resource("acme_thing", {"a": 1}, {"a": 2})],
    )
    assert "configure: `aws_iam_role.this` (`inline_policy`)\n" in text
    listed = text.partition("changed outside of Terraform")[2].partition("</details>")[0]
    assert "acme_thing.this" in listed
    assert "aws_iam_role" not in listed
