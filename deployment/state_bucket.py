"""Create, complete or remove the state bucket that `backend.tf.json` names.

Terraform needs the bucket before it can keep a state. A repeat adds the missing settings. It changes no
stricter setting, and no statement or rule of other people.
"""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from deployment.aws import create_client, find_partition, refuse_other_account
from stacks.backend import Backend
from stacks.errors import UserError
from stacks.settings.aws import AwsSettings

OLD_VERSIONS_KEPT_DAYS = 90
ABSENT = {
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
}
RIGHT = "right already"


class BootstrapError(UserError):
    """The bucket can't be used; the message says why and what to do."""


def create_state_bucket(aws: AwsSettings, backend: Backend, *, dry_run: bool = False) -> None:
    """Create the bucket, or complete an existing one, and print a line for each setting.

    Raises:
        AccountError: If the credentials are of another account.
        BootstrapError: If the bucket is of another account or in another region.

    """
    bucket, region = backend.bucket, backend.region
    refuse_other_account(aws)
    s3 = create_client("s3", aws, region=region)
    if _exists(s3, bucket, region):
        print(f"{bucket}: exists in {region}")
    else:
        print(f"{bucket}: {'would be created' if dry_run else 'created'} in {region}")
        if not dry_run:
            # us-east-1 is S3's default and must not be named.
            location = {} if region == "us-east-1" else {"LocationConstraint": region}
            configuration = {"CreateBucketConfiguration": location} if location else {}
            s3.create_bucket(Bucket=bucket, **configuration)
    for name, complete in (
        ("every version of a state is kept", _keep_versions),
        ("encrypted", _encrypt),
        ("public access blocked", _block_public_access),
        ("only over TLS", _require_tls),
        (f"old versions expire after {OLD_VERSIONS_KEPT_DAYS} days", _expire_old_versions),
    ):
        print(f"{bucket}: {name}: {complete(s3, bucket, dry_run=dry_run)}")


def remove_state_bucket(aws: AwsSettings, backend: Backend, *, dry_run: bool = False) -> None:
    """Remove the bucket with all old versions of the states of destroyed stacks.

    Raises:
        BootstrapError: If a state in it has resources, if it holds an object that is no state, or if it
            can't be used (see `create_state_bucket`).

    """
    bucket, region = backend.bucket, backend.region
    refuse_other_account(aws)
    s3 = create_client("s3", aws, region=region)
    if not _exists(s3, bucket, region):
        print(f"{bucket}: does not exist")
        return
    kept = [key for key in _list_keys(s3, bucket) if not _is_empty_state(s3, bucket, key)]
    if kept:
        raise BootstrapError(
            f"backend.tf.json: bucket: {bucket} is in use and stays: {', '.join(kept)}. Destroy these stacks "
            "first (`make destroy ENV=<name>`), and move away every other object."
        )
    if dry_run:
        print(f"{bucket}: would be removed, with every old version of the states in it")
        return
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])
    s3.delete_bucket(Bucket=bucket)
    print(f"{bucket}: removed")


