"""The state bucket, on an emulated S3."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deployment import state_bucket
from local_aws import emulator
from stacks.backend import Backend
from stacks.settings.aws import AwsSettings

BACKEND = Backend(bucket="some-state", region="eu-central-1", encrypt=True, use_lockfile=True)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsSettings]:
    """The settings of an emulated AWS for this module alone."""
    with emulator.running(tmp_path_factory.mktemp("emulator")) as url:
        yield AwsSettings(region="eu-central-1", endpoint_url=url)


def s3(aws: AwsSettings) -> Any:
    """Return a client of the emulated S3."""
    return emulator.client("s3", endpoint_url=str(aws.endpoint_url), region=aws.region)


def test_a_dry_run_creates_nothing(aws: AwsSettings, capsys: pytest.CaptureFixture[str]) -> None:
    """`--dry-run` prints the steps and takes none of them."""
    backend = BACKEND.model_copy(update={"bucket": "dry-run"})
    state_bucket.create_state_bucket(aws, backend, dry_run=True)
    assert "dry-run: would be created in eu-central-1" in capsys.readouterr().out
    assert "dry-run" not in {item["Name"] for item in s3(aws).list_buckets()["Buckets"]}


def test_the_bucket_is_private_versioned_and_encrypted(aws: AwsSettings) -> None:
    """One run sets every property of the bucket."""
    state_bucket.create_state_bucket(aws, BACKEND)
    client, name = s3(aws), {"Bucket": "some-state"}
    assert client.get_bucket_versioning(**name)["Status"] == "Enabled"
    assert all(client.get_public_access_block(**name)["PublicAccessBlockConfiguration"].values())
    assert "aws:SecureTransport" in client.get_bucket_policy(**name)["Policy"]
    assert client.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"]
    rules = client.get_bucket_lifecycle_configuration(**name)["Rules"]
    assert rules[0]["NoncurrentVersionExpiration"]["NoncurrentDays"] == state_bucket.OLD_VERSIONS_KEPT_DAYS


def test_repeating_it_changes_nothing(aws: AwsSettings, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run finds every property right already."""
    state_bucket.create_state_bucket(aws, BACKEND)
    capsys.readouterr()
    state_bucket.create_state_bucket(aws, BACKEND)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "some-state: exists in eu-central-1"
    assert all(line.endswith("right already") for line in lines[1:])


def test_a_bucket_in_another_region_is_refused(aws: AwsSettings) -> None:
    """S3 would answer each request of Terraform with a redirect; the message names the right region."""
    abroad = emulator.client("s3", endpoint_url=str(aws.endpoint_url), region="eu-west-1")
    abroad.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(state_bucket.BootstrapError, match="elsewhere lies in eu-west-1"):
        state_bucket.create_state_bucket(aws, BACKEND.model_copy(update={"bucket": "elsewhere"}))


def put(aws: AwsSettings, bucket: str, key: str, resources: list[Any]) -> None:
    """Store a state with these resources."""
    s3(aws).put_object(Bucket=bucket, Key=key, Body=json.dumps({"version": 4, "resources": resources}))


def test_a_bucket_with_a_state_in_use_is_not_removed(aws: AwsSettings) -> None:
    """The refusal names each state that has resources and each object that is no state; nothing is lost."""
    backend = BACKEND.model_copy(update={"bucket": "in-use"})
    state_bucket.create_state_bucket(aws, backend)
    put(aws, "in-use", "prod/network.tfstate", [{"type": "aws_vpc"}])
    put(aws, "in-use", "old/network.tfstate", [])
    s3(aws).put_object(Bucket="in-use", Key="notes.txt", Body=b"mine")
    with pytest.raises(state_bucket.BootstrapError, match=r"stays: notes\.txt, prod/network\.tfstate\."):
        state_bucket.remove_state_bucket(aws, backend)
    assert s3(aws).list_objects_v2(Bucket="in-use")["KeyCount"] == 3


