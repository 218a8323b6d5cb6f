"""Resources that Terraform deletes, replaces or forgets."""

from collections.abc import Iterator, Sequence

from plan_review.findings import Category, Finding
from plan_review.plan import Change

# Resources that hold data, that others are built in, or that others reach by their address.
IRREPLACEABLE = frozenset(
    {
        *("aws_vpc", "aws_subnet", "aws_nat_gateway", "aws_eip", "aws_lb", "aws_route53_zone"),
        *("aws_eks_cluster", "aws_eks_node_group", "aws_eks_fargate_profile", "aws_ecs_cluster"),
        *("aws_s3_bucket", "aws_s3_directory_bucket", "aws_ebs_volume", "aws_efs_file_system"),
        *("aws_fsx_lustre_file_system", "aws_fsx_ontap_file_system", "aws_backup_vault"),
        *("aws_db_instance", "aws_rds_cluster", "aws_rds_cluster_instance", "aws_redshift_cluster"),
        *("aws_docdb_cluster", "aws_neptune_cluster", "aws_dynamodb_table", "aws_dynamodb_global_table"),
        *("aws_elasticache_cluster", "aws_elasticache_replication_group", "aws_memorydb_cluster"),
        *("aws_opensearch_domain", "aws_elasticsearch_domain", "aws_msk_cluster", "aws_mq_broker"),
        *("aws_kinesis_stream", "aws_sqs_queue", "aws_ecr_repository", "aws_cognito_user_pool"),
        *("aws_kms_key", "aws_secretsmanager_secret", "aws_ssm_parameter", "aws_cloudwatch_log_group"),
        *("aws_autoscaling_group", "aws_instance", "aws_iam_openid_connect_provider"),
        *("kubernetes_namespace", "kubernetes_namespace_v1"),
        *("kubernetes_persistent_volume_claim", "kubernetes_persistent_volume_claim_v1"),
    }
)
# Only tags: they come and go with the group, which has a finding of its own.
_TAGS = frozenset({"aws_autoscaling_group_tag", "aws_ec2_tag", "aws_ecs_tag"})


def find(change: Change, changes: Sequence[Change]) -> Iterator[Finding]:
    """Yield the finding of a resource that is deleted, replaced or forgotten.

    Args:
        change: The change of the resource.
        changes: All changes of the plan: the finding names those that create a resource of the same type.

    """
    if change.action not in ("delete", "replace", "forget") or change.type in _TAGS:
        return
    because = f": {change.reason}" if change.reason else ""
    if change.action == "delete":
        text = "is deleted"
    elif change.action == "forget":
        text, because = "is forgotten: it stays, and Terraform no longer manages it", ""
    elif change.forgets:
        text = "is created anew; the old one stays, and Terraform no longer manages it"
    elif change.create_first:
        text = "is replaced, the new one is created first"
    else:
        text = "is replaced, the old one is deleted first"
    yield Finding(
        Category.DESTRUCTION,
        needs_approval=change.type in IRREPLACEABLE and change.action != "forget" and not change.forgets,
        address=change.address,
        text=text + because,
        differences=tuple(item for item in change.differences if change.forces(item)),
        created=tuple(
            other.address for other in changes if other.action == "create" and other.type == change.type
        )
        if change.action == "delete"
        else (),
    )
