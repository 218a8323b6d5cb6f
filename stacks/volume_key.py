"""The grant with which EC2 Auto Scaling may use a KMS key of the account for the volumes of nodes.

Intent: Auto Scaling starts the nodes as its service-linked role, which may use AWS's own keys alone. With
another key each new instance ends at once (Amazon EC2 Auto Scaling, "Required AWS KMS key policy for use with
encrypted volumes"). A grant needs no change of the key's policy, and works for a key of another account.
"""

from cdktf import Fn, ITerraformDependable, Precondition, TerraformResourceLifecycle, TerraformStack
from cdktf_cdktf_provider_aws.data_aws_iam_roles import DataAwsIamRoles
from cdktf_cdktf_provider_aws.kms_grant import KmsGrant

OPERATIONS = (
    *("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"),
    *("GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "DescribeKey", "CreateGrant"),
)


def grant_volume_key(stack: TerraformStack, *, key_arn: str, name: str) -> ITerraformDependable:
    """Let Auto Scaling use the key; node groups must depend on the result."""
    roles = DataAwsIamRoles(
        stack,
        "auto_scaling_roles",
        path_prefix="/aws-service-role/autoscaling.amazonaws.com/",
        name_regex="^AWSServiceRoleForAutoScaling$",
    )
    role_exists = Precondition(
        condition=f"${{length({roles.fqn}.arns) == 1}}",
        error_message=f"cluster.volumes_key_arn: {key_arn}: the account does not have the role that Auto "
        "Scaling uses the key with. Create it once: aws iam create-service-linked-role --aws-service-name "
        "autoscaling.amazonaws.com",
    )
    return KmsGrant(
        stack,
        "volumes_key_grant",
        name=name,
        key_id=key_arn,
        grantee_principal=Fn.join("", roles.arns),
        operations=list(OPERATIONS),
        # Nodes of the old key are replaced before its grant goes.
        lifecycle=TerraformResourceLifecycle(create_before_destroy=True, precondition=[role_exists]),
    )
