"""Access: policies as a diff of statements, grants without a policy, Pod Security levels."""

from typing import Any

import pytest

from plan_review.findings import Category, Finding
from tests.plan_documents import allow, findings, policy, report, resource

DENY = {"Effect": "Deny", "Action": ["s3:Delete*", "s3:Put*"], "Resource": "*"}


def policy_change(before: str | None, after: str | None) -> Finding:
    """Return the finding of a policy that changes."""
    states = ({"policy": text} if text else None for text in (before, after))
    (found,) = findings(Category.ACCESS, resource("aws_iam_policy", *states))
    return found


@pytest.mark.parametrize(
    ("before", "after", "widens"),
    [
        pytest.param([allow()], [allow(Action=["s3:GetObject", "s3:PutObject"])], True, id="an action more"),
        pytest.param([allow(Action=["a:b", "s3:GetObject"])], [allow()], False, id="an action less"),
        pytest.param([allow()], [allow(Action="s3:*")], True, id="a wildcard"),
        pytest.param([allow()], [allow(Resource=["arn:bucket/*", "arn:b"])], True, id="a resource more"),
        pytest.param([allow(Resource=["arn:bucket/*", "b"])], [allow()], False, id="a resource less"),
        pytest.param([allow()], [allow(), allow(Sid="Other", Action="a:b")], True, id="a statement more"),
        pytest.param([allow(), allow(Sid="Other", Action="a:b")], [allow()], False, id="a statement less"),
        pytest.param([allow()], [allow(), DENY], False, id="a denial more"),
        pytest.param([allow(), DENY], [allow()], True, id="a denial less"),
        pytest.param([DENY], [DENY | {"Action": ["s3:Put*"]}], True, id="an action denied no longer"),
        pytest.param([DENY], [DENY | {"Action": [*DENY["Action"], "a:b"]}], False, id="an action denied"),
        pytest.param([allow(Effect="Deny")], [allow()], True, id="allowed, not denied"),
        pytest.param([allow(Condition={"StringEquals": {"a": "b"}})], [allow()], True, id="a condition less"),
        pytest.param(
            [allow(Condition={"StringEquals": {"a": "b"}})],
            [allow(Condition={"StringEquals": {"a": ["b", "c"]}})],
            True,
            id="a looser condition",
        ),
        pytest.param(
            [allow(Action=None, NotAction=["a:b", "a:c"])],
            [allow(Action=None, NotAction=["a:b"])],
            True,
            id="an exception less",
        ),
        pytest.param(
            [allow(Action=None, NotAction=["a:b"])],
            [allow(Action=None, NotAction=["a:b", "a:c"])],
            False,
            id="an exception more",
        ),
        pytest.param(
            [DENY | {"NotResource": ["a"], "Resource": None}],
            [DENY | {"NotResource": ["a", "b"], "Resource": None}],
            True,
            id="an exception from a denial",
        ),
        pytest.param(
            [allow(Principal={"AWS": "arn:a"})], [allow(Principal={"AWS": "*"})], True, id="everybody"
        ),
        pytest.param(
            [allow(Principal={"AWS": ["arn:a", "arn:b"]})],
            [allow(Principal={"AWS": "arn:a"})],
            False,
            id="a principal less",
        ),
    ],
)
def test_policies_that_may_grant_more_need_an_approval(
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    widens: bool,  # noqa: FBT001
) -> None:
    """A policy needs an approval exactly if it may allow something that it did not allow before."""
    assert policy_change(policy(*before), policy(*after)).needs_approval is widens


def test_a_policy_is_shown_as_a_diff_of_its_statements() -> None:
    """A changed statement is shown whole, an unchanged statement is left out."""
    stays = allow(Sid="Stays", Action="a:b")
    found = policy_change(
        policy(stays, allow()), policy(allow(Action=["s3:GetObject", "s3:PutObject"]), stays)
    )
    assert found.diff == (
        "  policy:",
        "  Allow Read",
        "    Action: s3:GetObject",
        "+   Action: s3:PutObject",
        "    Resource: arn:bucket/*",
    )


def test_the_same_rights_in_another_form_are_no_finding() -> None:
    """To IAM order has no meaning, and a single value equals a list of one."""
    before = policy(allow(), allow(Sid="B", Action=["a:c", "a:b"]))
    after = policy(allow(Sid="B", Action=["a:b", "a:c"]), allow(Action=["s3:GetObject"]))
    assert not findings(
        Category.ACCESS, resource("aws_s3_bucket_policy", {"policy": before}, {"policy": after})
    )


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("aws_s3_bucket_policy", "policy"),
        ("aws_iam_role", "assume_role_policy"),
        ("aws_iam_role", "inline_policy[0].policy"),
        ("aws_kms_key", "policy"),
        ("some_provider_thing", "nested[0].text"),
    ],
)
def test_a_policy_is_found_in_any_attribute(kind: str, path: str) -> None:
    """The review recognizes a policy document by its form, in any attribute of any type."""
    block, _, name = path.rpartition("[0].")
    attributes = {name: policy(allow())}
    state = {block: [attributes]} if block else attributes
    (found,) = findings(Category.ACCESS, resource(kind, None, state))
    assert found.needs_approval
    assert found.diff[0] == f"  {path}:"
    assert "+   Action: s3:GetObject" in found.diff