def _list_keys(s3: Any, bucket: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def _is_empty_state(s3: Any, bucket: str, key: str) -> bool:
    if not key.endswith(".tfstate"):  # a lock: somebody may be at work
        return False
    try:
        state = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except (ValueError, RecursionError):
        return False  # a damaged state may have older versions with resources
    return isinstance(state, dict) and not state.get("resources")


def _exists(s3: Any, bucket: str, region: str) -> bool:
    try:
        found = s3.head_bucket(Bucket=bucket).get("BucketRegion", region)
    except ClientError as error:
        found = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:  # noqa: PLR2004 - HTTP's "not found"
            return False
        if status not in (301, 403):  # 301: the bucket is in another region
            raise
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


def _read_configuration(call: Callable[..., Any], bucket: str) -> dict[str, Any]:
    """Return S3's answer about a part of the bucket's configuration; empty if the part is absent."""
    try:
        answer: dict[str, Any] = call(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            return {}
        raise
    return answer


def _keep_versions(s3: Any, bucket: str, *, dry_run: bool) -> str:
    if _read_configuration(s3.get_bucket_versioning, bucket).get("Status") == "Enabled":
        return RIGHT
    if not dry_run:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return _describe_write(dry_run=dry_run)


def _encrypt(s3: Any, bucket: str, *, dry_run: bool) -> str:
    found = _read_configuration(s3.get_bucket_encryption, bucket).get("ServerSideEncryptionConfiguration", {})
    for rule in found.get("Rules", []):
        algorithm = rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm")
        if algorithm:
            return RIGHT if algorithm == "AES256" else f"stays as it is, {algorithm}"
    if not dry_run:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    return _describe_write(dry_run=dry_run)


def _block_public_access(s3: Any, bucket: str, *, dry_run: bool) -> str:
    keys = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    found = _read_configuration(s3.get_public_access_block, bucket).get("PublicAccessBlockConfiguration", {})
    if all(found.get(key) for key in keys):
        return RIGHT
    if not dry_run:
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(keys, True))
    return _describe_write(dry_run=dry_run)


def _require_tls(s3: Any, bucket: str, *, dry_run: bool) -> str:
    arn = f"arn:{find_partition(s3.meta.region_name)}:s3:::{bucket}"
    wanted = {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = json.loads(_read_configuration(s3.get_bucket_policy, bucket).get("Policy", "{}"))
    statements = _as_list(policy.get("Statement", []))
    if any(denies_without_tls(item, arn) for item in statements):
        return _describe_rest(RIGHT, len(statements) - 1, "statements of the bucket policy")
    if any(item.get("Sid") == wanted["Sid"] for item in statements):
        del wanted["Sid"]  # S3 accepts each Sid once
    if not dry_run:
        policy = {"Version": "2012-10-17", **policy, "Statement": [*statements, wanted]}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    return _describe_rest(
        _describe_write(dry_run=dry_run), len(statements), "statements of the bucket policy"
    )


def denies_without_tls(statement: dict[str, Any], arn: str) -> bool:
    """Return whether a statement denies every access to the bucket without TLS, to everybody."""
    condition = statement.get("Condition", {})
    values = [
        _as_list(value)
        for operator, keys in condition.items()
        for key, value in keys.items()
        if operator in ("Bool", "BoolIfExists") and key.lower() == "aws:securetransport"
    ]
    resources = _as_list(statement.get("Resource", []))
    return (
        statement["Effect"] == "Deny"
        and statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
        and bool({"*", "s3:*"} & set(_as_list(statement.get("Action", []))))
        and ("*" in resources or {arn, f"{arn}/*"} <= set(resources))
        and values in ([["false"]], [[False]])
        and sum(map(len, condition.values())) == 1
    )


def _expire_old_versions(s3: Any, bucket: str, *, dry_run: bool) -> str:
    found = _read_configuration(s3.get_bucket_lifecycle_configuration, bucket)
    rules = found.get("Rules", [])
    days = [read_expiration_days(rule) for rule in rules if read_expiration_days(rule) is not None]
    if days:
        state = RIGHT if OLD_VERSIONS_KEPT_DAYS in days else f"stays as it is, {days[0]} days"
        return _describe_rest(state, len(rules) - 1, "lifecycle rules")
    wanted: dict[str, Any] = {
        "ID": "expire-old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": OLD_VERSIONS_KEPT_DAYS},
    }
    if any(rule.get("ID") == wanted["ID"] for rule in rules):
        del wanted["ID"]  # S3 accepts each ID once, and chooses one itself
    if not dry_run:
        kept = {name: found[name] for name in ("TransitionDefaultMinimumObjectSize",) if name in found}
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [*rules, wanted]}, **kept
        )
    return _describe_rest(_describe_write(dry_run=dry_run), len(rules), "lifecycle rules")


def read_expiration_days(rule: dict[str, Any]) -> int | None:
    """Return the days after which a rule deletes the old versions of every object; None if it does not."""
    is_for_all = not rule.get("Prefix") and rule.get("Filter", {}) in ({}, {"Prefix": ""})
    if rule["Status"] != "Enabled" or not is_for_all:
        return None
    days: int | None = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
    return days


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _describe_write(*, dry_run: bool) -> str:
    return "would be set" if dry_run else "set"


def _describe_rest(state: str, number: int, name: str) -> str:
    return f"{state}; other {name} stay: {number}" if number else state
