"""Deletions and replacements."""

from collections.abc import Iterator

from plan_review.findings import Danger, Finding
from plan_review.plan import Change

# What holds data, what everything else stands in, or what others reach by its address.
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
        *("google_container_cluster", "google_container_node_pool", "google_compute_network"),
        *("google_sql_database_instance", "google_storage_bucket", "google_kms_crypto_key"),
        *("azurerm_kubernetes_cluster", "azurerm_virtual_network", "azurerm_storage_account"),
        *("azurerm_mssql_database", "azurerm_postgresql_flexible_server", "azurerm_key_vault"),
    }
)


def find(change: Change) -> Iterator[Finding]:
    """Yield the finding of a resource that goes, or that Terraform lets go."""
    if change.action not in ("delete", "replace", "forget"):
        return
    because = f": {change.reason}" if change.reason else ""
    if change.action == "delete":
        text = "is deleted"
    elif change.action == "forget":
        text, because = "is forgotten: it stays, and Terraform no longer manages it", ""
    elif change.forgets:
        text = "is made anew; the old one stays, and Terraform no longer manages it"
    else:
        text = (
            "is replaced, the new one first" if change.create_first else "is replaced, the old one goes first"
        )
    yield Finding(
        Danger.DESTRUCTION,
        needs_approval=change.type in IRREPLACEABLE and change.action != "forget" and not change.forgets,
        address=change.address,
        text=text + because,
        differences=tuple(item for item in change.differences if change.forces(item)),
    )
