"""Who may do what: IAM, access to clusters, and every policy document, as a diff of its statements.

A change needs an approval if it may grant more than before; one that only takes away does not.
"""

import difflib
import itertools
import json
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plan_review.findings import Danger, Finding
from plan_review.plan import Change
from plan_review.values import UNKNOWN, Difference, Sensitive, blocks, is_within, parsed, top_level, unmatched

# Types that grant something by being there, with or without a policy document.
GRANTS = re.compile(
    r"aws_(iam|ssoadmin|identitystore|ram|lakeformation)_|aws_eks_(access|pod_identity|identity_provider)"
    r"|aws_(kms_grant|lambda_permission|s3_bucket_acl)$"
    r"|kubernetes_(cluster_)?role(_binding)?(_v1)?$|google_.*_iam_|azurerm_role_(assignment|definition)$"
)
# Attributes of such types that name or count, and grant nothing.
_NO_GRANT = frozenset(
    {
        *("id", "arn", "name", "name_prefix", "description", "path", "tags", "tags_all", "unique_id"),
        *("create_date", "created_at", "modified_at", "etag", "version", "association_id", "policy_id"),
        *("association_arn", "access_entry_arn", "attachment_count", "force_detach_policies", "timeouts"),
        *("default_version_id", "owner_arn", "external_id", "region", "key_fingerprint"),
    }
)
# Attributes by which types that are not here for granting hand out rights of others.
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
# A level that Pod Security Standards enforce, by how much it lets pods do ("Pod Security Admission").
_POD_SECURITY = "pod-security.kubernetes.io/enforce"
_POD_SECURITY_LEVELS = ("restricted", "baseline", "privileged")

# From this share of common lines on, two statements are taken for one that was edited.
LIKENESS = 0.5

_LISTS = ("Action", "NotAction", "Resource", "NotResource")
_PRINCIPALS = ("Principal", "NotPrincipal")


@dataclass(frozen=True)
class _Document:
    """One attribute that holds a policy: its path, and its statements before and after."""

    path: str
    before: Any
    after: Any


def find(change: Change) -> Iterator[Finding]:
    """Yield the finding of a resource that grants, or that has a policy document."""
    yield from _pod_security(change)
    if change.action in ("no-op", "forget", "read"):
        return
    documents = [
        document
        for document in _documents(change.before, change.after_as_written, "")
        # A provider computes policies that nobody has written.
        if document.after is not UNKNOWN or change.is_configured(document.path)
    ]
    diff: list[str] = []
    widens = False
    for document in documents:
        lines, wider = _statements_diff(document.before, document.after)
        if lines:
            diff += [f"  {document.path}:", *lines]
        widens |= wider
    covered = tuple(document.path for document in documents)
    others = tuple(
        item
        for item in change.differences
        if _may_grant(change, item) and not any(is_within(item.path, path) for path in covered)
    )
    if not diff and not others:
        return
    yield Finding(
        Danger.ACCESS,
        needs_approval=widens or (change.action != "delete" and any(map(_gives, others))),
        address=change.address,
        text=f"is {_PAST[change.action]}",
        differences=others,
        diff=tuple(diff),
        covers=covered,
    )


_PAST = {"create": "created", "update": "changed", "replace": "replaced", "delete": "deleted"}


def _may_grant(change: Change, item: Difference) -> bool:
    """Return whether an attribute is one by which a resource grants."""
    top = top_level(item.path)
    if not GRANTS.match(change.type):
        return change.action != "create" and top in _GRANTING.get(change.type, ())
    # What nobody has written is a default of the provider's. A list may come from a dynamic block,
    # which a plan's configuration does not tell.
    written = item.before is not None or change.is_configured(top) or "[" in item.path
    return top not in _NO_GRANT and written


def _gives(item: Difference) -> bool:
    """Return whether an attribute may grant more than before; a boundary grants by its absence."""
    if item.path == "permissions_boundary":
        return item.before is not None
    return item.after is not None


def _pod_security(change: Change) -> Iterator[Finding]:
    """Yield the finding of a namespace that lets its pods do more."""
    if not change.type.startswith("kubernetes_namespace") or change.action not in (
        "create",
        "update",
        "replace",
    ):
        return
    old, new = (_pod_security_level(state) for state in (change.before, change.after))
    if old == new:
        return
    rank = {level: index for index, level in enumerate(_POD_SECURITY_LEVELS)}
    loosest = len(rank)
    yield Finding(
        Danger.ACCESS,
        needs_approval=new == "privileged"
        or (old is not None and rank.get(str(new), loosest) > rank.get(str(old), loosest)),
        address=change.address,
        text="sets what its pods may do",
        differences=(Difference(f"metadata[0].labels[{json.dumps(_POD_SECURITY)}]", old, new),),
    )


def _pod_security_level(state: dict[str, Any] | None) -> Any:
    for metadata in blocks((state or {}).get("metadata")):
        labels = metadata.get("labels")
        return labels.get(_POD_SECURITY) if isinstance(labels, dict) else labels
    return None


