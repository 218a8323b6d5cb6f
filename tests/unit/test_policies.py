"""Every action and condition key of the policies exists in AWS's Service Authorization Reference.

policy_sentry brings a copy of the reference. IAM accepts a misspelt action and never grants it.
"""

import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
from policy_sentry.querying.actions import get_action_data, get_actions_for_service
from policy_sentry.querying.conditions import get_condition_keys_for_service

from deployment.consumer_policy import consumer_policy
from stacks.backend import read_backend
from stacks.settings.load import PROJECT
from tests.deployer_policy import read_policy
from tests.environments import Changes, Synthesized
from tests.platform_settings import PLATFORM_SETTINGS

# "AWS global condition context keys"; the reference lists them with the actions that have them alone.
GLOBAL_KEYS = {
    "aws:PrincipalArn",
    "aws:ResourceAccount",
    "aws:SecureTransport",
    "aws:SourceAccount",
    "aws:SourceArn",
}

# "IAM and AWS STS quotas": the inline policies of one role together, without white space.
INLINE_POLICY_CHARACTERS = 10_240

# Settings with which the stacks write policies that the example has not.
MORE_POLICIES: Changes = {
    **PLATFORM_SETTINGS,
    "alarms": {},
    "cluster.enable_irsa": True,
    "runners.default.cache_multipart": True,
    "runners.default.job_policy_arns": ["arn:aws:iam::123456789012:policy/publish"],
}

# Actions of statements that the example has not, by the setting that writes them.
OPTIONAL_ACTIONS = {
    "docker_hub_credential_arn": ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"],
    "alarms": ["kms:Decrypt", "kms:GenerateDataKey*"],
    "flow_logs": ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
    "cache_multipart": ["s3:GetObject", "s3:PutObject"],
}


def _statements(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the statements of every policy in a stack's JSON, whatever argument holds it."""
    if isinstance(node, str) and '"Statement"' in node:
        node = json.loads(node)
    if isinstance(node, dict):
        if "Effect" in node and ("Action" in node or "NotAction" in node):
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _statements(item)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@cache
def _find_actions(pattern: str) -> list[str]:
    """Return the actions that a pattern such as `ec2:Describe*` names."""
    service = pattern.partition(":")[0]
    return [name for name in get_actions_for_service(service) if fnmatchcase(name.lower(), pattern.lower())]


@cache
def _find_condition_keys(action: str) -> set[str]:
    """Return the condition keys that an action knows, without the part that a tag's key fills."""
    service, _, name = action.partition(":")
    known = set(get_condition_keys_for_service(service))
    for row in get_action_data(service, name)[service]:
        known.update(row["condition_keys"])
    return {key.partition("/")[0].lower() for key in known | GLOBAL_KEYS}


def find_mistakes(policies: Any) -> list[str]:
    """Return the actions and condition keys that do not exist."""
    mistakes = []
    for statement in _statements(policies):
        patterns = [name for name in _listed(statement.get("Action", [])) if name != "*"]
        actions = [action for pattern in patterns for action in _find_actions(pattern)]
        mistakes += [pattern for pattern in patterns if not _find_actions(pattern)]
        for operator in statement.get("Condition", {}).values():
            for key in operator:
                prefix = key.partition("/")[0].lower()
                if actions and not any(prefix in _find_condition_keys(action) for action in actions):
                    mistakes.append(f"{key} of {patterns}")
    return mistakes


def test_every_action_and_condition_key_exists(synthesize_changed: Callable[..., Synthesized]) -> None:
    """The policies of the stacks name only actions and keys that AWS has."""
    stacks = list(synthesize_changed(MORE_POLICIES).values())
    written = [statement.get("Action") for statement in _statements(stacks)]
    assert [name for name, actions in OPTIONAL_ACTIONS.items() if actions not in written] == []
    assert not find_mistakes(stacks)


def test_the_policy_of_a_consumer_names_known_actions() -> None:
    """The printed policy of `make consumer-policy` names only actions and keys that AWS has."""
    policy = consumer_policy("prod", read_backend(PROJECT / "backend.tf.json"), ("network", "cluster"))
    assert list(_statements(policy))
    assert not find_mistakes(policy)


def test_the_policy_of_a_deployer_names_known_actions_and_fits_a_role() -> None:
    """docs/deployer_policy.json names only actions that AWS has, and is no longer than an inline policy."""
    policy = read_policy()
    assert not find_mistakes(policy)
    assert len("".join(json.dumps(policy).split())) <= INLINE_POLICY_CHARACTERS


@pytest.mark.parametrize(
    ("statement", "mistake"),
    [
        ({"Action": "eks:DescribeNodeGroupp"}, "eks:DescribeNodeGroupp"),
        ({"Action": ["s3:GetObject", "s3:Lisst*"]}, "s3:Lisst*"),
        (
            {
                "Action": "autoscaling:SetDesiredCapacity",
                "Condition": {"StringEquals": {"autoscaling:ResourceTagg/a": "b"}},
            },
            "autoscaling:ResourceTagg/a of ['autoscaling:SetDesiredCapacity']",
        ),
    ],
)
def test_a_misspelt_name_is_found(statement: dict[str, Any], mistake: str) -> None:
    """An action, a pattern and a condition key that AWS does not have are named."""
    assert find_mistakes([{"Effect": "Allow", "Resource": "*", **statement}]) == [mistake]
