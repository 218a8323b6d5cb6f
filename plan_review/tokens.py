"""Tokens, passwords and other secrets that get another value. The report never shows the value."""

import re
from collections.abc import Iterator

from plan_review.findings import Category, Finding
from plan_review.plan import Change
from plan_review.values import Difference, Sensitive

# The number beside a write-only attribute: `data_wo_revision`, `password_wo_version` (Terraform, "Use
# write-only arguments").
WRITE_ONLY_VERSION = re.compile(r"(^|\.|\])\w+_wo_(version|revision)$")
_SECRETS = frozenset(
    {
        *("aws_secretsmanager_secret_version", "aws_ssm_parameter", "aws_iam_access_key"),
        *("kubernetes_secret", "kubernetes_secret_v1", "random_password", "tls_private_key"),
    }
)
# Attributes of other types, such as `password` of a database and `auth_token` of a cache.
_SECRET_NAMES = re.compile(r"(^|_)(passwords?|tokens?|secrets?|private_key|api_key|access_key)$")
_SECRET_VALUES = re.compile(r"^(secret_string|secret_binary|value|data|binary_data|secret|result)\b")


def find(change: Change) -> Iterator[Finding]:
    """Yield the finding of a secret that gets another value."""
    if change.action not in ("update", "replace"):
        return
    items = tuple(
        item
        for item in change.differences
        if (WRITE_ONLY_VERSION.search(item.path) and item.before is not None) or _is_secret(change, item)
    )
    if items:
        yield Finding(
            Category.TOKEN,
            needs_approval=False,
            address=change.address,
            text="gets another value",
            differences=items,
        )


def _is_secret(change: Change, item: Difference) -> bool:
    if not isinstance(item.before, Sensitive):
        return False
    known = change.type in _SECRETS and _SECRET_VALUES.match(item.path)
    return bool(known or _SECRET_NAMES.search(re.split(r"[.\[]", item.path)[-1]))
