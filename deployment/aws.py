"""Clients of AWS for an environment, in its account and no other."""

from typing import Any

import boto3
import botocore.session
from botocore.exceptions import ClientError, UnknownRegionError

from stacks.backend import BackendError
from stacks.errors import UserError
from stacks.settings.aws import EMULATOR_CREDENTIALS, AwsSettings


class AccountError(UserError):
    """The credentials are of another account than the environment's."""


def create_client(service: str, aws: AwsSettings, *, region: str) -> Any:
    """Return a boto3 client; for a local environment one that can only reach the emulator."""
    if not aws.is_local:
        return boto3.client(service, region_name=region)
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=EMULATOR_CREDENTIALS["access_key"],
        aws_secret_access_key=EMULATOR_CREDENTIALS["secret_key"],
    )


def refuse_other_account(aws: AwsSettings) -> None:
    """Check that the credentials are of the account that the settings name.

    Raises:
        AccountError: If they are of another account.

    """
    if aws.account_id is None:
        return
    account_id = create_client("sts", aws, region=aws.region).get_caller_identity()["Account"]
    if account_id != aws.account_id:
        raise AccountError(
            f"aws.account_id is {aws.account_id}, but the credentials in use are of {account_id}: "
            "choose other credentials (AWS_PROFILE), or another environment (ENV)."
        )


def is_denied(error: ClientError) -> bool:
    """Return whether S3 refuses for want of a permission; other refusals have the HTTP status 403, too."""
    return error.response["Error"]["Code"] in {"AccessDenied", "403"}  # an answer to HEAD has no other code


def find_partition(region: str) -> str:
    """Return the partition of the state bucket's region, such as aws or aws-cn, without credentials.

    Raises:
        BackendError: If AWS has no such region.

    """
    # Without the variable "profile" botocore ignores AWS_PROFILE: the profile may not exist here.
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    try:
        partition: str = session.get_partition_for_region(region)
    except UnknownRegionError:
        raise BackendError(
            f'backend.tf.json: terraform.backend.s3.region: "{region}": AWS has no such region. '
            "Accepted: an AWS region, such as eu-central-1"
        ) from None
    return partition
