"""RunnerCache: the S3 bucket of the fleets' distributed cache.

Intent: the bucket is private, encrypted and TLS-only, and its objects expire. Each fleet reaches its own
prefix and no other.
Not here: the runner's configuration of the cache (runner_config.py).
"""

import json
from typing import Any

from cdktf_cdktf_provider_aws.data_aws_caller_identity import DataAwsCallerIdentity
from cdktf_cdktf_provider_aws.iam_role import IamRole
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy
from cdktf_cdktf_provider_aws.s3_bucket import S3Bucket
from cdktf_cdktf_provider_aws.s3_bucket_lifecycle_configuration import (
    S3BucketLifecycleConfiguration,
    S3BucketLifecycleConfigurationRule,
    S3BucketLifecycleConfigurationRuleAbortIncompleteMultipartUpload,
    S3BucketLifecycleConfigurationRuleExpiration,
    S3BucketLifecycleConfigurationRuleFilter,
)
from cdktf_cdktf_provider_aws.s3_bucket_policy import S3BucketPolicy
from cdktf_cdktf_provider_aws.s3_bucket_public_access_block import S3BucketPublicAccessBlock
from cdktf_cdktf_provider_aws.s3_bucket_server_side_encryption_configuration import (
    S3BucketServerSideEncryptionConfigurationA,
    S3BucketServerSideEncryptionConfigurationRuleA,
    S3BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultA,
)
from constructs import Construct

from stacks.iam import policy, trust

ABORT_INCOMPLETE_UPLOAD_DAYS = 1


class RunnerCache(Construct):
    """One bucket for all fleets of an environment."""

    def __init__(
        self, scope: Construct, id_: str, *, resource_prefix: str, region: str, expiration_days: int
    ) -> None:
        """Create the bucket; an object expires `expiration_days` after its last upload."""
        super().__init__(scope, id_)
        self._resource_prefix = resource_prefix
        account = DataAwsCallerIdentity(self, "account")
        bucket = S3Bucket(
            self,
            "bucket",
            # Bucket names are unique in all of AWS.
            bucket=f"{resource_prefix}-runner-cache-{account.account_id}",
            force_destroy=True,  # jobs build a missing cache again
        )
        self.region = region
        self.bucket_name = bucket.bucket
        self._arn = bucket.arn
        S3BucketPublicAccessBlock(
            self,
            "public_access_block",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
        )
        S3BucketServerSideEncryptionConfigurationA(
            self,
            "encryption",
            bucket=bucket.id,
            rule=[
                S3BucketServerSideEncryptionConfigurationRuleA(
                    apply_server_side_encryption_by_default=(
                        S3BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultA(
                            sse_algorithm="AES256"
                        )
                    )
                )
            ],
        )
        S3BucketLifecycleConfiguration(
            self,
            "lifecycle",
            bucket=bucket.id,
            rule=[
                S3BucketLifecycleConfigurationRule(
                    id="expire",
                    status="Enabled",
                    filter=[S3BucketLifecycleConfigurationRuleFilter(prefix="")],
                    expiration=[S3BucketLifecycleConfigurationRuleExpiration(days=expiration_days)],
                    abort_incomplete_multipart_upload=[
                        S3BucketLifecycleConfigurationRuleAbortIncompleteMultipartUpload(
                            days_after_initiation=ABORT_INCOMPLETE_UPLOAD_DAYS
                        )
                    ],
                )
            ],
        )
        S3BucketPolicy(self, "policy", bucket=bucket.id, policy=_build_tls_only_policy(bucket.arn))

    def access_statement(self, prefix: str) -> dict[str, Any]:
        """Return the policy statement that lets GitLab Runner use the cache under `<prefix>/` only."""
        # GitLab Runner, "Advanced configuration", "The [runners.cache.s3] section".
        actions = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject"]
        return {"Action": actions, "Resource": f"{self._arn}/{prefix}/*"}

    def build_transfer_role(self, scope: Construct, *, prefix: str, manager: IamRole) -> IamRole:
        """Add the role that a manager assumes for each transfer of an object under `<prefix>/`.

        The manager limits each session to one object and gives its credentials to the job. With them the
        job uploads in several parts; a presigned URL ends at 5 GB (GitLab Runner, "Advanced configuration",
        "Enable multipart transfers with RoleARN").
        """
        role = IamRole(
            scope,
            "cache_role",
            name=f"{self._resource_prefix}-cache-{prefix}",
            # EKS Pod Identity tags the manager's session, and the tags go on to the next role.
            assume_role_policy=trust({"AWS": manager.arn}, ["sts:AssumeRole", "sts:TagSession"]),
        )
        IamRolePolicy(
            scope,
            "cache_role_policy",
            name="transfer",
            role=role.name,
            policy=policy(
                {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"{self._arn}/{prefix}/*"}
            ),
        )
        return role


def _build_tls_only_policy(arn: str) -> str:
    statement = {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
