"""Reading plans: refusals, masked values, changes."""

import json
from typing import Any

import pytest

from plan_review import plan as plan_module
from plan_review.plan import PlanError, read_plan
from tests.plan_documents import allow, document, output, plan, policy, report, resource

SECRET = "correct-horse"
WHOLE = {"secret": True}


def refusal(text: str) -> str:
    """Return the message that refuses a text."""
    with pytest.raises(PlanError) as refused:
        read_plan(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        (json.dumps(document(resource("a", None, {})))[:-20], "not JSON"),
        ("[]", "not a plan"),
        ('{"version": 4, "serial": 1, "resources": []}', "not a plan"),
        ('{"format_version": "1.0", "values": {}}', "a state, not a plan"),
        ('{"format_version": "2.0", "planned_values": {}}', "format_version: 2.0: unknown"),
        (json.dumps(document(errored=True)), "a run that failed"),
        (json.dumps(document(resource("a", None, {}, actions=("dance",)))), 'a.this: actions: ["dance"]'),
        (json.dumps(document(resource("a", None, {}, actions=("update",)))), "not laid out as a plan"),
    ],
)
def test_other_files_are_refused(text: str, message: str) -> None:
    """The message says why the file is not a plan that can be reviewed."""
    assert message in refusal(text)


@pytest.mark.parametrize("value", [None, 7, "text", [1], {"a": 1}], ids=str)
@pytest.mark.parametrize("place", ["item", "change", "address", "type", "actions", "before", "after"])
def test_a_wrong_type_gives_no_traceback(place: str, value: Any) -> None:
    """A plan with a wrong type is refused or reviewed."""
    item: Any = resource("aws_eks_node_group", {"a": 1}, {"a": 2})
    if place in item:
        item[place] = value
    elif place in item["change"]:
        item["change"][place] = value
    else:
        item = value
    try:
        assert report(item)
    except PlanError as error:
        assert str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("limit", "number", "message"),
    [
        ("MAX_VALUES", 50, "has 0 MB and about "),
        ("MAX_BYTES", 500, "has 0 MB and about "),
        ("MAX_CHANGES", 2, "changes 9 resources. Accepted: up to 2: "),
    ],
)
def test_a_plan_that_is_too_large_is_refused(
    monkeypatch: pytest.MonkeyPatch, limit: str, number: int, message: str
) -> None:
    """The message has the size and the limit. Lower limits than the real ones need less text."""
    text = json.dumps(document(*(resource("aws_vpc", None, {"a": index}) for index in range(9))))
    assert len(read_plan(text).changes) == 9
    monkeypatch.setattr(plan_module, limit, number)
    for given in (text, text.encode()):
        with pytest.raises(PlanError) as refused:
            read_plan(given)
        assert str(refused.value).startswith(message)
        assert "Accepted: up to " in str(refused.value)


def test_drift_without_an_address_is_read() -> None:
    """Terraform 1.0.0 writes no address into `resource_drift`."""
    item = resource("acme_thing", {"a": 1}, {"a": 2}, index="x", module_address="module.m")
    del item["address"]
    assert [change.address for change in plan(resource_drift=[item]).drift] == [
        'module.m.acme_thing.this["x"]'
    ]


def test_data_sources_are_no_changes() -> None:
    """A data source that Terraform reads during the apply changes nothing."""
    item = resource("aws_ami", None, {}, actions=("read",)) | {"mode": "data"}
    assert plan(item).resources == ()


