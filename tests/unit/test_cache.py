"""The distributed cache: its bucket, and the access of each fleet."""

import json
from collections.abc import Callable
from typing import Any

from tests.environments import Synthesized, runners

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
