"""Plans of each format version, by hand after Terraform's "JSON Output Format"."""

import json
from typing import Any

import pytest

from plan_review import markdown
from plan_review.exit_status import ExitStatus
from plan_review.findings import Category, Finding
from plan_review.plan import Plan, PlanError, read_plan
from plan_review.review import PlannedStack, Review
from tests.plan_documents import document, findings, plan, report, resource

SECRET = "correct-horse"
FORMATS: dict[str, dict[str, Any]] = {
    "0.1": {"format_version": "0.1", "terraform_version": "0.12.31"},
    "0.2": {"format_version": "0.2", "resource_drift": []},
    "1.0": {"format_version": "1.0", "terraform_version": "1.1.0", "prior_state": {}},
    "1.1": {"format_version": "1.1", "relevant_attributes": [], "checks": []},
    "1.2": {"format_version": "1.2", "timestamp": "x", "errored": False, "applyable": True, "complete": True},
    "1.2 of Terraform 1.16": {
        "format_version": "1.2",
        "terraform_version": "1.16.5",
        "action_invocations": [],
        "deferred_changes": [],
        "deferred_action_invocations": [],
    },
    "a later one": {"format_version": "1.9", "terraform_version": "1.99.0", "unheard_of": [{}]},
}


def action(**more: Any) -> dict[str, Any]:
    """Return an action that runs after a bucket is created, with the given fields changed."""
    return {
        "address": "action.aws_lambda_invoke.migrate",
        "type": "aws_lambda_invoke",
        "name": "migrate",
        "config_values": {"function_name": "migrate", "payload": SECRET, "qualifier": None},
        "config_sensitive": {"payload": True},
        "config_unknown": {"region": True},
        "provider_name": "registry.terraform.io/hashicorp/aws",
        "lifecycle_action_trigger": {
            "triggering_resource_address": "aws_s3_bucket.this",
            "action_trigger_event": "AfterCreate",
            "action_trigger_block_index": 0,
            "actions_list_index": 0,
            "on_failure": "ActionOnFailureFail",
        },
    } | more


def only_action(**more: Any) -> Finding:
    """Return the finding of a plan with one action and nothing else."""
    (found,) = findings(Category.ACTION, action_invocations=[action(**more)])
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_plan_of_each_format_is_read(name: str) -> None:
    """The same change gives the same finding; unknown fields of a later minor version are ignored."""
    made = document(resource("aws_s3_bucket", {"bucket": "a"}, None)) | FORMATS[name]
    stack = PlannedStack("stack", read_plan(json.dumps(made)))
    assert [(item.category, item.needs_approval) for item in stack.findings] == [(Category.DESTRUCTION, True)]


@pytest.mark.parametrize("version", ["2.0", "3", "next", ""])
def test_an_unknown_major_version_says_what_to_do(version: str) -> None:
    """A later major version may mean something else by the same fields."""
    with pytest.raises(PlanError) as refused:
        read_plan(json.dumps(document() | {"format_version": version}))
    assert str(refused.value) == (
        f"format_version: {version}: unknown. Accepted: 0.x and 1.x. Plan with a Terraform that writes "
        "one of these, or take a newer version of this review"
    )


def test_an_action_is_shown_with_its_configuration() -> None:
    """It calls something that no diff shows, so it needs an approval; its secrets are masked."""
    found = only_action()
    assert found.needs_approval
    assert found.address == "action.aws_lambda_invoke.migrate (aws_s3_bucket.this)"
    assert found.text == "runs after the creation of the resource that triggers it"
    assert {item.path: str(item.after) for item in found.differences} == {
        "function_name": "migrate",
        "payload": "(sensitive)",
        "region": "(known after apply)",
    }
    assert SECRET not in report(action_invocations=[action()])


def test_a_harmless_action_needs_no_approval() -> None:
    """It changes no resource and runs no code."""
    assert not only_action(type="aws_cloudfront_create_invalidation").needs_approval


@pytest.mark.parametrize(
    ("event", "on_failure", "text"),
    [
        ("before_update", "", "runs before the update of the resource that triggers it"),
        (
            "BeforeDestroy",
            "ActionOnFailureContinue",
            "runs before the deletion of the resource that triggers it; the apply goes on if it fails",
        ),
        (
            "AfterUpdate",
            "ActionOnFailureTaint",
            "runs after the update of the resource that triggers it; if it fails, the next plan replaces it",
        ),
    ],
)
def test_event_and_failure_of_an_action_are_told(event: str, on_failure: str, text: str) -> None:
    """Terraform 1.16 adds the events of a deletion, and what a failure means."""
    trigger = {"triggering_resource_address": "a.b", "action_trigger_event": event, "on_failure": on_failure}
    assert only_action(lifecycle_action_trigger=trigger).text == text


