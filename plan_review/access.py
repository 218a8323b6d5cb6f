"""Access: IAM, access to clusters, Pod Security levels, and policy documents in any resource.

A change needs an approval if it may grant more than before, not if it only takes rights away.
"""

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Any

from plan_review.findings import Category, Finding
from plan_review.plan import Change
from plan_review.policy_diff import diff_statements, read_statements
from plan_review.values import (
    UNKNOWN,
    Difference,
    Sensitive,
    find_unmatched,
    is_within,
    list_blocks,
    top_level,
)

# Types that grant access, with or without a policy document.
GRANTS = re.compile(
    r"aws_(iam|ssoadmin|identitystore|ram|lakeformation)_|aws_eks_(access|pod_identity|identity_provider)"
    r"|aws_(kms_grant|lambda_permission|s3_bucket_acl)$"
    r"|kubernetes_(cluster_)?role(_binding)?(_v1)?$"
)
# Attributes of such types that grant nothing.
_NO_GRANT = frozenset(
    {
        *("id", "arn", "name", "name_prefix", "description", "path", "tags", "tags_all", "unique_id"),
        *("create_date", "created_at", "modified_at", "etag", "version", "association_id", "policy_id"),
        *("association_arn", "access_entry_arn", "attachment_count", "force_detach_policies", "timeouts"),
        *("default_version_id", "owner_arn", "external_id", "region", "key_fingerprint"),
    }
)
# Attributes of other types that give the rights of a role, or a way to them.
_GRANTING: dict[str, tuple[str, ...]] = {
    "aws_eks_cluster": ("access_config", "role_arn"),
    "aws_eks_node_group": ("node_role_arn",),
    "aws_eks_addon": ("pod_identity_association", "service_account_role_arn"),
    "aws_instance": ("iam_instance_profile", "metadata_options"),
    "aws_launch_template": ("iam_instance_profile", "metadata_options"),
    "aws_lambda_function": ("role",),
    "aws_ecs_task_definition": ("task_role_arn", "execution_role_arn"),
    "kubernetes_service_account": ("metadata",),
    "kubernetes_service_account_v1": ("metadata",),
}
_ENDPOINT = "aws_vpc_endpoint"
# Levels of the Pod Security Standards, the strictest first (Kubernetes, "Pod Security Admission").
_POD_SECURITY = "pod-security.kubernetes.io/enforce"
_POD_SECURITY_LEVELS = ("restricted", "baseline", "privileged")


@dataclass(frozen=True)
class Document:
    """An attribute that holds a policy: its path, and its statements before and after."""

    path: str
    before: Any
    after: Any


def find(change: Change) -> Iterator[Finding]:
    """Yield the findings of a resource that grants access or holds a policy document."""
    yield from _find_pod_security(change)
    if change.action in ("no-op", "forget", "read"):
        return
    documents = find_changed_documents(change)
    diff: list[str] = []
    widens = False
    for document in documents:
        lines, wider = diff_statements(document.before, document.after)
        if lines:
            diff += [f"  {document.path}:", *lines]
        # Without a policy of its own an endpoint lets everything through (AWS PrivateLink, "Control access
        # to VPC endpoints using endpoint policies").
        widens |= wider and not (change.action == "create" and change.type.startswith(_ENDPOINT))
    covered = tuple((change.address, document.path) for document in documents)
    others = tuple(
        item
        for item in change.differences
        if _may_grant(change, item) and not any(is_within(item.path, path) for _, path in covered)
    )
    if not diff and not others:
        return
    yield Finding(
        Category.ACCESS,
        needs_approval=widens or (change.action != "delete" and any(map(_may_widen, others))),
        address=change.address,
        text=f"is {_PAST[change.action]}",
        differences=others,
        diff=tuple(diff),
        covers=covered,
    )


