"""The limits of EKS's API, which the emulated EKS checks like the real one."""

import re
from typing import Any

import pytest

from local_aws.eks_limits import find_violation
from stacks.settings.load import load_settings
from tests.environments import WriteEnvironment

NODE_GROUPS = "/clusters/cicd/node-groups"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            {"labels": {"k" * 64: "x"}},
            "'body.labels.key' failed .* Member must have length less than or equal to 63",
            id="label key",
        ),
        pytest.param(
            {"labels": {"k": ""}},
            "'body.labels.k.value' failed to satisfy .* length greater than",
            id="empty",
        ),
        pytest.param(
            {"taints": [{"key": "k", "value": "x" * 64}]},
            "'body.taints.member.value' .* equal to 63",
            id="taint",
        ),
        pytest.param({"scalingConfig": {"maxSize": 0}}, "maxSize' .* value greater .* equal to 1", id="size"),
    ],
)
def test_a_request_outside_the_limits_is_refused(body: dict[str, Any], words: str) -> None:
    """The message has the value's path in the request and the limit."""
    message = find_violation("POST", NODE_GROUPS, body)
    assert message is not None
    assert re.search(words, message)


def test_the_largest_labels_and_taints_of_the_settings_are_within_the_limits(
    write_environment: WriteEnvironment,
) -> None:
    """EKS takes every label and taint that the settings accept."""
    longest, value = f"{'a' * 40}.{'b' * 10}/{'c' * 11}", "x" * 63
    path = write_environment(
        {
            "cluster.node_groups.big.labels": {longest: value},
            "cluster.node_groups.big.taints": [{"key": longest, "effect": "NO_SCHEDULE"}],
            "runners.default.node_groups": ["big"],
        }
    )
    group = load_settings(path).cluster.node_groups["big"]
    body = {"labels": group.labels, "taints": [taint.model_dump() for taint in group.taints]}
    assert find_violation("POST", NODE_GROUPS, body) is None


def test_requests_without_limits_pass() -> None:
    """Requests without a body, and those that are not of EKS, have nothing to check."""
    assert find_violation("GET", "/clusters/cicd", {}) is None
    assert find_violation("POST", "/not/of/eks", {"labels": {"k" * 64: "x"}}) is None
