"""The distributed cache: its bucket, and the access of each fleet."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.environments import Mistakes, Synthesized, runners

SECOND_FLEET = {"runners.docs": {"token_parameter": "/cicd/runners/docs/token", "cache": False}}


def only(stacks: Synthesized, kind: str) -> dict[str, Any]:
    """Return the only resource of this type in the workloads stack."""
    (found,) = stacks["workloads"]["resource"][kind].values()
    resource: dict[str, Any] = found
    return resource


def test_the_bucket_is_private_encrypted_and_tls_only(example: Synthesized) -> None:
    """The bucket refuses public access and requests without TLS."""
    access = only(example, "aws_s3_bucket_public_access_block")
    assert all(value for name, value in access.items() if name.startswith(("block", "ignore", "restrict")))
    (rule,) = only(example, "aws_s3_bucket_server_side_encryption_configuration")["rule"]
    assert rule["apply_server_side_encryption_by_default"]["sse_algorithm"] == "AES256"
    (statement,) = json.loads(only(example, "aws_s3_bucket_policy")["policy"])["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_old_caches_expire(synthesize_changed: Callable[..., Synthesized]) -> None:
    """An object expires after the days of the settings, an incomplete upload after one day."""
    (rule,) = only(synthesize_changed({"cache_expiration_days": 7}), "aws_s3_bucket_lifecycle_configuration")[
        "rule"
    ]
    assert rule["status"] == "Enabled"
    assert rule["expiration"] == [{"days": 7}]
    assert rule["abort_incomplete_multipart_upload"] == [{"days_after_initiation": 1}]


def test_a_manager_reaches_its_own_prefix_only(example: Synthesized) -> None:
    """The role of a fleet's manager may read and write objects under the fleet's name only."""
    (policy,) = (
        json.loads(item["policy"])
        for item in example["workloads"]["resource"]["aws_iam_role_policy"].values()
        if "s3:" in item["policy"]
    )
    (statement,) = policy["Statement"]
    assert set(statement["Action"]) == {
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:PutObject",
        "s3:DeleteObject",
    }
    (address,) = example["workloads"]["resource"]["aws_s3_bucket"]
    assert statement["Resource"] == f"${{aws_s3_bucket.{address}.arn}}/default/*"


def test_the_runner_knows_the_cache(example: Synthesized) -> None:
    """Its configuration names bucket, region and prefix; the credentials are the pod's own."""
    cache = runners(example)["default"]["cache"]
    (address,) = example["workloads"]["resource"]["aws_s3_bucket"]
    assert cache == {
        "Type": "s3",
        "Path": "default",
        "Shared": True,
        "s3": {
            "BucketName": f"${{aws_s3_bucket.{address}.bucket}}",
            "BucketLocation": "eu-central-1",
            "AuthenticationType": "iam",
        },
    }


def test_a_fleet_may_have_no_cache(synthesize_changed: Callable[..., Synthesized]) -> None:
    """`cache: false` omits the configuration and the role."""
    stacks = synthesize_changed(SECOND_FLEET)
    assert "cache" not in runners(stacks)["docs"]
    roles = [role["name"] for role in stacks["workloads"]["resource"]["aws_iam_role"].values()]
    assert "example-runner-docs" not in roles


@pytest.fixture
def multipart(synthesize_changed: Callable[..., Synthesized]) -> Synthesized:
    """The stacks with multipart transfers in the fleet `default`."""
    return synthesize_changed({"runners.default.cache_multipart": True})


def roles(stacks: Synthesized) -> dict[str, str]:
    """Return the Terraform reference of each IAM role of the workloads stack by the role's name."""
    found = stacks["workloads"]["resource"]["aws_iam_role"].items()
    return {role["name"]: f"aws_iam_role.{address}" for address, role in found}


def statements(stacks: Synthesized, role: str) -> list[dict[str, Any]]:
    """Return the statements of a role's only inline policy."""
    (policy,) = (
        item["policy"]
        for item in stacks["workloads"]["resource"]["aws_iam_role_policy"].values()
        if item["role"] == f"${{{roles(stacks)[role]}.name}}"
    )
    found: list[dict[str, Any]] = json.loads(policy)["Statement"]
    return found


def test_a_cache_above_5_gb_is_uploaded_by_a_role_for_one_prefix(multipart: Synthesized) -> None:
    """The runner gets the role's ARN; the role reads and writes objects of the fleet, and no more."""
    role = roles(multipart)["example-cache-default"]
    assert runners(multipart)["default"]["cache"]["s3"]["RoleARN"] == f"${{{role}.arn}}"
    (statement,) = statements(multipart, "example-cache-default")
    assert statement["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert statement["Resource"].endswith(".arn}/default/*")


def test_only_the_fleets_manager_assumes_that_role(multipart: Synthesized) -> None:
    """Both sides allow TagSession too: the tags of EKS Pod Identity go on to the next role."""
    manager, role = (roles(multipart)[f"example-{name}-default"] for name in ("runner", "cache"))
    kind, address = role.split(".")
    trust = json.loads(multipart["workloads"]["resource"][kind][address]["assume_role_policy"])
    actions = ["sts:AssumeRole", "sts:TagSession"]
    assert trust["Statement"] == [
        {"Effect": "Allow", "Principal": {"AWS": f"${{{manager}.arn}}"}, "Action": actions}
    ]
    assert {"Effect": "Allow", "Action": actions, "Resource": f"${{{role}.arn}}"} in statements(
        multipart, "example-runner-default"
    )


def test_multipart_transfers_only_add_resources(multipart: Synthesized, example: Synthesized) -> None:
    """Every resource keeps its address; beside the new role only the manager's policy and release change."""
    before, after = (stacks["workloads"]["resource"] for stacks in (example, multipart))
    for kind, resources in before.items():
        changed = [name for name, item in resources.items() if after[kind][name] != item]
        assert len(changed) == (1 if kind in {"aws_iam_role_policy", "helm_release"} else 0), kind


def test_the_longest_names_fit(synthesize_changed: Callable[..., Synthesized]) -> None:
    """IAM allows 64 characters for a role's name."""
    longest = {
        "token_parameter": "/longest",
        "cache_multipart": True,
        "job_policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
    }
    stacks = synthesize_changed({"name_prefix": "e" * 20, f"runners.{'f' * 30}": longest})
    assert {name for name in roles(stacks) if len(name) > 64} == set()
    assert f"{'e' * 20}-cache-{'f' * 30}" in roles(stacks)


def test_multipart_transfers_without_a_cache_are_refused(mistakes: Mistakes) -> None:
    """The message names the other setting."""
    assert mistakes({"runners.default.cache": False, "runners.default.cache_multipart": True}) == [
        (
            "example.yaml: runners.default.cache_multipart: true: must be false with cache: false: the fleet "
            "has nothing to transfer"
        )
    ]