def test_a_bucket_of_destroyed_stacks_is_removed_with_all_versions(
    aws: AwsSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old versions are removed with the bucket, even if they have resources; a dry run only says so."""
    backend = BACKEND.model_copy(update={"bucket": "done-with"})
    state_bucket.create_state_bucket(aws, backend)
    put(aws, "done-with", "prod/network.tfstate", [{"type": "aws_vpc"}])
    put(aws, "done-with", "prod/network.tfstate", [])
    state_bucket.remove_state_bucket(aws, backend, dry_run=True)
    assert "done-with" in {item["Name"] for item in s3(aws).list_buckets()["Buckets"]}
    state_bucket.remove_state_bucket(aws, backend)
    assert "done-with" not in {item["Name"] for item in s3(aws).list_buckets()["Buckets"]}
    assert capsys.readouterr().out.splitlines()[-1] == "done-with: removed"
    state_bucket.remove_state_bucket(aws, backend)
    assert capsys.readouterr().out == "done-with: does not exist\n"


def test_stricter_settings_of_other_people_stay(aws: AwsSettings, capsys: pytest.CaptureFixture[str]) -> None:
    """Encryption with KMS, a statement and a lifecycle rule of others stay beside the added ones."""
    client, name = s3(aws), {"Bucket": "shared"}
    client.create_bucket(**name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    kms = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/mine"}}
    client.put_bucket_encryption(**name, ServerSideEncryptionConfiguration={"Rules": [kms]})
    statement = {
        "Sid": "OnlyTls",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::shared/*",
    }
    client.put_bucket_policy(**name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    rule = {"ID": "mine", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 7}}
    client.put_bucket_lifecycle_configuration(**name, LifecycleConfiguration={"Rules": [rule]})
    state_bucket.create_state_bucket(aws, BACKEND.model_copy(update={"bucket": "shared"}))
    encryption = client.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    statements = json.loads(client.get_bucket_policy(**name)["Policy"])["Statement"]
    assert statements[0] == statement
    assert [item["Effect"] for item in statements] == ["Allow", "Deny"]
    rules = client.get_bucket_lifecycle_configuration(**name)["Rules"]
    assert [item["ID"] for item in rules] == ["mine", "expire-old-versions"]
    printed = capsys.readouterr().out
    assert "shared: encrypted: stays as it is, aws:kms" in printed
    assert "shared: only over TLS: set; other statements of the bucket policy stay: 1" in printed
    state_bucket.create_state_bucket(aws, BACKEND.model_copy(update={"bucket": "shared"}))
    assert len(json.loads(client.get_bucket_policy(**name)["Policy"])["Statement"]) == 2
    assert len(client.get_bucket_lifecycle_configuration(**name)["Rules"]) == 2


ARN = "arn:aws:s3:::some-state"
DENY = {
    "Effect": "Deny",
    "Principal": {"AWS": "*"},
    "Action": ["s3:*"],
    "Resource": [f"{ARN}/*", ARN],
    "Condition": {"BoolIfExists": {"aws:secureTransport": ["false"]}},
}


@pytest.mark.parametrize(
    ("changes", "is_enough"),
    [
        ({}, True),
        ({"Action": "*", "Resource": "*"}, True),
        ({"Effect": "Allow"}, False),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, False),
        ({"Action": "s3:GetObject"}, False),
        ({"Resource": f"{ARN}/*"}, False),
        ({"Condition": {}}, False),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, False),
        (
            {
                "Condition": {
                    "Bool": {"aws:SecureTransport": "false"},
                    "StringEquals": {"aws:SourceVpc": "vpc-1"},
                }
            },
            False,
        ),
    ],
)
def test_only_a_full_deny_counts_as_tls_only(changes: dict[str, Any], *, is_enough: bool) -> None:
    """A statement that denies less, to fewer people, or under a further condition does not replace ours."""
    assert state_bucket.denies_without_tls(DENY | changes, ARN) is is_enough


@pytest.mark.parametrize(
    ("changes", "days"),
    [
        ({}, 30),
        ({"Status": "Disabled"}, None),
        ({"Filter": {"Prefix": "prod/"}}, None),
        ({"Prefix": "prod/"}, None),
        ({"NoncurrentVersionExpiration": {}}, None),
    ],
)
def test_only_a_rule_for_every_object_counts(changes: dict[str, Any], days: int | None) -> None:
    """A rule that is disabled, or only for some objects, does not replace ours."""
    rule = {"Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
    assert state_bucket.read_expiration_days(rule | changes) == days
