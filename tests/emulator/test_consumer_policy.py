"""The printed policy under real IAM evaluation: an emulator of its own, which checks every request.

The bucket is a plain one: the state bucket refuses whatever comes without TLS, and so does the emulator
as soon as it evaluates policies.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from deployment.consumer_policy import consumer_policy
from local_aws import emulator
from stacks.backend import Backend
from tests.emulator.project import inherited_environment

REGION = "eu-central-1"
BACKEND = Backend(bucket="cicd-terraform-state", region=REGION, encrypt=True, use_lockfile=True)
STATES = ("prod/network", "prod/cluster", "prod/workloads", "staging/network")
READABLE, FORBIDDEN = STATES[:2], STATES[2:]


class Consumer:
    """An IAM user with access keys, who has at most the one policy."""

    def __init__(self, endpoint_url: str, name: str, policy: dict[str, Any] | None) -> None:
        self._endpoint_url = endpoint_url
        iam = emulator.client("iam", endpoint_url=endpoint_url, region=REGION)
        iam.create_user(UserName=name)
        if policy:
            iam.put_user_policy(UserName=name, PolicyName="consumer", PolicyDocument=json.dumps(policy))
        self._key = iam.create_access_key(UserName=name)["AccessKey"]

    @property
    def s3(self) -> Any:
        """A client with the user's own keys."""
        return boto3.client(
            "s3",
            endpoint_url=self._endpoint_url,
            region_name=REGION,
            aws_access_key_id=self._key["AccessKeyId"],
            aws_secret_access_key=self._key["SecretAccessKey"],
        )

    def read_by_terraform(self, state: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Read a state with `terraform_remote_state`, and print its output `published`."""
        config = {**BACKEND.model_dump(), "key": f"{state}.tfstate"}
        document = {
            "data": {"terraform_remote_state": {"read": {"backend": "s3", "config": config}}},
            "output": {"read": {"value": "${data.terraform_remote_state.read.outputs.published}"}},
        }
        (folder / "main.tf.json").write_text(json.dumps(document))
        environment = inherited_environment() | {
            "AWS_ENDPOINT_URL": self._endpoint_url,
            "AWS_ACCESS_KEY_ID": self._key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self._key["SecretAccessKey"],
        }
        for command in ("init", "apply"):
            options = ["-auto-approve"] if command == "apply" else []
            done = subprocess.run(
                ["terraform", command, "-input=false", "-no-color", *options],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert command == "apply" or done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An AWS that evaluates IAM policies, and holds the states of two environments."""
    with emulator.running(tmp_path_factory.mktemp("emulator"), auth=True) as url:
        s3 = emulator.client("s3", endpoint_url=url, region=REGION)
        s3.create_bucket(Bucket=BACKEND.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        for state in STATES:
            outputs = {"published": {"value": f"of {state}", "type": "string"}}
            content = {"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": state}
            body = json.dumps({**content, "outputs": outputs, "resources": []})
            s3.put_object(Bucket=BACKEND.bucket, Key=f"{state}.tfstate", Body=body)
        yield url


@pytest.fixture(scope="module")
def consumer(endpoint_url: str) -> Consumer:
    """The user who has the printed policy for network and cluster of prod."""
    return Consumer(endpoint_url, "consumer", consumer_policy("prod", BACKEND, ["network", "cluster"]))


def refused(call: Callable[..., Any], **arguments: Any) -> bool:
    """Return whether S3 refuses a call because the permission is missing."""
    try:
        call(Bucket=BACKEND.bucket, **arguments)
    except ClientError as error:
        return error.response["Error"]["Code"] in {"AccessDenied", "403"}
    return False


@pytest.mark.parametrize("state", READABLE)
def test_terraform_reads_the_stacks_of_the_policy(consumer: Consumer, tmp_path: Path, state: str) -> None:
    """`terraform_remote_state` with the consumer's own keys gets the published outputs."""
    done = consumer.read_by_terraform(state, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f'read = "of {state}"' in done.stdout


def test_without_the_policy_nothing_can_be_read(endpoint_url: str, tmp_path: Path) -> None:
    """A user of the same account without it is refused: what allows is the policy and nothing else."""
    stranger = Consumer(endpoint_url, "stranger", None)
    assert refused(stranger.s3.get_object, Key="prod/network.tfstate")
    done = stranger.read_by_terraform("prod/network", tmp_path)
    assert done.returncode == 1
    assert "api error Forbidden" in done.stderr


def test_reading_needs_no_right_to_list(endpoint_url: str, tmp_path: Path) -> None:
    """The right to list is there to find a missing state; Terraform reads a present one without it."""
    policy = consumer_policy("prod", BACKEND, ["network"])
    policy["Statement"] = [item for item in policy["Statement"] if item["Action"] != "s3:ListBucket"]
    done = Consumer(endpoint_url, "reader", policy).read_by_terraform("prod/network", tmp_path)
    assert 'read = "of prod/network"' in done.stdout, done.stderr


@pytest.mark.parametrize("state", FORBIDDEN)
def test_the_state_of_another_stack_or_environment_is_refused(
    consumer: Consumer, tmp_path: Path, state: str
) -> None:
    """Neither Terraform nor S3's own API gives it."""
    assert refused(consumer.s3.get_object, Key=f"{state}.tfstate")
    done = consumer.read_by_terraform(state, tmp_path)
    assert done.returncode == 1
    assert "api error Forbidden" in done.stderr
    assert f"of {state}" not in done.stdout


def test_a_consumer_changes_nothing(consumer: Consumer) -> None:
    """State can't be overwritten or deleted, nor a lock be taken or a new object be stored."""
    for key in ("prod/network.tfstate", "prod/network.tfstate.tflock", "prod/other.tfstate"):
        assert refused(consumer.s3.put_object, Key=key, Body=b"{}"), key
        assert refused(consumer.s3.delete_object, Key=key), key
    assert refused(consumer.s3.put_bucket_versioning, VersioningConfiguration={"Status": "Suspended"})
    kept = consumer.s3.get_object(Bucket=BACKEND.bucket, Key="prod/network.tfstate")["Body"].read()
    assert b"of prod/network" in kept


@pytest.mark.parametrize(
    "prefix", ["", "prod/", "prod/workloads.tfstate", "staging/network.tfstate", "env:/"]
)
def test_a_consumer_does_not_see_what_else_is_there(consumer: Consumer, prefix: str) -> None:
    """The bucket can't be listed, but for the states of the policy."""
    assert refused(consumer.s3.list_objects_v2, Prefix=prefix)
    assert refused(consumer.s3.list_object_versions, Prefix=prefix)
    assert refused(consumer.s3.list_objects_v2)


def test_a_missing_state_is_told_from_a_forbidden_one(endpoint_url: str) -> None:
    """Of a stack that is not deployed yet, a consumer learns just that, and nothing of its neighbours."""
    early = Consumer(endpoint_url, "early", consumer_policy("staging", BACKEND, ["cluster"]))
    found = early.s3.list_objects_v2(Bucket=BACKEND.bucket, Prefix="staging/cluster.tfstate")
    assert found["KeyCount"] == 0
    assert refused(early.s3.list_objects_v2, Prefix="staging/network.tfstate")
