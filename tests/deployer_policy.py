"""Compare docs/deployer_policy.json with the IAM actions that Terraform's requests needed."""

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from stacks.settings.load import PROJECT
from tests.trust_policies import ACCOUNT

Statement = dict[str, Any]
Needed = Iterable[tuple[str, str]]

# `Optional...`: for settings that not every environment has, for the removal of tags, and for a cache that
# holds objects. `OnBehalf...`: AWS checks it while it serves another request, or the check of the tokens
# before a plan needs it.
NOT_RECORDED = ("Optional", "OnBehalf")


def read_policy() -> dict[str, Any]:
    """Return the documented policy."""
    policy: dict[str, Any] = json.loads(
        (PROJECT / "docs" / "deployer_policy.json").read_text(encoding="utf-8")
    )
    return policy


def _covers(statement: Statement, action: str, resource: str) -> bool:
    # Several environments of the tests share an emulator, so the policy's environment stands for any.
    pattern = statement["Resource"].replace("prod-", "*-").replace("/prod/", "/*/").replace(ACCOUNT, "*")
    # The emulator does not know the resource of each request.
    return action in statement["Action"] and (resource == "*" or fnmatchcase(resource, pattern))


def find_missing(needed: Needed) -> list[str]:
    """Return the needed actions that no statement allows on their resource."""
    statements = read_policy()["Statement"]
    return sorted(
        f"{action} {resource}"
        for action, resource in set(needed)
        if not any(_covers(statement, action, resource) for statement in statements)
    )


def find_unused(needed: Needed) -> list[str]:
    """Return the allowed actions that were not needed, without the statements of NOT_RECORDED."""
    return sorted(
        f"{statement['Sid']}: {action}"
        for statement in read_policy()["Statement"]
        if not statement["Sid"].startswith(NOT_RECORDED)
        for action in statement["Action"]
        if not any(name == action and _covers(statement, name, resource) for name, resource in needed)
    )
