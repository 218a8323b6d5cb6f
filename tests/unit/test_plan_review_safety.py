"""The safety net that a change takes away: protection, backups, encryption, logs."""

from typing import Any

import pytest

from plan_review.findings import Category, Finding
from plan_review.review import PlannedStack
from tests.plan_documents import plan, resource

SSE = "apply_server_side_encryption_by_default"


def weakened(*changes: dict[str, Any], **more: Any) -> list[Finding]:
    """Return the findings that say that protection is taken away."""
    found = PlannedStack("stack", plan(*changes, **more)).findings
    return [item for item in found if item.category in (Category.SAFETY, Category.AUDIT)]


def encryption(algorithm: str) -> dict[str, Any]:
    """Return the default encryption of a bucket."""
    return {"rule": [{SSE: [{"sse_algorithm": algorithm, "kms_master_key_id": None}]}]}


def lifecycle(*days: int) -> dict[str, Any]:
    """Return the lifecycle rules of a bucket."""
    return {"rule": [{"id": str(number), "expiration": [{"days": number}]} for number in days]}


# Type, attributes before, attributes afterwards, and words of the finding.
WEAKER: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("aws_db_instance", {"deletion_protection": True}, {"deletion_protection": False}, "from deletion"),
    ("aws_eks_cluster", {"deletion_protection": True}, {"deletion_protection": None}, "from deletion"),
    ("aws_cognito_user_pool", {"deletion_protection": "ACTIVE"}, {"deletion_protection": "INACTIVE"}, "from"),
    ("aws_lb", {"enable_deletion_protection": True}, {"enable_deletion_protection": False}, "from deletion"),
    ("aws_instance", {"disable_api_termination": True}, {"disable_api_termination": False}, "from deletion"),
    ("aws_db_instance", {"multi_az": True}, {"multi_az": False}, "no standby"),
    (
        "aws_ecr_repository",
        {"image_tag_mutability": "IMMUTABLE"},
        {"image_tag_mutability": "MUTABLE"},
        "be replaced",
    ),
    ("aws_rds_cluster", {"skip_final_snapshot": False}, {"skip_final_snapshot": True}, "leaves no snapshot"),
    ("aws_s3_bucket", {"force_destroy": False}, {"force_destroy": True}, "with everything in it"),
    ("aws_ecr_repository", {"force_delete": None}, {"force_delete": True}, "with everything in it"),
    ("aws_db_instance", {"backup_retention_period": 7}, {"backup_retention_period": 0}, "keeps backups"),
    ("aws_elasticache_cluster", {"snapshot_retention_limit": 7}, {"snapshot_retention_limit": 3}, "backups"),
    ("aws_db_instance", {"storage_encrypted": True}, {"storage_encrypted": False}, "no longer encrypted"),
    ("aws_sns_topic", {"kms_master_key_id": "alias/a"}, {"kms_master_key_id": None}, "KMS key of its own"),
    (
        "aws_launch_template",
        {"block_device_mappings": [{"ebs": [{"encrypted": "true"}]}]},
        {"block_device_mappings": [{"ebs": [{"encrypted": "true"}]}, {"ebs": [{"encrypted": "false"}]}]},
        "no longer encrypted",
    ),
    (
        "aws_dynamodb_table",
        {"point_in_time_recovery": [{"enabled": True}]},
        {"point_in_time_recovery": [{"enabled": False}]},
        "can't be restored",
    ),
    (
        "aws_s3_bucket_versioning",
        {"versioning_configuration": [{"status": "Enabled"}]},
        {"versioning_configuration": [{"status": "Suspended"}]},
        "old versions",
    ),
    (
        "aws_s3_bucket_server_side_encryption_configuration",
        encryption("aws:kms"),
        encryption("AES256"),
        "no longer encrypts with KMS",
    ),
    ("aws_s3_bucket_lifecycle_configuration", lifecycle(30), lifecycle(30, 7), "deletes objects sooner"),
    ("aws_kms_key", {"deletion_window_in_days": None}, {"deletion_window_in_days": 7}, "less time to stop"),
    ("aws_kms_key", {"enable_key_rotation": True}, {"enable_key_rotation": False}, "no longer rotated"),
    ("aws_kms_key", {"is_enabled": True}, {"is_enabled": False}, "is disabled"),
    ("aws_secretsmanager_secret", {}, {"recovery_window_in_days": 0}, "less time to restore"),
    ("aws_cloudwatch_log_group", {"retention_in_days": 0}, {"retention_in_days": 365}, "keeps logs"),
    ("aws_cloudtrail", {"enable_logging": True}, {"enable_logging": False}, "no longer records calls"),
    (
        "aws_cloudtrail",
        {"event_selector": [{"include_management_events": True}]},
        {"event_selector": [{"include_management_events": False}]},
        "no longer records management events",
    ),
    (
        "aws_cloudtrail",
        {"event_selector": []},
        {"event_selector": [{"read_write_type": "WriteOnly"}]},
        "only reading or only writing",
    ),
    (
        "aws_cloudtrail",
        {"event_selector": [{"data_resource": [{"type": "AWS::S3::Object"}]}]},
        {"event_selector": []},
        "no longer records data events",
    ),
    (
        "aws_cloudtrail",
        {"advanced_event_selector": [{"name": "management"}, {"name": "objects"}]},
        {"advanced_event_selector": [{"name": "management"}]},
        "records fewer kinds of events",
    ),
    ("aws_flow_log", {"traffic_type": "ALL"}, {"traffic_type": "REJECT"}, "only rejected traffic"),
    ("aws_cloudtrail", {"is_multi_region_trail": True}, {"is_multi_region_trail": False}, "one region"),
    (
        "aws_eks_cluster",
        {"enabled_cluster_log_types": ["api", "audit"]},
        {"enabled_cluster_log_types": ["api"]},
        "fewer kinds of logs",
    ),
    ("aws_lb", {"access_logs": [{"enabled": True}]}, {"access_logs": []}, "no longer logs its requests"),
    (
        "kubernetes_persistent_volume_v1",
        {"spec": [{"persistent_volume_reclaim_policy": "Retain"}]},
        {"spec": [{"persistent_volume_reclaim_policy": "Delete"}]},
        "with the data",
    ),
    (
        "helm_release",
        {"values": ["persistence: {enabled: true}"]},
        {"values": ["persistence: {enabled: false}"]},
        "no longer keeps",
    ),
]


