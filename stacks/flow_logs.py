"""The flow logs of a VPC: which addresses its network interfaces talked to, and what was rejected.

Intent: CloudWatch keeps them for a time and no longer, or they go to a bucket that the account has already.
"""

from cdktf import TerraformStack
from cdktf_cdktf_provider_aws.cloudwatch_log_group import CloudwatchLogGroup
from cdktf_cdktf_provider_aws.data_aws_caller_identity import DataAwsCallerIdentity
from cdktf_cdktf_provider_aws.flow_log import FlowLog
from cdktf_cdktf_provider_aws.iam_role import IamRole
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy

from stacks.iam import policy
from stacks.settings.network import FlowLogsSettings


def build_flow_logs(
    stack: TerraformStack, *, vpc_id: str, resource_prefix: str, settings: FlowLogsSettings
) -> None:
    """Record the traffic of a VPC."""
    tags = {"Name": f"{resource_prefix}-vpc"}
    if settings.bucket_arn:
        FlowLog(
            stack,
            "flow_log",
            vpc_id=vpc_id,
            traffic_type=settings.traffic,
            log_destination_type="s3",
            log_destination=settings.bucket_arn,
            tags=tags,
        )
        return
    group = CloudwatchLogGroup(
        stack,
        "flow_logs",
        name=f"/aws/vpc/{resource_prefix}/flow-logs",
        retention_in_days=settings.retention_days,
    )
    role = _build_role(stack, name=f"{resource_prefix}-flow-logs")
    permissions = IamRolePolicy(
        stack,
        "flow_logs_role_policy",
        name="write-flow-logs",
        role=role.name,
        # Without logs:CreateLogGroup: late logs can't make a destroyed group anew.
        policy=policy(
            {
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                "Resource": f"{group.arn}:*",
            },
            {"Action": "logs:DescribeLogGroups", "Resource": "*"},
        ),
    )
    FlowLog(
        stack,
        "flow_log",
        vpc_id=vpc_id,
        traffic_type=settings.traffic,
        log_destination_type="cloud-watch-logs",
        log_destination=group.arn,
        iam_role_arn=role.arn,
        tags=tags,
        depends_on=[permissions],
    )


def _build_role(stack: TerraformStack, *, name: str) -> IamRole:
    """Return the role of Amazon VPC, "IAM role for publishing flow logs to CloudWatch Logs"."""
    account = DataAwsCallerIdentity(stack, "account")
    return IamRole(
        stack,
        "flow_logs_role",
        name=name,
        assume_role_policy=policy(
            {
                "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": account.account_id}},
            }
        ),
    )