def test_a_plan_with_an_action_alone_has_changes() -> None:
    """`terraform plan -invoke` changes no resource, and the apply does something."""
    invoked = action(invoke_action_trigger={})
    del invoked["lifecycle_action_trigger"]
    review = Review("Plan", [PlannedStack("stack", plan(action_invocations=[invoked]))])
    assert review.exit_status == ExitStatus.APPROVAL
    assert [item.text for item in review.findings] == ["runs alone: asked for by -invoke"]
    assert "only actions" in markdown.write(review)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("instance_count_unknown", ": count or for_each is known only after the apply"),
        ("provider_config_unknown", ": the configuration of its provider is known only after the apply"),
        ("deferred_prereq", ": something that it needs is deferred, too"),
        ("not_included", ": it is not among the targets of this plan"),
        ("unheard_of", ""),
    ],
)
def test_a_deferred_change_is_told_with_its_reason(reason: str, words: str) -> None:
    """The apply does not make it, so it needs no approval now; the next plan has it."""
    change = resource("aws_s3_bucket", {}, None, address="aws_s3_bucket.later")
    made = {"deferred_changes": [{"reason": reason, "resource_change": change}], "complete": False}
    (found,) = findings(Category.DEFERRED, **made)
    assert (found.address, found.needs_approval) == ("aws_s3_bucket.later", False)
    assert found.text == f"waits for a later plan (delete){words}"
    assert not findings(Category.DESTRUCTION, **made)
    assert "incomplete: Terraform deferred a part" in report(**made)


def test_a_deferred_action_is_told() -> None:
    """It waits for the change that it belongs to."""
    item = {"reason": "deferred_prereq", "action_invocation": action()}
    (found,) = findings(Category.DEFERRED, deferred_action_invocations=[item])
    assert found.text == "waits for a later plan (action): something that it needs is deferred, too"


def test_a_resource_with_destroy_false_is_forgotten() -> None:
    """With `lifecycle.destroy = false` (Terraform 1.16) a deletion and a replacement leave the old one."""
    gone = resource("aws_s3_bucket", {}, None, address="aws_s3_bucket.gone", actions=("forget",))
    anew = resource("aws_s3_bucket", {}, {}, address="aws_s3_bucket.anew", actions=("create", "forget"))
    found = findings(Category.DESTRUCTION, gone, anew)
    assert {item.address: (item.text, item.needs_approval) for item in found} == {
        "aws_s3_bucket.gone": ("is forgotten: it stays, and Terraform no longer manages it", False),
        "aws_s3_bucket.anew": (
            "is created anew; the old one stays, and Terraform no longer manages it",
            False,
        ),
    }


@pytest.mark.parametrize(
    ("importing", "shown"),
    [
        ({"id": "vpc-1"}, "imported: `vpc-1`"),
        (
            {"identity": {"bucket": "data", "region": None, "account_id": "1"}},
            "imported: `bucket=data, account_id=1`",
        ),
        ({}, "imported\n"),
        ({"unknown": True}, "imported\n"),
    ],
    ids=str,
)
def test_an_import_in_a_module_shows_its_identity(importing: dict[str, Any], shown: str) -> None:
    """A reviewer sees which object Terraform takes over, by its ID or by its identity (Terraform 1.12)."""
    address = 'module.data["a"].aws_s3_bucket.this'
    change = resource(
        "aws_s3_bucket", {"a": 1}, {"a": 1}, address=address, actions=("no-op",), importing=importing
    )
    text = report(change)
    assert f"`{address}` {shown}" in f"{text}\n"
    assert "| `stack` | 0 | 0 | 0 | 0 | 1 |" in text


def test_identities_are_no_attributes() -> None:
    """Terraform 1.12 writes them beside the values, and they are no change of a resource."""
    change = resource("aws_s3_bucket", {"a": 1}, {"a": 2})
    change["change"] |= {"before_identity": {"bucket": "x"}, "after_identity": {"bucket": "y"}}
    (found,) = plan(change).resources
    assert [item.path for item in found.differences] == ["a"]


@pytest.mark.parametrize("value", [None, 7, "text", [1], {"a": 1}, [{}], [None]], ids=str)
@pytest.mark.parametrize("name", ["action_invocations", "deferred_changes", "deferred_action_invocations"])
def test_a_wrong_type_gives_no_traceback(name: str, value: Any) -> None:
    """A plan with a wrong type is refused or reviewed."""
    try:
        assert isinstance(plan(**{name: value}), Plan)
    except PlanError as error:
        assert str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize("value", [None, 7, "text", [1], {"a": 1}], ids=str)
@pytest.mark.parametrize("name", list(action()))
def test_an_odd_action_gives_no_traceback(name: str, value: Any) -> None:
    """Each field of an action may have a wrong type."""
    try:
        assert report(action_invocations=[action(**{name: value})])
    except PlanError as error:
        assert str(error)  # noqa: PT017 - either is right
