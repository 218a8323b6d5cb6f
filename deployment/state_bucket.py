"""Create the state bucket that `backend.tf.json` names, in the account of one environment; or remove it.

Intent: the one thing that must be there before Terraform can keep any state. Safe to repeat: what is
right already is left alone, and `--dry-run` only says what would be done.
Not here: what Terraform itself can manage.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

from stacks.errors import UserError
from stacks.settings.aws import EMULATOR_CREDENTIALS, AwsSettings

OLD_VERSIONS_KEPT_DAYS = 90
ABSENT = {
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
}


class BootstrapError(UserError):
    """The bucket can't be used; the message says why and what to do."""


@dataclass(frozen=True)
class Property:
    """One property of the bucket: how to read it, what it must be, how to set it."""

    name: str
    read: Callable[[], Any]
    wanted: Any
    write: Callable[[], Any]


def create_state_bucket(aws: AwsSettings, backend: dict[str, Any], *, dry_run: bool = False) -> None:
    """Create the bucket, or complete one that is there; a line of output for each property.

    Raises:
        BootstrapError: If the credentials are of another account, or the bucket is someone else's or
            lies in another region.

    """
    bucket, region = backend["bucket"], backend["region"]
    _refuse_other_account(aws, region)
    s3 = _client("s3", aws, region)
    if _exists(s3, bucket, region):
        print(f"{bucket}: exists in {region}")
    else:
        print(f"{bucket}: {'would be created' if dry_run else 'created'} in {region}")
        if not dry_run:
            # us-east-1 is S3's default and must not be named.
            location = {} if region == "us-east-1" else {"LocationConstraint": region}
            configuration = {"CreateBucketConfiguration": location} if location else {}
            s3.create_bucket(Bucket=bucket, **configuration)
    for item in _properties(s3, bucket):
        right = _read(item) == item.wanted
        state = "right already" if right else "would be set" if dry_run else "set"
        print(f"{bucket}: {item.name}: {state}")
        if not right and not dry_run:
            item.write()


def remove_state_bucket(aws: AwsSettings, backend: dict[str, Any], *, dry_run: bool = False) -> None:
    """Remove the bucket with all old versions of the states of destroyed stacks.

    Raises:
        BootstrapError: If a state in it has resources, something in it is no state, or the bucket can't
            be used (see `create_state_bucket`).

    """
    bucket, region = backend["bucket"], backend["region"]
    _refuse_other_account(aws, region)
    s3 = _client("s3", aws, region)
    if not _exists(s3, bucket, region):
        print(f"{bucket}: is not there")
        return
    kept = [key for key in _keys(s3, bucket) if not _is_empty_state(s3, bucket, key)]
    if kept:
        raise BootstrapError(
            f"backend.tf.json: bucket: {bucket} is in use and stays: {', '.join(kept)}. Destroy these stacks "
            "first (`make destroy ENV=<name>`), and move away what is no state."
        )
    if dry_run:
        print(f"{bucket}: would be removed, with every old version of the states in it")
        return
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])
    s3.delete_bucket(Bucket=bucket)
    print(f"{bucket}: removed")


def _keys(s3: Any, bucket: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def _is_empty_state(s3: Any, bucket: str, key: str) -> bool:
    if not key.endswith(".tfstate"):  # a lock means that somebody is at work
        return False
    return not json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).get("resources")


def _client(service: str, aws: AwsSettings, region: str) -> Any:
    if not aws.is_local:
        return boto3.client(service, region_name=region)
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=EMULATOR_CREDENTIALS["access_key"],
        aws_secret_access_key=EMULATOR_CREDENTIALS["secret_key"],
    )


def _refuse_other_account(aws: AwsSettings, region: str) -> None:
    if aws.account_id is None:
        return
    account_id = _client("sts", aws, region).get_caller_identity()["Account"]
    if account_id != aws.account_id:
        raise BootstrapError(
            f"aws.account_id is {aws.account_id}, but the credentials in use are of {account_id}: "
            "choose other credentials (AWS_PROFILE), or another environment (ENV)."
        )


def _exists(s3: Any, bucket: str, region: str) -> bool:
    try:
        found = s3.head_bucket(Bucket=bucket).get("BucketRegion", region)
    except ClientError as error:
        found = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:  # noqa: PLR2004 - HTTP's "not found"
            return False
        if status == 403:  # noqa: PLR2004 - HTTP's "forbidden"
            raise BootstrapError(
                f"backend.tf.json: bucket: {bucket} exists and is not yours to use. Bucket names are "
                "unique in all of AWS: choose another."
            ) from None
    if found != region:
        raise BootstrapError(
            f"backend.tf.json: region: {region}, but the bucket {bucket} lies in {found}: name that "
            "region, or another bucket."
        )
    return True


def _read(item: Property) -> Any:
    try:
        return item.read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            return None
        raise


def _properties(s3: Any, bucket: str) -> list[Property]:
    arn = f"arn:{boto3.Session().get_partition_for_region(s3.meta.region_name)}:s3:::{bucket}"
    block = dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    rules = [
        {
            "ID": "expire-old-versions",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": OLD_VERSIONS_KEPT_DAYS},
        }
    ]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "OnlyTls",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
    name = {"Bucket": bucket}
    return [
        Property(
            "every version of a state is kept",
            lambda: s3.get_bucket_versioning(**name).get("Status"),
            "Enabled",
            lambda: s3.put_bucket_versioning(**name, VersioningConfiguration={"Status": "Enabled"}),
        ),
        Property(
            "encrypted",
            lambda: [
                {"ApplyServerSideEncryptionByDefault": rule["ApplyServerSideEncryptionByDefault"]}
                for rule in s3.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"]
            ],
            encryption["Rules"],
            lambda: s3.put_bucket_encryption(**name, ServerSideEncryptionConfiguration=encryption),
        ),
        Property(
            "public access blocked",
            lambda: s3.get_public_access_block(**name)["PublicAccessBlockConfiguration"],
            block,
            lambda: s3.put_public_access_block(**name, PublicAccessBlockConfiguration=block),
        ),
        Property(
            "only over TLS",
            lambda: json.loads(s3.get_bucket_policy(**name)["Policy"]),
            policy,
            lambda: s3.put_bucket_policy(**name, Policy=json.dumps(policy)),
        ),
        Property(
            f"old versions expire after {OLD_VERSIONS_KEPT_DAYS} days",
            lambda: s3.get_bucket_lifecycle_configuration(**name)["Rules"],
            rules,
            lambda: s3.put_bucket_lifecycle_configuration(**name, LifecycleConfiguration={"Rules": rules}),
        ),
    ]
