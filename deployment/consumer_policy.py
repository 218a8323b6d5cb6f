"""Print the IAM policy with which another project may read the outputs of some stacks of one environment.

Intent: read-only, and nothing but the state of these stacks. Standard output has the policy alone.
Not here: attaching it to anyone. No AWS call, no credentials.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import UnknownRegionError
from botocore.loaders import create_loader
from botocore.regions import EndpointResolver

from stacks import STACKS
from stacks.backend import Backend, BackendError, read_backend, state_key
from stacks.settings.load import PROJECT, SettingsError, load_environment


def main() -> None:
    """Print the policy for the stacks of the command line, in the environment that `ENV` names."""
    parser = argparse.ArgumentParser(
        prog="deployment/consumer_policy.py",
        description=f"{(__doc__ or '').splitlines()[0]} ENV names the environment.",
    )
    parser.add_argument(
        "stacks", nargs="+", choices=STACKS, metavar="STACK", help=f"any of {', '.join(STACKS)}"
    )
    arguments = parser.parse_args()
    try:
        settings = load_environment(os.environ.get("ENV"))
        backend = read_backend(PROJECT / "backend.tf.json")
        policy = consumer_policy(settings.environment, backend, arguments.stacks)
    except (SettingsError, BackendError) as error:
        sys.exit(str(error))
    print(json.dumps(policy, indent=2))


def consumer_policy(environment: str, backend: Backend, stacks: Iterable[str]) -> dict[str, Any]:
    """Return the IAM policy document for reading the state of `stacks` of `environment`.

    Less than Terraform's "S3 backend", "Permissions Required": `terraform_remote_state` writes nothing,
    takes no lock, and goes on if it may not list the workspaces. Listing the keys themselves tells a
    missing state from a forbidden one: to who may not list, S3 says 403 of both ("GetObject").

    Raises:
        BackendError: If the bucket's region is in no partition of AWS.

    """
    arn = f"arn:{_partition(backend.region)}:s3:::{backend.bucket}"
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


def _partition(region: str) -> str:
    # Not by a boto3 session: that one looks for the profile that AWS_PROFILE names.
    known = EndpointResolver(create_loader().load_data("endpoints"))
    try:
        partition: str = known.get_partition_for_region(region)
    except UnknownRegionError:
        message = f'backend.tf.json: terraform.backend.s3.region: "{region}": no region of AWS. Accepted: '
        raise BackendError(message + "an AWS region, such as eu-central-1") from None
    return partition


if __name__ == "__main__":
    main()
