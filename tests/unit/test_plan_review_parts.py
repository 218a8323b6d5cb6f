"""Which created resource a created part belongs to."""

from typing import Any

from plan_review.parts import find_wholes
from tests.plan_documents import plan, resource


def wholes(*addresses: str, configuration: dict[str, Any]) -> dict[str, str]:
    """Return the wholes of created resources; the type is the second last part of the address."""
    made = [
        resource(address.partition("[")[0].split(".")[-2], None, {"a": 1}, address=address)
        for address in addresses
    ]
    return find_wholes(plan(*made, configuration={"root_module": configuration}).changes)


def refer(attribute: str, *references: str) -> dict[str, Any]:
    """Return the expressions of a resource with one attribute."""
    return {"expressions": {attribute: {"references": list(references)}}}


def test_parts_of_a_module_belong_to_the_resources_of_the_module() -> None:
    """References in a module are relative to it; instances of `count` and `for_each` count as one."""
    role, attachment = "aws_iam_role.this[0]", 'aws_iam_role_policy_attachment.this["a"]'
    inner = {
        "resources": [
            {"address": "aws_iam_role.this", "expressions": {}},
            {
                "address": "aws_iam_role_policy_attachment.this",
                **refer("role", "aws_iam_role.this[0].name", "aws_iam_role.this[0]", "aws_iam_role.this"),
            },
        ]
    }
    configuration = {"module_calls": {"eks": {"module": inner}}}
    assert wholes(f"module.eks.{role}", f"module.eks.{attachment}", configuration=configuration) == {
        f"module.eks.{attachment}": f"module.eks.{role}"
    }
    # The role of another module is another role.
    assert not wholes(role, f"module.eks.{attachment}", configuration=configuration)


def test_references_in_a_circle_end() -> None:
    """A plan that Terraform would never write gives no endless loop."""
    configuration = {
        "resources": [
            {"address": "aws_iam_role_policy.a", **refer("role", "aws_iam_role_policy.b.x")},
            {"address": "aws_iam_role_policy.b", **refer("role", "aws_iam_role_policy.a.x")},
        ]
    }
    assert set(wholes("aws_iam_role_policy.a", "aws_iam_role_policy.b", configuration=configuration)) == {
        "aws_iam_role_policy.a",
        "aws_iam_role_policy.b",
    }