@pytest.mark.parametrize("before", ["", policy(allow())], ids=["new", "changed"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("aws_s3_bucket_policy", "policy"),
        ("aws_iam_role", "assume_role_policy"),
        ("aws_opensearch_domain", "access_policies"),
    ],
)
def test_an_unknown_policy_needs_an_approval(kind: str, name: str, before: str) -> None:
    """An unknown policy may grant more than the old one."""
    (found,) = findings(
        Category.ACCESS,
        resource(kind, {name: before} if before else None, {}, unknown={name: True}),
        configured={f"{kind}.this": {name: {"references": ["aws_s3_bucket.a.arn"]}}},
    )
    assert found.needs_approval
    assert found.diff[-1] == "+ (known after apply)"


def test_an_unknown_policy_is_read_from_the_configuration() -> None:
    """Terraform's JSON syntax keeps the text of a policy, with references in it."""
    text = policy(allow(Resource="${aws_s3_bucket.cache.arn}/*"))
    (found,) = findings(
        Category.ACCESS,
        resource("aws_s3_bucket_policy", None, {}, unknown={"policy": True}),
        configured={"aws_s3_bucket_policy.this": {"policy": {"constant_value": text}}},
    )
    assert "+   Resource: ${aws_s3_bucket.cache.arn}/*" in found.diff


@pytest.mark.parametrize(
    "expression",
    [
        {"constant_value": "${data.aws_iam_policy_document.p.json}"},
        {"references": ["data.aws_iam_policy_document.p.json", "data.aws_iam_policy_document.p"]},
    ],
)
def test_a_reference_to_a_policy_stays_unknown(expression: dict[str, Any]) -> None:
    """A configuration with a reference has no policy text."""
    (found,) = findings(
        Category.ACCESS,
        resource("aws_s3_bucket_policy", None, {}, unknown={"policy": True}),
        configured={"aws_s3_bucket_policy.this": {"policy": expression}},
    )
    assert found.needs_approval
    assert found.diff == ("  policy:", "+ (known after apply)")


@pytest.mark.parametrize(
    "expression",
    [{"constant_value": "${aws_iam_role.runner.arn}"}, {"references": ["aws_iam_role.runner.arn", "x"]}],
)
def test_a_new_grant_names_its_unknown_role(expression: dict[str, Any]) -> None:
    """A role that the same plan creates has an address and no ARN yet."""
    change = resource(
        "aws_eks_pod_identity_association", None, {"namespace": "ci"}, unknown={"role_arn": True}
    )
    text = report(change, configured={change["address"]: {"namespace": {}, "role_arn": expression}})
    assert "- `role_arn`: added `(known after apply: ${aws_iam_role.runner.arn})`" in text


def test_a_computed_policy_is_no_finding() -> None:
    """A new bucket or key has a policy that the provider computes."""
    assert not findings(
        Category.ACCESS,
        resource("aws_kms_key", None, {}, unknown={"policy": True}),
        configured={"aws_kms_key.this": {"description": {"constant_value": "logs"}}},
    )


def test_a_sensitive_policy_needs_an_approval_and_stays_masked() -> None:
    """A sensitive policy may grant anything, and the report must not show it."""
    change = resource(
        "aws_s3_bucket_policy",
        {"policy": policy(allow())},
        {"policy": policy(allow(Action="s3:Secret"))},
        after_sensitive={"policy": True},
    )
    (found,) = findings(Category.ACCESS, change)
    assert found.needs_approval
    assert "Secret" not in report(change)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("aws_eks_access_entry", {"principal_arn": "arn:p", "kubernetes_groups": ["masters"]}),
        (
            "aws_eks_access_policy_association",
            {"principal_arn": "arn:p", "policy_arn": "arn:admin", "access_scope": [{"type": "cluster"}]},
        ),
        (
            "aws_eks_pod_identity_association",
            {"namespace": "ci", "service_account": "runner", "role_arn": "arn:r"},
        ),
        ("aws_iam_role_policy_attachment", {"role": "r", "policy_arn": "arn:admin"}),
        ("kubernetes_cluster_role_binding_v1", {"role_ref": [{"name": "admin"}]}),
    ],
)
def test_a_new_grant_is_shown_with_its_attributes(kind: str, attributes: dict[str, Any]) -> None:
    """A new grant needs an approval, and the report shows who gets which rights."""
    (found,) = findings(Category.ACCESS, resource(kind, None, attributes))
    assert found.needs_approval
    assert {item.path.split("[")[0] for item in found.differences} == set(attributes)


