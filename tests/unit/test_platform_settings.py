"""The JSON of an environment with the rules of a platform team, and the values that the settings refuse."""

from collections.abc import Callable

import pytest

from tests.environments import Mistakes, Synthesized
from tests.platform_settings import BOUNDARY, PLATFORM_SETTINGS


@pytest.fixture(scope="module")
def stacks(synthesize_changed: Callable[..., Synthesized]) -> Synthesized:
    """The example environment with all of these settings, and with each kind of role."""
    roles = {
        "runners.default.cache_multipart": True,
        "runners.default.job_policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
    }
    return synthesize_changed(PLATFORM_SETTINGS | roles)


def test_every_role_has_the_boundary_and_the_path(stacks: Synthesized) -> None:
    """No stack makes a role outside of the rules of the account."""
    roles = [role for stack in stacks.values() for role in stack["resource"].get("aws_iam_role", {}).values()]
    names = {role["name"].removeprefix("example-") for role in roles}
    assert names >= {"cluster", "node", "cluster-admin", "cluster-autoscaler", "runner-default"}
    assert names >= {"cache-default", "jobs-default"}
    assert {(role["permissions_boundary"], role["path"]) for role in roles} == {(BOUNDARY, "/cicd/")}


@pytest.mark.parametrize("path", ["cicd", "/cicd", "cicd/", "//", "/ci cd/"])
def test_a_role_path_begins_and_ends_with_a_slash(mistakes: Mistakes, path: str) -> None:
    """IAM refuses other paths."""
    (line,) = mistakes({"aws.role_path": path})
    assert line.startswith(f'example.yaml: aws.role_path: "{path}": not of the accepted form')


def test_the_boundary_is_of_this_account(mistakes: Mistakes) -> None:
    """IAM takes no policy of another account."""
    (line,) = mistakes({"aws.permissions_boundary_arn": "arn:aws:iam::999999999999:policy/boundary"})
    assert line.startswith("example.yaml: aws.permissions_boundary_arn: ")
    assert "must be a policy of AWS or of this account, arn:aws:iam::123456789012:policy/…" in line