def find_changed_documents(change: Change) -> list[Document]:
    """Return the policy documents of a resource that differ or can't be read."""
    return [
        document
        for name in change.changed
        for document in _find_documents(
            (change.before or {}).get(name), (change.after_as_written or {}).get(name), name
        )
        # Not the policies that a provider computes.
        if document.after is not UNKNOWN or change.is_configured(document.path)
    ]


_NO_DOCUMENT = (int, float, NoneType)
_PAST = {"create": "created", "update": "changed", "replace": "replaced", "delete": "deleted"}


def _may_grant(change: Change, item: Difference) -> bool:
    """Return whether a resource may grant access by an attribute."""
    top = top_level(item.path)
    if not GRANTS.match(change.type):
        return change.action != "create" and top in _GRANTING.get(change.type, ())
    # An attribute that the configuration does not set has the provider's default. An element of a list
    # may come from a dynamic block, which the configuration in a plan does not show.
    written = item.before is not None or change.is_configured(top) or "[" in item.path
    return top not in _NO_GRANT and written


def _may_widen(item: Difference) -> bool:
    """Return whether an attribute may grant more than before; a permissions boundary limits."""
    if item.path == "permissions_boundary":
        return item.before is not None
    # Amazon EC2, "Use the Instance Metadata Service to access instance metadata".
    if item.path.endswith(".http_tokens"):
        return str(item.after) != "required"
    if item.path.endswith(".http_put_response_hop_limit"):
        is_lower = isinstance(item.before, int) and isinstance(item.after, int) and item.after < item.before
        return item.after is not None and not is_lower
    return item.after is not None


def _find_pod_security(change: Change) -> Iterator[Finding]:
    """Yield the finding of a namespace that gets another Pod Security level."""
    if not change.type.startswith("kubernetes_namespace") or change.action not in (
        "create",
        "update",
        "replace",
    ):
        return
    old, new = (_get_pod_security_level(state) for state in (change.before, change.after))
    if old == new:
        return
    rank = {level: index for index, level in enumerate(_POD_SECURITY_LEVELS)}
    loosest = len(rank)
    yield Finding(
        Category.ACCESS,
        needs_approval=new == "privileged"
        or (old is not None and rank.get(str(new), loosest) > rank.get(str(old), loosest)),
        address=change.address,
        text="sets the Pod Security level of its pods",
        differences=(Difference(f"metadata[0].labels[{json.dumps(_POD_SECURITY)}]", old, new),),
    )


def _get_pod_security_level(state: dict[str, Any] | None) -> Any:
    for metadata in list_blocks((state or {}).get("metadata")):
        labels = metadata.get("labels")
        return labels.get(_POD_SECURITY) if isinstance(labels, dict) else labels
    return None


def _find_documents(before: Any, after: Any, path: str) -> Iterator[Document]:
    """Yield each policy document that differs or can't be read."""
    # Most attributes are equal, and comparing them costs next to nothing. A number is no document.
    if before == after or (isinstance(before, _NO_DOCUMENT) and isinstance(after, _NO_DOCUMENT)):
        return
    if isinstance(before, dict | None) and isinstance(after, dict | None):
        for key in dict.fromkeys([*(before or {}), *(after or {})]):
            yield from _find_documents(
                (before or {}).get(key), (after or {}).get(key), f"{path}.{key}" if path else key
            )
    elif isinstance(before, list | None) and isinstance(after, list | None):
        # Elements that both have are skipped: the list may be a set, which has no order.
        removed, added = find_unmatched(before or [], after or [])
        for index, (old, item) in enumerate(itertools.zip_longest(removed, added, fillvalue=(0, None))):
            yield from _find_documents(old[1], item[1], f"{path}[{index}]")
    else:
        left, right = read_statements(before), read_statements(after)
        is_policy = left is not None or right is not None
        hidden = after is UNKNOWN or isinstance(after, Sensitive)
        may_be_policy = hidden and re.search(r"(^|[._])polic(y|ies)(_json|_document)?(\[\d+\])?$", path)
        if is_policy or may_be_policy:
            yield Document(path, left, after if hidden else right)
