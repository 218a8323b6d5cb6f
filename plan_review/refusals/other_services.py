"""Rules of other services: AWS Lambda, Systems Manager, databases, Route 53; and refused deletions."""

from collections.abc import Iterator
from typing import Any

from plan_review.plan import Change
from plan_review.refusals.refusal import Refusal, get_text, is_new, is_sent
from plan_review.values import Sensitive, get_nested

_MAX_ENVIRONMENT = 4096
_LONGEST_FUNCTION = 64
_LONGEST_TXT = 255
# By tier: bytes of a parameter (AWS Systems Manager, "Managing parameter tiers").
_PARAMETER_SIZES = {"Standard": 4096, "Advanced": 8192}
# By type: the attribute that protects a resource from deletion. The provider does not turn it off itself.
_PROTECTED: dict[str, tuple[str, ...]] = {
    "aws_db_instance": ("deletion_protection",),
    "aws_rds_cluster": ("deletion_protection",),
    "aws_docdb_cluster": ("deletion_protection",),
    "aws_neptune_cluster": ("deletion_protection",),
    "aws_dynamodb_table": ("deletion_protection_enabled",),
    "aws_lb": ("enable_deletion_protection",),
    "aws_eks_cluster": ("deletion_protection",),
}
_SNAPSHOTS = (
    *("aws_db_instance", "aws_rds_cluster", "aws_docdb_cluster", "aws_neptune_cluster"),
    "aws_redshift_cluster",
)


def find(change: Change) -> Iterator[Refusal]:
    """Yield the refusals of one resource."""
    after = change.after or {}
    if change.type == "aws_lambda_function":
        yield from _find_function(change)
    elif change.type == "aws_ssm_parameter" and is_sent(change, "value", "tier"):
        yield from _find_parameter(after)
    elif change.type == "aws_route53_record" and is_sent(change, "records"):
        yield from _find_record(after)


def _find_parameter(after: dict[str, Any]) -> Iterator[Refusal]:
    tier = get_text(after, "tier")
    size = len(_reveal(after.get("value")).encode())
    # An account may choose the tier of parameters that name none.
    most = _PARAMETER_SIZES.get(tier or "Standard", max(_PARAMETER_SIZES.values()))
    if size > most:
        text = f"a parameter of the tier {tier or 'Standard'} has at most {most:,} bytes"
        is_certain = bool(tier) or size > max(_PARAMETER_SIZES.values())
        source = "AWS Systems Manager, Managing parameter tiers"
        yield Refusal("value", f"{size:,} bytes", text, source, is_certain=is_certain)


def _find_record(after: dict[str, Any]) -> Iterator[Refusal]:
    records = after.get("records") if get_text(after, "type") == "TXT" else None
    for record in records if isinstance(records, list) else ():
        # The provider writes a record in quotes; `""` inside begins another string.
        if isinstance(record, str) and max(map(len, record.split('"'))) > _LONGEST_TXT:
            text = f"a string of a TXT record has at most {_LONGEST_TXT} characters"
            yield Refusal("records", record, text, "Amazon Route 53, Supported DNS record types")


def _find_function(change: Change) -> Iterator[Refusal]:
    name = get_text(change.after, "function_name")
    if is_new(change) and ":" not in name and len(name) > _LONGEST_FUNCTION:
        text = f"a function's name has at most {_LONGEST_FUNCTION} characters"
        yield Refusal("function_name", name, text, "AWS Lambda API, CreateFunction")
    path = "environment.variables"
    variables = get_nested(change.after, path)
    if isinstance(variables, dict) and is_sent(change, "environment"):
        size = sum(len(key.encode()) + len(_reveal(value).encode()) for key, value in variables.items())
        if size > _MAX_ENVIRONMENT:
            text = f"the environment variables have at most {_MAX_ENVIRONMENT:,} bytes together"
            yield Refusal(path, f"{size:,} bytes", text, "AWS Lambda, Lambda quotas")


def _reveal(value: Any) -> str:
    """Return a text whose length is judged; a sensitive one is never shown."""
    value = value.value if isinstance(value, Sensitive) else value
    return value if isinstance(value, str) else ""


def find_deletion(change: Change) -> Iterator[Refusal]:
    """Yield why a resource can't be deleted."""
    before = change.before or {}
    for name in _PROTECTED.get(change.type, ()):
        if before.get(name) is True:
            text = "a protected resource can't be deleted: first apply a change that turns this off"
            yield Refusal(name, None, text, "Terraform provider aws, " + change.type, before=True)
    if (
        change.type in _SNAPSHOTS
        and before.get("skip_final_snapshot") is False
        and not before.get("replicate_source_db")
        and not before.get("final_snapshot_identifier")
    ):
        text = "the provider wants a name for the final snapshot, or skip_final_snapshot"
        yield Refusal("final_snapshot_identifier", None, text, "Terraform provider aws, " + change.type)
