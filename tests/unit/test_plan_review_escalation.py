"""Ways to more rights that a policy opens."""

from typing import Any

import pytest

from plan_review.escalation import WAYS
from plan_review.findings import Category, Finding
from tests.plan_documents import allow, findings, policy, resource

ROLE = "arn:aws:iam::111122223333:role/deploy"


def ways(before: list[dict[str, Any]] | None, after: list[dict[str, Any]]) -> list[Finding]:
    """Return the findings of a policy that changes."""
    states = (None if side is None else {"policy": policy(*side)} for side in (before, after))
    return findings(Category.ESCALATION, resource("aws_iam_policy", *states))


def grant(*actions: str, **more: Any) -> dict[str, Any]:
    """Return a statement that allows actions on every resource, with the given keys changed."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"} | more


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "+".join(way.actions))
def test_each_known_way_is_named(way: Any) -> None:
    """A statement with exactly the actions of a way opens it, and the finding has its name."""
    (found,) = ways(None, [grant(*way.actions)])
    assert found.needs_approval
    assert f"{way.name} ({way.effect})" in found.text


def test_a_finding_names_all_actions_of_a_way() -> None:
    """A reviewer reads the actions that only together are dangerous."""
    (found,) = ways([allow()], [allow(), grant("iam:PassRole", "ec2:RunInstances")])
    assert found.text == (
        "opens a known way to more rights: iam:PassRole with ec2:RunInstances "
        "(run code with the role that it passes)"
    )


@pytest.mark.parametrize(
    "statement",
    [
        grant("iam:*"),
        grant("iam:Create*"),
        grant("IAM:createpolicyversion"),
        grant("iam:CreatePolicyVersio?"),
        grant(NotAction=["s3:*"], Action=None),
        grant("iam:CreatePolicyVersion", Resource="arn:aws:iam::1:policy/*"),
        grant("iam:CreatePolicyVersion", Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}),
    ],
    ids=str,
)
def test_a_wildcard_covers_a_way(statement: dict[str, Any]) -> None:
    """IAM matches actions without regard to case, and `NotAction` allows all others."""
    (found,) = ways(None, [statement])
    assert "iam:CreatePolicyVersion" in found.text
    assert found.needs_approval


@pytest.mark.parametrize(
    "statements",
    [
        [grant("iam:PassRole")],
        [grant("ec2:RunInstances")],
        [grant("iam:Get*", "iam:List*")],
        [grant("sts:AssumeRole", Resource=ROLE)],
        [grant("iam:CreateAccessKey", Resource="arn:aws:iam::*:user/${aws:username}")],
        [grant("iam:*", Principal={"AWS": "*"})],
        [grant("iam:CreateAccessKey"), grant("iam:*", Effect="Deny")],
        [
            grant("iam:PassRole", Condition={"StringEquals": {"iam:PassedToService": "eks.amazonaws.com"}}),
            grant("ec2:RunInstances"),
        ],
    ],
    ids=str,
)
def test_other_statements_open_no_way(statements: list[dict[str, Any]]) -> None:
    """A part of a way, self-service, a denied action and a role for another service open none."""
    assert not ways(None, statements)


def test_a_way_that_was_open_is_no_finding() -> None:
    """The review judges the change."""
    assert not ways([grant("iam:*")], [grant("iam:PutRolePolicy")])
    assert not ways([grant("iam:PutRolePolicy")], [grant("iam:PutRolePolicy", Resource=ROLE)])


def test_a_denial_that_is_removed_opens_a_way() -> None:
    """The same grant is dangerous without the statement that denied it."""
    keys = grant("iam:CreateAccessKey")
    assert len(ways([keys, grant("iam:*", Effect="Deny")], [keys])) == 1


def test_a_way_with_named_resources_needs_no_approval() -> None:
    """The finding says so; the same way for any resource is a finding of its own."""
    named, wide = grant("iam:PutRolePolicy", Resource=ROLE), grant("iam:PutRolePolicy")
    (found,) = ways(None, [named])
    assert not found.needs_approval
    assert found.text.endswith("; only with the resources that the policy names")
    (found,) = ways([named], [wide])
    assert found.needs_approval


def test_a_policy_that_allows_everything_is_one_line() -> None:
    """An administrator has every way; a list of them helps nobody."""
    (found,) = ways([allow()], [grant("*")])
    assert found.text == "allows everything: every known way to more rights is open"


def test_many_ways_are_cut() -> None:
    """A finding stays one line."""
    (found,) = ways(None, [grant("iam:*")])
    assert "; and 11 more" in found.text
    assert found.text.startswith("opens 17 known ways to more rights: iam:CreatePolicyVersion (")


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("aws_iam_role_policy_attachment", {"policy_arn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
        ("aws_iam_role", {"managed_policy_arns": ["arn:aws-cn:iam::aws:policy/IAMFullAccess"]}),
        (
            "aws_ssoadmin_managed_policy_attachment",
            {"managed_policy_arn": "arn:aws:iam::aws:policy/job-function/PowerUserAccess"},
        ),
    ],
)
def test_a_policy_of_aws_that_opens_ways_is_named(kind: str, after: dict[str, Any]) -> None:
    """Its document is not in the plan, but its name is known."""
    (found,) = findings(Category.ESCALATION, resource(kind, None, after))
    assert found.needs_approval
    assert "which lets its holder" in found.text


def test_a_boundary_and_other_policies_of_aws_open_no_way() -> None:
    """A permissions boundary only limits."""
    for after in (
        {"permissions_boundary": "arn:aws:iam::aws:policy/AdministratorAccess"},
        {"policy_arn": "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"},
        {"policy_arn": "arn:aws:iam::111122223333:policy/AdministratorAccess"},
    ):
        assert not findings(Category.ESCALATION, resource("aws_iam_role_policy_attachment", None, after))
