"""Rules of Amazon S3: names of buckets and lifecycle rules."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from plan_review.plan import Change
from plan_review.refusals.refusal import Refusal, get_number, get_text, is_new, is_sent
from plan_review.values import list_blocks

_NAMES = "Amazon S3, General purpose bucket naming rules"
_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_LIFECYCLE = "Amazon S3, Transitioning objects using Amazon S3 Lifecycle"
_INFREQUENT = ("STANDARD_IA", "ONEZONE_IA")
_INFREQUENT_DAYS = 30
_MOST_RULES = 1000
_LONGEST_ID = 255


def find(change: Change) -> Iterator[Refusal]:
    """Yield the refusals of one bucket or of its lifecycle rules."""
    if change.type == "aws_s3_bucket" and is_new(change):
        name = get_text(change.after, "bucket")
        problem = _find_problem(name) if name else ""
        if problem:
            yield Refusal("bucket", name, problem, _NAMES)
    if change.type == "aws_s3_bucket_lifecycle_configuration" and is_sent(change, "rule"):
        yield from _find_in_rules(list_blocks((change.after or {}).get("rule")))


def _find_problem(name: str) -> str:
    """Return the rule that a name breaks; empty if it breaks none."""
    if not 3 <= len(name) <= 63:  # noqa: PLR2004 # the limits
        return f"a name has 3 to 63 characters, this one {len(name)}"
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*[a-z0-9]", name):
        return "a name has small letters, digits, dots and hyphens, with a letter or a digit at both ends"
    if ".." in name:
        return "a name has no two dots in a row"
    if name.startswith(_PREFIXES) or name.endswith(_SUFFIXES):
        return f"a name doesn't begin with {', '.join(_PREFIXES)} or end with {', '.join(_SUFFIXES)}"
    try:
        IPv4Address(name)
    except ValueError:
        return ""
    return "a name is no IP address"


def _find_in_rules(rules: list[dict[str, Any]]) -> Iterator[Refusal]:
    names = [get_text(rule, "id") for rule in rules]
    for repeated in sorted({name for name in names if name and names.count(name) > 1}):
        yield Refusal("rule.id", repeated, "each ID is used once", "Amazon S3 API, LifecycleRule")
    if len(rules) > _MOST_RULES:
        text = f"a bucket has at most {_MOST_RULES:,} rules"
        yield Refusal("rule", len(rules), text, "Amazon S3 API, PutBucketLifecycleConfiguration")
    for rule in rules:
        name = get_text(rule, "id")
        if len(name) > _LONGEST_ID:
            text = f"an ID has at most {_LONGEST_ID} characters"
            yield Refusal("rule.id", name, text, "Amazon S3 API, LifecycleRule")
        yield from _find_days(rule, "transition", "expiration", "days")
        yield from _find_days(
            rule, "noncurrent_version_transition", "noncurrent_version_expiration", "noncurrent_days"
        )


def _find_days(rule: dict[str, Any], moves: str, ends: str, days: str) -> Iterator[Refusal]:
    """Yield transitions that come too early, and an expiration that comes before them."""
    last = 0.0
    for move in list_blocks(rule.get(moves)):
        number = get_number(move, days)
        if number is None:
            continue
        last = max(last, number)
        kind = get_text(move, "storage_class")
        if kind in _INFREQUENT and number < _INFREQUENT_DAYS:
            text = f"objects move to {kind} after {_INFREQUENT_DAYS} days or later"
            yield Refusal(f"rule.{moves}.{days}", number, text, _LIFECYCLE)
    end = get_number(rule, f"{ends}.{days}")
    if end and last and end <= last:
        text = f"an expiration comes after the last transition, which is after {last:g} days"
        yield Refusal(f"rule.{ends}.{days}", end, text, _LIFECYCLE)
