"""The policy that `python -m deployment consumer-policy` prints."""

import json
import os
import subprocess
import sys

import pytest

from deployment.consumer_policy import consumer_policy
from stacks.backend import BackendError
from stacks.settings.load import PROJECT

BACKEND = {"bucket": "some-state", "region": "eu-central-1", "encrypt": True, "use_lockfile": True}


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_arns_have_the_partition_of_the_buckets_region(region: str, partition: str) -> None:
    """A policy for China or GovCloud names buckets with the partition of that region."""
    read, find = consumer_policy("prod", BACKEND | {"region": region}, ["network"])["Statement"]
    assert read["Resource"] == [f"arn:{partition}:s3:::some-state/prod/network.tfstate"]
    assert find["Resource"] == f"arn:{partition}:s3:::some-state"


def test_an_unknown_region_is_refused() -> None:
    """The message names the file, the field and the value."""
    with pytest.raises(BackendError, match=r'backend\.tf\.json: .*region: "zz-nowhere-1": .*Accepted: '):
        consumer_policy("prod", BACKEND | {"region": "zz-nowhere-1"}, ["network"])


def test_the_policy_only_allows_reading() -> None:
    """It has no action that writes and no wildcard; a stack that is named twice is in it once."""
    policy = consumer_policy("prod", BACKEND, ["network", "cluster", "network"])
    assert {item["Action"] for item in policy["Statement"]} == {"s3:GetObject", "s3:ListBucket"}
    assert "*" not in json.dumps(policy)
    assert json.dumps(policy).count("/prod/network.tfstate") == 1


def print_policy(*stacks: str, environment: str = "example") -> subprocess.CompletedProcess[str]:
    """Run the command without AWS credentials."""
    return subprocess.run(
        [sys.executable, "-m", "deployment", "consumer-policy", *stacks],
        cwd=PROJECT,
        env={**os.environ, "ENV": environment, "AWS_PROFILE": "there-is-none", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_policy_alone_is_printed() -> None:
    """Standard output is the JSON that IAM accepts, made without any credentials."""
    done = print_policy("network", "cluster")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Version"] == "2012-10-17"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("stack", "environment", "message"),
    [
        ("netwrk", "example", "invalid choice: 'netwrk' (choose from 'network', 'cluster', 'workloads')"),
        ("network", "nowhere", "environments/nowhere.yaml: no such environment. Accepted: example, local"),
    ],
)
def test_an_unknown_name_is_refused(stack: str, environment: str, message: str) -> None:
    """A misspelt stack or environment is named, with what is accepted, and no policy is printed."""
    done = print_policy(stack, environment=environment)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