def test_a_removed_grant_needs_no_approval() -> None:
    """A removed access entry or role is shown, and grants nothing."""
    (found,) = findings(Category.ACCESS, resource("aws_eks_access_entry", {"principal_arn": "arn:p"}, None))
    assert not found.needs_approval
    assert [item.before for item in found.differences] == ["arn:p"]
    role = {"assume_role_policy": policy(allow()), "permissions_boundary": "arn:b"}
    (found,) = findings(Category.ACCESS, resource("aws_iam_role", role, None))
    assert not found.needs_approval


@pytest.mark.parametrize(
    ("before", "after", "needs_approval"),
    [
        ({"managed_policy_arns": ["a"]}, {"managed_policy_arns": ["a", "b"]}, True),
        ({"managed_policy_arns": ["a", "b"]}, {"managed_policy_arns": ["a"]}, False),
        ({"permissions_boundary": "b"}, {"permissions_boundary": None}, True),
        ({"permissions_boundary": "b"}, {"permissions_boundary": "c"}, True),
        ({"permissions_boundary": None}, {"permissions_boundary": "b"}, False),
    ],
)
def test_a_role_widens_without_a_policy_document(
    before: dict[str, Any],
    after: dict[str, Any],
    needs_approval: bool,  # noqa: FBT001
) -> None:
    """An attached policy grants; a permissions boundary limits."""
    (found,) = findings(Category.ACCESS, resource("aws_iam_role", before, after))
    assert found.needs_approval is needs_approval


def test_an_attribute_beside_a_policy_is_not_taken_for_a_part_of_it() -> None:
    """`policy_arn` begins like `policy`, and is another attribute."""
    before = {"policy": policy(allow()), "policy_arn": "arn:read"}
    after = {"policy": policy(allow(Sid="New", Action="a:b")), "policy_arn": "arn:admin"}
    (found,) = findings(Category.ACCESS, resource("aws_iam_thing", before, after))
    assert [item.path for item in found.differences] == ["policy_arn"]


def test_tags_and_descriptions_grant_nothing() -> None:
    """A role's tags and description are no finding of access."""
    before = {"tags": {"a": "b"}, "description": "x"}
    assert not findings(
        Category.ACCESS, resource("aws_iam_role", before, {"tags": {"a": "c"}, "description": "y"})
    )


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (
            "aws_eks_cluster",
            {"access_config": [{"authentication_mode": "API"}]},
            {"access_config": [{"authentication_mode": "API_AND_CONFIG_MAP"}]},
        ),
        ("aws_eks_node_group", {"node_role_arn": "arn:a"}, {"node_role_arn": "arn:b"}),
        ("aws_lambda_function", {"role": "arn:a"}, {"role": "arn:b"}),
        (
            "aws_launch_template",
            {"metadata_options": [{"http_put_response_hop_limit": 1}]},
            {"metadata_options": [{"http_put_response_hop_limit": 2}]},
        ),
    ],
)
def test_another_role_or_way_to_a_role_needs_an_approval(
    kind: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Functions and clusters get the rights of their role; pods may reach the role of their node."""
    (found,) = findings(Category.ACCESS, resource(kind, before, after))
    assert found.needs_approval


def test_what_only_limits_needs_no_approval() -> None:
    """Tokens for instance metadata, and the policy of a new endpoint, give nobody more than before."""
    states = (
        {"metadata_options": [{"http_tokens": tokens, "http_put_response_hop_limit": hops}]}
        for tokens, hops in (("optional", 2), ("required", 1))
    )
    endpoint = resource("aws_vpc_endpoint", None, {"policy": policy(allow(Principal="*"))})
    for change in (resource("aws_launch_template", *states), endpoint):
        assert not any(found.needs_approval for found in findings(Category.ACCESS, change))


@pytest.mark.parametrize(
    ("old", "new", "needs_approval"),
    [
        ("restricted", "baseline", True),
        ("baseline", "restricted", False),
        ("restricted", None, True),
        (None, "restricted", False),
        (None, "privileged", True),
    ],
)
def test_a_lower_pod_security_level_needs_an_approval(
    old: str | None,
    new: str | None,
    needs_approval: bool,  # noqa: FBT001
) -> None:
    """The Pod Security Standards have three levels, from restricted to privileged."""
    states = (
        {"metadata": [{"labels": {"pod-security.kubernetes.io/enforce": level} if level else {}}]}
        for level in (old, new)
    )
    (found,) = findings(Category.ACCESS, resource("kubernetes_namespace_v1", *states))
    assert found.needs_approval is needs_approval
