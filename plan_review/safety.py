"""The safety net that a change takes away: protection, backups, encryption, logs and audit trails.

Only a weakening is a finding. A new resource without protection takes nothing away. `prevent_destroy` is
not in a plan: Terraform refuses the plan instead.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from plan_review.chart_values import read_keys
from plan_review.findings import Category, Finding
from plan_review.plan import Change
from plan_review.values import UNKNOWN, Difference, Sensitive, list_blocks, top_level

_FOREVER = float("inf")


@dataclass(frozen=True)
class _Guard:
    """An attribute that protects; a lower rank protects less.

    Attributes:
        path: The attribute's path.
        text: The effect of a lower rank, as the rest of a sentence that begins with the address.
        rank: Returns the rank of a value. The value is None if it is not set.
        category: The category of the finding.

    """

    path: str
    text: str
    rank: Callable[[Any], float]
    category: Category = Category.SAFETY


def _is_on(value: Any) -> float:
    # A launch template has strings; services have names for it.
    return float(value is True or str(value).lower() in ("true", "enabled", "active", "on"))


def _is_off(value: Any) -> float:
    return 1.0 - _is_on(value)


def _is_set(value: Any) -> float:
    return float(value not in (None, "", []))


def _count(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _count_items(value: Any) -> float:
    return float(len(value)) if isinstance(value, list) else 0.0


def _count_or(default: float) -> Callable[[Any], float]:
    """Return a rank for a number that has a default."""
    return lambda value: default if value is None else _count(value)


def _count_days(value: Any) -> float:
    # 0 keeps logs for ever (Amazon CloudWatch Logs, "PutRetentionPolicy"), and is no rule of a bucket.
    return _count(value) or _FOREVER


def _is_not_off(value: Any) -> float:
    """Return the rank of a switch that is on if it is not set."""
    return float(value is not False)


def _is_all(value: Any) -> float:
    return float(value is None or str(value).upper() == "ALL")


def _is_immutable(value: Any) -> float:
    return float(str(value).startswith("IMMUTABLE"))


def _is_retained(value: Any) -> float:
    return float(value == "Retain")


def _rank_encryption(value: Any) -> float:
    """Return the rank of a bucket's default encryption: S3's own key, KMS, KMS in two layers."""
    return float(("AES256", "aws:kms", "aws:kms:dsse").index(value) if value in _S3_ALGORITHMS else 0)


_S3_ALGORITHMS = ("AES256", "aws:kms", "aws:kms:dsse")
_NOT_PROTECTED = "is no longer protected from deletion"
_NOT_ENCRYPTED = "is no longer encrypted"
_BACKUPS = "keeps backups for a shorter time, or none"
_STANDARD_RULE = "rule.apply_server_side_encryption_by_default"
# Attributes that mean the same in every type.
_EVERY_TYPE: tuple[_Guard, ...] = (
    *(
        _Guard(path, _NOT_PROTECTED, _is_on)
        for path in (
            *("deletion_protection", "deletion_protection_enabled", "enable_deletion_protection"),
            *("delete_protection", "termination_protection", "disable_api_termination"),
        )
    ),
    _Guard("disable_api_stop", "is no longer protected from being stopped", _is_on),
    _Guard("protect_from_scale_in", "no longer protects its instances from scale-in", _is_on),
    _Guard("skip_final_snapshot", "leaves no snapshot when it is deleted", _is_off),
    _Guard("delete_automated_backups", "loses its backups when it is deleted", _is_off),
    *(
        _Guard(path, "can be deleted with everything in it", _is_off)
        for path in ("force_destroy", "force_delete")
    ),
    *(
        _Guard(path, _BACKUPS, _count)
        for path in (
            *("backup_retention_period", "snapshot_retention_limit", "automated_snapshot_retention_period"),
            "automatic_backup_retention_days",
        )
    ),
    *(
        _Guard(path, _NOT_ENCRYPTED, _is_on)
        for path in (
            *("storage_encrypted", "encrypted", "at_rest_encryption_enabled", "encrypt_at_rest.enabled"),
            *("server_side_encryption.enabled", "root_block_device.encrypted", "sqs_managed_sse_enabled"),
            "block_device_mappings.ebs.encrypted",
        )
    ),
    *(
        _Guard(path, "no longer encrypts its traffic", _is_on)
        for path in (
            *("transit_encryption_enabled", "node_to_node_encryption.enabled"),
            "domain_endpoint_options.enforce_https",
        )
    ),
    *(
        _Guard(path, "no longer uses a KMS key of its own", _is_set)
        for path in ("kms_key_id", "kms_key_arn", "kms_master_key_id")
    ),
    # Amazon RDS, "Configuring and managing a Multi-AZ deployment for Amazon RDS", and so in ElastiCache.
    *(
        _Guard(path, "has no standby in another zone any more", _is_on)
        for path in ("multi_az", "multi_az_enabled", "automatic_failover_enabled")
    ),
    _Guard("access_logs.enabled", "no longer logs its requests", _is_on, Category.AUDIT),
)
# Attributes of single types.
_GUARDS: dict[str, tuple[_Guard, ...]] = {
    "aws_cloudtrail": (
        _Guard("enable_logging", "no longer records calls of the AWS API", _is_on, Category.AUDIT),
        _Guard("is_multi_region_trail", "records one region only", _is_on, Category.AUDIT),
        _Guard("is_organization_trail", "records one account only", _is_on, Category.AUDIT),
        _Guard(
            "include_global_service_events",
            "no longer records IAM and other global services",
            _is_on,
            Category.AUDIT,
        ),
        _Guard(
            "enable_log_file_validation",
            "no longer shows whether its files were changed",
            _is_on,
            Category.AUDIT,
        ),
        # AWS CloudTrail API, "EventSelector": management events of both kinds if it is not set.
        _Guard(
            "event_selector.include_management_events",
            "no longer records management events",
            _is_not_off,
            Category.AUDIT,
        ),
        _Guard(
            "event_selector.read_write_type", "records only reading or only writing", _is_all, Category.AUDIT
        ),
        _Guard("event_selector.data_resource", "no longer records data events", _is_set, Category.AUDIT),
        _Guard("advanced_event_selector", "records fewer kinds of events", _count_items, Category.AUDIT),
    ),
    # Amazon VPC, "Create a flow log": accepted traffic, rejected traffic, or all.
    "aws_flow_log": (
        _Guard("traffic_type", "records only accepted or only rejected traffic", _is_all, Category.AUDIT),
    ),
    "aws_cloudwatch_log_group": (
        _Guard("retention_in_days", "keeps logs for a shorter time", _count_days, Category.AUDIT),
    ),
    "aws_config_configuration_recorder_status": (
        _Guard("is_enabled", "no longer records changes of resources", _is_on, Category.AUDIT),
    ),
    "aws_guardduty_detector": (_Guard("enable", "no longer looks for threats", _is_on, Category.AUDIT),),
    "aws_dynamodb_table": (
        _Guard("point_in_time_recovery.enabled", "can't be restored to a point in time", _is_on),
    ),
    "aws_ebs_encryption_by_default": (_Guard("enabled", "no longer encrypts new volumes", _is_on),),
    "aws_efs_backup_policy": (_Guard("backup_policy.status", "has no backups any more", _is_on),),
    "aws_dlm_lifecycle_policy": (_Guard("state", "makes no snapshots any more", _is_on),),
    "aws_kms_key": (
        # AWS KMS, "ScheduleKeyDeletion": 30 days if it is not set.
        _Guard("deletion_window_in_days", "leaves less time to stop its deletion", _count_or(30)),
        _Guard("enable_key_rotation", "is no longer rotated", _is_on),
        _Guard(
            "is_enabled",
            "is disabled: what it encrypts can't be read",
            _is_not_off,
        ),
    ),
    "aws_secretsmanager_secret": (
        # AWS Secrets Manager, "DeleteSecret": 30 days if it is not set, and 0 deletes at once.
        _Guard("recovery_window_in_days", "leaves less time to restore it after its deletion", _count_or(30)),
    ),
    # Amazon ECR, "Preventing image tags from being overwritten in Amazon ECR".
    "aws_ecr_repository": (
        _Guard("image_tag_mutability", "lets the images behind its tags be replaced", _is_immutable),
    ),
    "aws_s3_bucket": (
        _Guard("versioning.enabled", "no longer keeps old versions", _is_on),
        _Guard("object_lock_enabled", "no longer locks objects", _is_on),
    ),
    "aws_s3_bucket_versioning": (
        _Guard("versioning_configuration.status", "no longer keeps old versions", _is_on),
        _Guard(
            "versioning_configuration.mfa_delete", "lets versions be deleted without a second factor", _is_on
        ),
    ),
    "aws_s3_bucket_lifecycle_configuration": (
        _Guard("rule.expiration.days", "deletes objects sooner", _count_days),
        _Guard(
            "rule.noncurrent_version_expiration.noncurrent_days", "deletes old versions sooner", _count_days
        ),
    ),
    "aws_s3_bucket_object_lock_configuration": (
        _Guard("rule.default_retention.days", "locks objects for a shorter time", _count),
        _Guard("rule.default_retention.years", "locks objects for a shorter time", _count),
    ),
    "aws_s3_bucket_server_side_encryption_configuration": (
        _Guard(f"{_STANDARD_RULE}.sse_algorithm", "no longer encrypts with KMS", _rank_encryption),
        _Guard(f"{_STANDARD_RULE}.kms_master_key_id", "no longer uses a KMS key of its own", _is_set),
    ),
    # Amazon SQS, "SetQueueAttributes": four days if it is not set.
    "aws_sqs_queue": (
        _Guard("message_retention_seconds", "keeps messages for a shorter time", _count_or(345600)),
    ),
    # Amazon Kinesis, "IncreaseStreamRetentionPeriod": 24 hours if it is not set.
    "aws_kinesis_stream": (_Guard("retention_period", "keeps records for a shorter time", _count_or(24)),),
    **dict.fromkeys(
        ("kubernetes_persistent_volume", "kubernetes_persistent_volume_v1"),
        (
            _Guard(
                "spec.persistent_volume_reclaim_policy",
                "is deleted with its claim, with the data",
                _is_retained,
            ),
        ),
    ),
    **dict.fromkeys(
        ("kubernetes_storage_class", "kubernetes_storage_class_v1"),
        (_Guard("reclaim_policy", "deletes new volumes with their claims, with the data", _is_retained),),
    ),
}
# Lists whose elements are kinds of logs.
_LOG_LISTS = ("enabled_cluster_log_types", "enabled_cloudwatch_logs_exports")
# Ends of paths in a chart's values, with the value that keeps the data (Helm, "Chart Development Tips and
# Tricks", and the words that charts have in common).
_KEPT_VALUES = {
    "reclaimPolicy": "retain",
    "helm.sh/resource-policy": "keep",
    "persistence.enabled": "true",
    "backup.enabled": "true",
    "backups.enabled": "true",
}


@dataclass(frozen=True)
class _Protector:
    """A type that protects another resource: without it the protection ends.

    Attributes:
        text: The effect of its deletion, as the rest of a sentence that begins with the address.
        category: The category of the finding.
        target: The attribute that names the protected resource. If that is deleted, too, no protection is
            missing. Empty if it protects no single resource.

    """

    text: str
    category: Category = Category.SAFETY
    target: str = ""


_PROTECTORS: dict[str, _Protector] = {
    "aws_s3_bucket_versioning": _Protector("the bucket keeps no old versions any more", target="bucket"),
    "aws_s3_bucket_object_lock_configuration": _Protector(
        "the bucket locks no objects any more", target="bucket"
    ),
    "aws_s3_bucket_server_side_encryption_configuration": _Protector(
        "the bucket encrypts with S3's own key", target="bucket"
    ),
    "aws_s3_bucket_replication_configuration": _Protector("the bucket has no copy any more", target="bucket"),
    "aws_s3_bucket_logging": _Protector("requests to the bucket are not logged", Category.AUDIT, "bucket"),
    "aws_ebs_encryption_by_default": _Protector("new volumes are not encrypted by default"),
    "aws_backup_plan": _Protector("it makes no backups any more"),
    "aws_backup_selection": _Protector("its resources have no backups any more", target="plan_id"),
    "aws_backup_vault_lock_configuration": _Protector("backups can be deleted", target="backup_vault_name"),
    "aws_dlm_lifecycle_policy": _Protector("it makes no snapshots any more"),
    "aws_efs_backup_policy": _Protector("the file system has no backups", target="file_system_id"),
    "aws_db_instance_automated_backups_replication": _Protector("backups have no copy in another region"),
    "aws_cloudtrail": _Protector("calls of the AWS API are not recorded", Category.AUDIT),
    "aws_flow_log": _Protector("network traffic is not recorded", Category.AUDIT, "vpc_id"),
    "aws_config_configuration_recorder": _Protector("changes of resources are not recorded", Category.AUDIT),
    "aws_config_configuration_recorder_status": _Protector(
        "changes of resources are not recorded", Category.AUDIT
    ),
    "aws_config_delivery_channel": _Protector("AWS Config delivers no records", Category.AUDIT),
    "aws_guardduty_detector": _Protector("GuardDuty no longer looks for threats", Category.AUDIT),
    "aws_securityhub_account": _Protector("findings are no longer collected", Category.AUDIT),
    "aws_accessanalyzer_analyzer": _Protector("access from outside is no longer reported", Category.AUDIT),
    "aws_inspector2_enabler": _Protector("vulnerabilities are no longer reported", Category.AUDIT),
    "aws_macie2_account": _Protector("sensitive data is no longer reported", Category.AUDIT),
    "aws_wafv2_web_acl_logging_configuration": _Protector(
        "requests are not logged", Category.AUDIT, "resource_arn"
    ),
    "aws_route53_query_log": _Protector("queries are not logged", Category.AUDIT, "zone_id"),
    "aws_redshift_logging": _Protector("queries are not logged", Category.AUDIT, "cluster_identifier"),
    "aws_cloudwatch_log_subscription_filter": _Protector(
        "logs are no longer sent on", Category.AUDIT, "log_group_name"
    ),
}
# Attributes by which another resource names one.
_NAMES = ("id", "arn", "name", "bucket", "identifier", "cluster_identifier", "zone_id")


def find(change: Change, changes: Sequence[Change]) -> Iterator[Finding]:
    """Yield the findings of a resource that protects less than before.

    Args:
        change: The change of the resource.
        changes: All changes of the plan. What protects a resource that is deleted is no longer needed.

    """
    if change.action == "delete":
        yield from _find_removed(change, changes)
    elif change.action in ("update", "replace") and change.before is not None:
        yield from _find_weaker(change)
        yield from _find_fewer_logs(change)
        if change.type == "helm_release":
            yield from _find_in_values(change)


def _find_removed(change: Change, changes: Sequence[Change]) -> Iterator[Finding]:
    protector = _PROTECTORS.get(change.type)
    if protector is None:
        return
    target = (change.before or {}).get(protector.target)
    gone = target is not None and any(
        other.action == "delete" and target in [(other.before or {}).get(name) for name in _NAMES]
        for other in changes
        if other is not change
    )
    if not gone:
        yield _build_finding(change, protector.category, f"is deleted: {protector.text}", ())


def _find_weaker(change: Change) -> Iterator[Finding]:
    found: dict[tuple[Category, str], list[Difference]] = {}
    guards = _sort_guards(change.type)
    for guard in (guard for name in change.changed for guard in guards.get(name, ())):
        before = _get_weakest(change.before, guard)
        rank = _rank(before, guard)
        if rank <= 0:
            continue
        after = _get_weakest(change.after, guard)
        # A value that only the provider computes stays as it is.
        if _rank(after, guard) < rank and (after is not UNKNOWN or change.is_configured(guard.path)):
            item = Difference(guard.path, before, after)
            found.setdefault((guard.category, guard.text), []).append(item)
    for (category, text), items in found.items():
        yield _build_finding(change, category, text, items)


@cache
def _sort_guards(kind: str) -> dict[str, list[_Guard]]:
    """Return the guards of a type by the attribute that they are in."""
    guards: dict[str, list[_Guard]] = {}
    for guard in (*_EVERY_TYPE, *_GUARDS.get(kind, ())):
        guards.setdefault(top_level(guard.path), []).append(guard)
    return guards


def _get_weakest(state: Any, guard: _Guard) -> Any:
    """Return the value of an attribute; of repeated blocks the one that protects least."""
    states = [state]
    for name in guard.path.split("."):
        states = [block.get(name) for item in states for block in list_blocks(item)]
    return min(states, key=lambda value: _rank(value, guard), default=None)


def _rank(value: Any, guard: _Guard) -> float:
    # An unknown value may be any.
    return -1.0 if value is UNKNOWN else guard.rank(value.value if isinstance(value, Sensitive) else value)


def _find_fewer_logs(change: Change) -> Iterator[Finding]:
    for name in (name for name in _LOG_LISTS if name in change.changed):
        before, after = (value or [] for value in change.get(name))
        if isinstance(before, list) and isinstance(after, list):
            items = [Difference(name, item, None) for item in before if item not in after]
            if items:
                yield _build_finding(change, Category.AUDIT, "records fewer kinds of logs", items)


def _find_in_values(change: Change) -> Iterator[Finding]:
    """Yield the finding of a chart whose values keep data less safe; a value that is gone may be false."""
    if not isinstance(change.get("values")[1], list):
        return
    old, new = map(read_keys, change.get("values"))
    items = [
        Difference(f"values: {path}", value, new.get(path, ("", None))[1])
        for path, (_, value) in old.items()
        for ending, kept in _KEPT_VALUES.items()
        if path.endswith(ending) and str(value).lower() == kept
        if str(new.get(path, ("", None))[1]).lower() != kept
    ]
    if items:
        yield _build_finding(change, Category.SAFETY, "no longer keeps or backs up its data", items)


def _build_finding(change: Change, category: Category, text: str, items: Sequence[Difference]) -> Finding:
    return Finding(category, needs_approval=True, address=change.address, text=text, differences=tuple(items))