def secrets() -> dict[str, dict[str, Any]]:
    """Return plans that hold a secret, by the place of the secret."""
    text = policy(allow(Action=SECRET))
    shown = {"shown": 1}, {"shown": 2}

    def both(kind: str, before: Any, after: Any, **marks: Any) -> dict[str, Any]:
        return document(resource(kind, before | shown[0], after | shown[1], **marks))

    new = {"secret": SECRET + "2"}
    return {
        "marked before": both("acme_thing", {"secret": SECRET}, new, before_sensitive=WHOLE),
        "marked after": both("acme_thing", {"secret": SECRET}, new, after_sensitive=WHOLE),
        "removed": both("acme_thing", {"secret": SECRET}, {}, before_sensitive=WHOLE),
        "nested": both(
            "acme_thing",
            {"a": {"b": [{"secret": SECRET}]}},
            {"a": {"b": [new]}},
            before_sensitive={"a": {"b": [WHOLE]}},
            after_sensitive={"a": {"b": [WHOLE]}},
        ),
        "moved in a list": both(
            "acme_thing",
            {"a": ["x", SECRET]},
            {"a": ["y", "z", SECRET]},
            before_sensitive={"a": [False, True]},
        ),
        "moved in a list, marked after": both(
            "acme_thing",
            {"a": ["y", "z", SECRET]},
            {"a": ["x", SECRET]},
            after_sensitive={"a": [False, True]},
        ),
        "a key": both("acme_thing", {"a": {SECRET: 1}}, {"a": {SECRET: 2}}, before_sensitive={"a": True}),
        "JSON in a text": both(
            "acme_thing", {"secret": json.dumps({"k": SECRET})}, {"secret": "{}"}, before_sensitive=WHOLE
        ),
        "a policy": both("aws_iam_policy", {"policy": text}, {}, before_sensitive={"policy": True}),
        "a chart's values": both(
            "helm_release",
            {"values": [f"image: {SECRET}"]},
            {"values": [f"image: {SECRET}2"]},
            before_sensitive={"values": [True]},
            after_sensitive={"values": [True]},
        ),
        "a rule": both(
            "aws_security_group",
            {"ingress": []},
            {"ingress": [{"protocol": "tcp", "cidr_blocks": [SECRET]}]},
            after_sensitive={"ingress": [{"cidr_blocks": True}]},
        ),
        "what forces a replacement": document(
            resource(
                "acme_thing",
                {"secret": SECRET},
                new,
                actions=("delete", "create"),
                replace_paths=[["secret"]],
                before_sensitive=WHOLE,
            )
        ),
        "what was deleted": document(
            resource("aws_iam_access_key", {"secret": SECRET}, None, before_sensitive=WHOLE)
        ),
        "drift": document(
            resource_drift=[resource("acme_thing", {"secret": SECRET}, new, before_sensitive=WHOLE)]
        ),
        "an output": document(output_changes={"token": output(SECRET, SECRET + "2", sensitive=True)}),
        "the configuration": document(
            resource("aws_iam_policy", None, {}, unknown={"policy": True}, after_sensitive={"policy": True}),
            configured={"aws_iam_policy.this": {"policy": {"constant_value": text}}},
        ),
    }


@pytest.mark.parametrize("name", secrets())
def test_no_sensitive_value_is_shown(name: str) -> None:
    """The report masks it in every place, and on both sides if Terraform marks one."""
    made = secrets()[name]
    text = report(*made.pop("resource_changes"), **made)
    assert "(sensitive)" in text or "is deleted" in text
    assert SECRET not in text


def test_computed_attributes_are_no_differences() -> None:
    """A computed attribute that the configuration does not set is left out; a configured one is shown."""
    change = resource("acme_thing", {"id": "a", "size": 1}, {}, unknown={"id": True, "size": True})
    (found,) = plan(change, configured={"acme_thing.this": {"size": {"references": ["var.size"]}}}).resources
    assert [item.path for item in found.differences] == ["size"]


def test_a_resource_of_a_module_is_found_in_its_configuration() -> None:
    """The address of an instance has indexes, the address in the configuration has none."""
    change = resource(
        "acme_thing",
        {"id": "a", "size": 1},
        {},
        address='module.a["x.y"].module.b[0].acme_thing.this["k\\"]"]',
        unknown={"id": True, "size": True},
    )
    inner = {"resources": [{"address": "acme_thing.this", "expressions": {"size": {}}}]}
    root = {"module_calls": {"a": {"module": {"module_calls": {"b": {"module": inner}}}}}}
    (found,) = plan(change, configuration={"root_module": root}).resources
    assert [item.path for item in found.differences] == ["size"]


def test_a_failed_check_has_its_message() -> None:
    """The plan has the message of a failed check, and none of a passed one."""
    checks = [
        {
            "address": {"to_display": f"check.{status}"},
            "status": status,
            "instances": [
                {
                    "address": {"to_display": f"check.{status}"},
                    "status": status,
                    "problems": [{"message": "the site is down"}],
                }
            ],
        }
        for status in ("fail", "pass")
    ]
    assert plan(checks=checks).failed_checks == ("check.fail: the site is down",)