@pytest.mark.parametrize(("kind", "before", "after", "words"), WEAKER)
def test_a_weaker_protection_needs_an_approval(
    kind: str, before: dict[str, Any], after: dict[str, Any], words: str
) -> None:
    """One finding says what the change takes away, with the attribute."""
    (found,) = weakened(resource(kind, before, after))
    assert found.needs_approval
    assert words in found.text
    assert found.differences


@pytest.mark.parametrize(("kind", "before", "after", "words"), WEAKER)
def test_more_protection_and_a_new_resource_are_no_finding(
    kind: str, before: dict[str, Any], after: dict[str, Any], words: str
) -> None:
    """The other direction protects more, and a new resource takes nothing away."""
    assert not weakened(resource(kind, after, before)), words
    assert not weakened(resource(kind, None, after))


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("aws_cloudtrail", Category.AUDIT),
        ("aws_flow_log", Category.AUDIT),
        ("aws_guardduty_detector", Category.AUDIT),
        ("aws_backup_plan", Category.SAFETY),
        ("aws_s3_bucket_versioning", Category.SAFETY),
    ],
)
def test_a_deleted_protection_is_one_finding(kind: str, category: Category) -> None:
    """It says that the resource is deleted and what that means, and no other finding repeats it."""
    stack = PlannedStack("stack", plan(resource(kind, {"bucket": "data", "vpc_id": "vpc-1"}, None)))
    (found,) = stack.findings
    assert (found.category, found.needs_approval) == (category, True)
    assert found.text.startswith("is deleted: ")


def test_protection_that_goes_with_its_resource_is_no_finding() -> None:
    """A deleted bucket needs no versions; the bucket has a finding of its own."""
    bucket = resource("aws_s3_bucket", {"bucket": "data"}, None)
    versions = resource("aws_s3_bucket_versioning", {"bucket": "data"}, None)
    assert not weakened(bucket, versions)
    assert weakened(resource("aws_s3_bucket", {"bucket": "other"}, None), versions)


def test_an_unknown_protection_counts_if_the_configuration_sets_it() -> None:
    """A value that the provider computes stays as it is; one that the configuration sets may be any."""
    change = resource("aws_db_instance", {"storage_encrypted": True}, {}, unknown={"storage_encrypted": True})
    assert weakened(change, configured={"aws_db_instance.this": {"storage_encrypted": {}}})
    assert not weakened(change, configured={"aws_db_instance.this": {"engine": {}}})


def test_a_sensitive_protection_is_compared_and_not_shown() -> None:
    """The finding masks the value on both sides."""
    (found,) = weakened(
        resource(
            "aws_db_instance",
            {"deletion_protection": True},
            {"deletion_protection": False},
            after_sensitive={"deletion_protection": True},
        )
    )
    assert [str(item.before) for item in found.differences] == ["(sensitive)"]