def _documents(before: Any, after: Any, path: str) -> Iterator[_Document]:
    """Yield each policy document in a resource that differs, or that can't be read."""
    if isinstance(before, dict | None) and isinstance(after, dict | None):
        for key in dict.fromkeys([*(before or {}), *(after or {})]):
            yield from _documents(
                (before or {}).get(key), (after or {}).get(key), f"{path}.{key}" if path else key
            )
    elif isinstance(before, list | None) and isinstance(after, list | None):
        # Without what both have: the list may be a set, which has no order.
        gone, new = unmatched(before or [], after or [])
        for index, (old, item) in enumerate(itertools.zip_longest(gone, new, fillvalue=(0, None))):
            yield from _documents(old[1], item[1], f"{path}[{index}]")
    elif before != after or after is UNKNOWN:
        left, right = _policy(before), _policy(after)
        is_policy = left is not None or right is not None
        hidden = after is UNKNOWN or isinstance(after, Sensitive)
        may_be_policy = hidden and re.search(r"(^|[._])polic(y|ies)(_json|_document)?(\[\d+\])?$", path)
        if is_policy or may_be_policy:
            yield _Document(path, left, after if hidden else right)


def _policy(value: Any) -> list[dict[str, Any]] | None:
    """Return the statements of a policy document in a text; None if it is no such text."""
    document = parsed(value) if isinstance(value, str) else None
    if not isinstance(document, dict) or "Statement" not in document:
        return None
    statements = document["Statement"]
    statements = statements if isinstance(statements, list) else [statements]
    return statements if all(isinstance(item, dict) for item in statements) else None


def _statements_diff(before: Any, after: Any) -> tuple[list[str], bool]:
    """Return the changed statements as lines of a diff, and whether they may grant more."""
    if not isinstance(after, list | None):
        gone = [f"- {line}" for item in before or [] for line in _lines(_normal(item))]
        return [*gone, f"+ {after}"], True
    lines: list[str] = []
    widens = False
    for old, new in _pairs(before or [], after or []):
        if old == new:
            continue
        left, right = _lines(old) if old else [], _lines(new) if new else []
        # Whole statements; and ndiff takes for ever where many lines are alike.
        changed = difflib.unified_diff(left, right, lineterm="", n=len(left))
        lines += [f"{line[0]} {line[1:]}" for line in itertools.islice(changed, 3, None)]
        widens |= _widens(old, new)
    return lines, widens


def _pairs(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> list[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """Pair the statements of two documents: those that are equal, then by Sid, then by likeness."""
    left = [_normal(item) for item in before]
    right = [_normal(item) for item in after]
    pairs: list[tuple[dict[str, Any] | None, dict[str, Any] | None]] = []
    for match in (operator.eq, _same_sid, _alike):
        for old in list(left):
            new = next((item for item in right if match(old, item)), None)
            if new is not None:
                pairs.append((old, new))
                left.remove(old)
                right.remove(new)
    return [*pairs, *((old, None) for old in left), *((None, new) for new in right)]


def _same_sid(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return bool(old.get("Sid")) and old.get("Sid") == new.get("Sid")


def _alike(old: dict[str, Any], new: dict[str, Any]) -> bool:
    ratio = difflib.SequenceMatcher(None, _lines(old), _lines(new), autojunk=False).ratio()
    return old["Effect"] == new["Effect"] and ratio >= LIKENESS


def _normal(statement: dict[str, Any]) -> dict[str, Any]:
    """Return a statement in one form: IAM takes a single value for a list of one, and keeps no order."""
    normal = {"Effect": statement.get("Effect", "Allow")} | statement
    for key in _LISTS:
        if key in normal:
            normal[key] = _sorted(normal[key])
    for key in _PRINCIPALS:
        if key in normal:
            given = normal[key]
            normal[key] = (
                {kind: _sorted(part) for kind, part in given.items()} if isinstance(given, dict) else given
            )
    condition = normal.get("Condition")
    if isinstance(condition, dict):
        normal["Condition"] = {
            operator: {key: _sorted(part) for key, part in keys.items()} if isinstance(keys, dict) else keys
            for operator, keys in condition.items()
        }
    return normal


def _sorted(value: Any) -> list[Any]:
    return sorted(map(str, value if isinstance(value, list) else [value]))


def _lines(statement: dict[str, Any]) -> list[str]:
    """Return a statement as lines, one for each thing that it names."""
    sid = f" {statement['Sid']}" if statement.get("Sid") else ""
    lines = [f"{statement['Effect']}{sid}"]
    for key in _PRINCIPALS:
        given = statement.get(key)
        if isinstance(given, dict):
            lines += [f"  {key} {kind}: {part}" for kind, parts in sorted(given.items()) for part in parts]
        elif given is not None:
            lines.append(f"  {key}: {given}")
    for key in _LISTS:
        lines += [f"  {key}: {part}" for part in statement.get(key, [])]
    condition = statement.get("Condition")
    if isinstance(condition, dict):
        lines += [
            f"  Condition {operator} {key}: {part}"
            for operator, keys in sorted(condition.items())
            for key, parts in (sorted(keys.items()) if isinstance(keys, dict) else [("", [keys])])
            for part in parts
        ]
    return lines


def _widens(old: dict[str, Any] | None, new: dict[str, Any] | None) -> bool:
    """Return whether going from one statement to another may allow something that was not."""
    if old is None or new is None:
        there = old or new or {}
        return bool((there["Effect"] == "Allow") == (old is None))
    if old["Effect"] != new["Effect"] or old.get("Condition") != new.get("Condition"):
        return True
    for key in ("Action", "Resource", "Principal", "NotAction", "NotResource", "NotPrincipal"):
        left, right = (set(_flat(item.get(key))) for item in (old, new))
        if left == right:
            continue
        grows = not right <= left or not right
        shrinks = not left <= right or not left
        # A key with Not, and a Deny, turn it round: more there is less granted.
        if shrinks if key.startswith("Not") != (new["Effect"] == "Deny") else grows:
            return True
    return False


def _flat(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{kind}: {part}" for kind, parts in value.items() for part in parts]
    return value if isinstance(value, list) else [] if value is None else [str(value)]
