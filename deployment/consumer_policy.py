"""The IAM policy with which another project may read the outputs of some stacks of one environment.

It allows reading the states of these stacks and nothing else. It is made without AWS and credentials.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from deployment.aws import find_partition
from stacks.backend import state_key


def consumer_policy(environment: str, backend: Mapping[str, Any], stacks: Iterable[str]) -> dict[str, Any]:
    """Return the IAM policy document for reading the state of `stacks` of `environment`.

    It allows less than Terraform's "S3 backend", "Permissions Required": `terraform_remote_state` writes
    nothing, takes no lock, and does not need the list of workspaces. With ListBucket on the keys, S3
    answers 404 for a missing state; without it S3 answers 403 for a missing state too ("GetObject").

    Raises:
        BackendError: If AWS does not have the bucket's region.

    """
    arn = f"arn:{find_partition(backend['region'])}:s3:::{backend['bucket']}"
    keys = [state_key(environment, stack) for stack in dict.fromkeys(stacks)]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadState",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": [f"{arn}/{key}" for key in keys],
            },
            {
                "Sid": "FindState",
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": arn,
                "Condition": {"StringEquals": {"s3:prefix": keys}},
            },
        ],
    }
