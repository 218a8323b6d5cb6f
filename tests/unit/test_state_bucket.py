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
    """The settings of an emulated AWS of this module's own."""
    with emulator.running(tmp_path_factory.mktemp("emulator")) as url:
        yield AwsSettings(region="eu-central-1", endpoint_url=url)


def s3(aws: AwsSettings) -> Any:
    """Return a client of the emulated S3."""
    return emulator.client("s3", endpoint_url=str(aws.endpoint_url), region=aws.region)


def test_a_dry_run_creates_nothing(aws: AwsSettings, capsys: pytest.CaptureFixture[str]) -> None:
    """`--dry-run` says what would be done and does none of it."""
    backend = BACKEND.model_copy(update={"bucket": "dry-run"})
    state_bucket.create_state_bucket(aws, backend, dry_run=True)
    assert "dry-run: would be created in eu-central-1" in capsys.readouterr().out
    assert "dry-run" not in {item["Name"] for item in s3(aws).list_buckets()["Buckets"]}


def test_the_bucket_is_private_versioned_and_encrypted(aws: AwsSettings) -> None:
    """What a state bucket must be, it is after one run."""
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
    """S3 would answer each of Terraform's requests with a redirect; the message says where it lies."""
    abroad = emulator.client("s3", endpoint_url=str(aws.endpoint_url), region="eu-west-1")
    abroad.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(state_bucket.BootstrapError, match="elsewhere lies in eu-west-1"):
        state_bucket.create_state_bucket(aws, BACKEND.model_copy(update={"bucket": "elsewhere"}))


def put(aws: AwsSettings, bucket: str, key: str, resources: list[Any]) -> None:
    """Store a state with these resources."""
    s3(aws).put_object(Bucket=bucket, Key=key, Body=json.dumps({"version": 4, "resources": resources}))


def test_a_bucket_with_a_state_in_use_is_not_removed(aws: AwsSettings) -> None:
    """The refusal names each state that has resources, and whatever is no state; nothing is lost."""
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
    """Old versions, whatever they held, go with the bucket; a dry run only says so."""
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
    assert capsys.readouterr().out == "done-with: is not there\n"
