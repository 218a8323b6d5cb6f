"""Documents that are no plan, or a broken one: one line and status 1, never a traceback."""

import copy
import io
import json
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from plan_review.__main__ import main
from tests.plan_documents import allow, document, output, policy, resource

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
    max_leaves=8,
)
# Values that mean something in a plan, in a place where they do not belong.
TELLING: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            {},
            [],
            "",
            None,
            True,
            -1,
            10**30,
            10**400,
            1e400,
            "*",
            "0.0.0.0/0",
            "1.35",
            ["create"],
            ["delete", "create"],
        ),
        *([{}], [[]], {"Statement": {}}, policy(allow(Action={})), "{", "values: [", {"a": {"b": ["c"]}}),
        *(
            {"references": [1]},
            {"constant_value": {}},
            "aws_iam_policy",
            "aws_eks_node_group",
            "helm_release",
        ),
    ]
)


def build_plan() -> dict[str, Any]:
    """Return a plan that most parts of the review have something to say about."""
    scaling = {"scaling_config": [{"min_size": 0, "desired_size": 1, "max_size": 2}], "labels": {"a": "b"}}
    rule = {"ingress": [{"protocol": "tcp", "from_port": 1, "to_port": 2, "cidr_blocks": ["0.0.0.0/0"]}]}
    release = {"values": ["runners: {config: 'concurrent = 1'}\nimage: {tag: v1}"], "version": "1"}
    lifecycle = {"rule": [{"id": "a", "expiration": [{"days": 3}], "transition": [{"days": 2}]}]}
    return document(
        resource("aws_iam_role_policy", {"policy": policy(allow())}, {"policy": policy(allow(Action="*"))}),
        resource("aws_iam_role", None, {"name": "r", "assume_role_policy": policy(allow())}),
        resource("aws_eks_node_group", scaling, scaling | {"version": "1.35"}, unknown={"id": True}),
        resource("aws_eks_cluster", {"version": "1.34"}, {"version": "1.36", "vpc_config": [{}]}),
        resource("aws_security_group", None, rule, unknown={"ingress": [{"self": True}]}),
        resource("helm_release", release, release | {"values": ["a: 1"]}, after_sensitive={"values": [True]}),
        resource("aws_s3_bucket_lifecycle_configuration", lifecycle, {"rule": []}),
        resource("aws_db_instance", {"deletion_protection": True}, None),
        resource("aws_subnet", None, {"cidr_block": "10.0.0.0/24", "vpc_id": "v"}),
        resource("kubernetes_role_v1", None, {"rule": [{"verbs": ["*"], "resources": ["*"]}]}),
        resource("aws_vpc", {}, {}, actions=("delete", "create"), replace_paths=[["cidr_block", 0]]),
        output_changes={"a": output("b", None)},
        resource_drift=[resource("aws_vpc", {"a": 1}, {"a": 2})],
        checks=[{"address": {"to_display": "c"}, "status": "fail", "instances": []}],
        deferred_changes=[{"reason": "r", "resource_change": resource("aws_vpc", None, {})}],
        action_invocations=[{"address": "a", "type": "t", "config_values": {"a": 1}}],
        configured={"aws_vpc.this": {"cidr_block": {"references": ["a.b"]}}},
    )


def list_places(value: Any) -> list[tuple[Any, Any]]:
    """Return each part of a document, as its container and its key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *list_places(value[key]))]


@st.composite
def broken_plans(draw: Callable[[st.SearchStrategy[Any]], Any]) -> dict[str, Any]:
    """Return a plan in which some parts are others, or are missing."""
    plan = build_plan()
    for _ in range(draw(st.integers(1, 4))):
        container, key = draw(st.sampled_from(list_places(plan)))
        if draw(st.booleans()):
            del container[key]
        else:
            container[key] = copy.deepcopy(draw(TELLING | JSON))
    return plan


def review(text: bytes) -> int | str:
    """Run the command in this process, and return its status, or the message with which it ends."""
    given_in = io.TextIOWrapper(io.BytesIO(text))
    with (
        mock.patch.object(sys, "argv", ["plan_review", "-"]),
        mock.patch.object(sys, "stdin", given_in),
        mock.patch.object(sys, "stdout", io.TextIOWrapper(io.BytesIO())),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert isinstance(ended.value.code, int | str)
    return ended.value.code


def check(text: bytes) -> None:
    """Let the review read a document: it ends with a report or with one line."""
    status = review(text)
    if isinstance(status, str):
        assert status.startswith("-: ")
        assert len(status.splitlines()) == 1
    else:
        assert status in (0, 2, 3)


def bounded(number: int) -> settings:
    """Return the settings of a run that is the same each time."""
    return settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def test_the_unbroken_plan_is_reviewed() -> None:
    """The plan that the other tests break is one."""
    assert review(json.dumps(build_plan()).encode()) == 3


@bounded(40)
@given(broken_plans())
def test_a_broken_plan_ends_with_a_report_or_one_line(plan: dict[str, Any]) -> None:
    """Parts that are missing, or of another type, give no traceback."""
    check(json.dumps(plan).encode())


@bounded(40)
@given(st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
def test_noise_ends_with_one_line(text: bytes) -> None:
    """Bytes and JSON that are no plan are refused with status 1."""
    assert isinstance(review(text), str)


@pytest.mark.long
@bounded(10_000)
@given(broken_plans())
def test_ten_thousand_broken_plans_end_with_a_report_or_one_line(plan: dict[str, Any]) -> None:
    """The same with more plans."""
    check(json.dumps(plan).encode())
