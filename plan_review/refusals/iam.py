"""Rules of AWS IAM: sizes and grammar of policies.

The sizes are from IAM, "IAM and AWS STS quotas": IAM does not count white space.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from plan_review.plan import Change
from plan_review.refusals.refusal import Refusal, get_text, is_new, is_sent
from plan_review.values import is_unknown, list_blocks, parse_json

_QUOTAS = "IAM, IAM and AWS STS quotas"
_GRAMMAR = "IAM, Grammar of the IAM JSON policy language"
_MANAGED = 6144
_TRUST, _TRUST_MOST = 2048, 4096
_MANAGED_OF_ROLE = 10
# By type: the attribute that names the identity, and the characters of its inline policies together.
_INLINE = {
    "aws_iam_role_policy": ("role", 10240),
    "aws_iam_user_policy": ("user", 2048),
    "aws_iam_group_policy": ("group", 5120),
}
_DOCUMENTS = {"aws_iam_policy": "policy", **dict.fromkeys(_INLINE, "policy")}
_TRUSTS = {"aws_iam_role": "assume_role_policy"}
_STATEMENT_KEYS = {
    *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource"),
    "Condition",
}
_VERSIONS = ("2012-10-17", "2008-10-17")


def find(change: Change) -> Iterator[Refusal]:
    """Yield the refusals of one policy."""
    for name, is_trust in [(_DOCUMENTS.get(change.type), False), (_TRUSTS.get(change.type), True)]:
        text = get_text(change.after, name) if name else ""
        if not name or not text or not is_sent(change, name):
            continue
        size = _count(text)
        if is_trust and size > _TRUST:
            rule = f"a trust policy has at most {_TRUST:,} characters, or {_TRUST_MOST:,} with a higher quota"
            yield Refusal(name, f"{size:,} characters", rule, _QUOTAS, is_certain=size > _TRUST_MOST)
        if change.type == "aws_iam_policy" and size > _MANAGED:
            rule = f"a managed policy has at most {_MANAGED:,} characters"
            yield Refusal(name, f"{size:,} characters", rule, _QUOTAS)
        yield from _find_mistakes(name, parse_json(text), is_trust=is_trust)


def _count(text: str) -> int:
    return len(re.sub(r"\s", "", text))


def _find_mistakes(name: str, policy: Any, *, is_trust: bool) -> Iterator[Refusal]:
    """Yield what is wrong with a policy document, one mistake of each kind."""
    if not isinstance(policy, dict):
        return
    version = policy.get("Version")
    if isinstance(version, str) and version not in _VERSIONS:
        yield Refusal(f"{name}.Version", version, f"{' and '.join(_VERSIONS)} are accepted", _GRAMMAR)
    if "Statement" not in policy:
        yield Refusal(name, policy, "a policy has a Statement", _GRAMMAR)
    statements = list_blocks(policy.get("Statement"))
    found: dict[tuple[str, str], Any] = {}
    for statement in statements:
        for key, rule, value in _list_mistakes(statement, is_trust=is_trust):
            found.setdefault((key, rule), value)
    names = [str(item["Sid"]) for item in statements if item.get("Sid")]
    for sid in {sid for sid in names if names.count(sid) > 1}:
        found["Sid", "each Sid is used once in a policy"] = sid
    for (key, rule), value in found.items():
        yield Refusal(f"{name}.Statement.{key}", value, rule, _GRAMMAR)


def _list_mistakes(statement: dict[str, Any], *, is_trust: bool) -> Iterator[tuple[str, str, Any]]:
    """Yield the mistakes of a statement: the element, the rule and the value."""
    keys = statement.keys()
    if keys - _STATEMENT_KEYS:
        key = min(keys - _STATEMENT_KEYS)
        # A name in other letters is not judged.
        if key.lower() not in {name.lower() for name in _STATEMENT_KEYS}:
            yield key, "there is no such element", statement[key]
        return
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield "Effect", "Allow and Deny are accepted", statement.get("Effect")
    sid = statement.get("Sid")
    if isinstance(sid, str) and not re.fullmatch(r"[0-9A-Za-z]*", sid):
        yield "Sid", "letters and digits are accepted", sid
    if not keys & {"Action", "NotAction"}:
        yield "Action", "a statement has an Action or a NotAction", None
    for item in (*_list(statement.get("Action")), *_list(statement.get("NotAction"))):
        if item != "*" and not re.fullmatch(r"[^:\s]+:\S+", item):
            yield "Action", "an action is a service, a colon and a name", item
    yield from (_list_mistakes_of_trust if is_trust else _list_mistakes_of_identity)(statement)


def _list_mistakes_of_trust(statement: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for key in sorted(statement.keys() & {"Resource", "NotResource"}):
        yield key, "a trust policy has no resource: it is about its role", statement[key]
    if not statement.keys() & {"Principal", "NotPrincipal"}:
        yield "Principal", "a trust policy names who may take the role", None


def _list_mistakes_of_identity(statement: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for key in sorted(statement.keys() & {"Principal", "NotPrincipal"}):
        yield key, "a policy of an identity names no principal", statement[key]
    if not statement.keys() & {"Resource", "NotResource"}:
        yield "Resource", "a statement has a Resource or a NotResource", None
    for item in (*_list(statement.get("Resource")), *_list(statement.get("NotResource"))):
        if not item.startswith(("*", "?", "arn:", "${")):
            yield "Resource", "an ARN or * is accepted", item


def _list(value: Any) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def find_together(changes: Sequence[Change]) -> Iterator[tuple[Change, Refusal]]:
    """Yield the identities with too many or too long policies, as far as the plan has them."""
    inline: defaultdict[tuple[str, str], list[Change]] = defaultdict(list)
    attached: defaultdict[str, dict[str, Change]] = defaultdict(dict)
    for change in changes:
        if change.after is None or change.action == "forget":
            continue
        if change.type in _INLINE:
            inline[change.type, get_text(change.after, _INLINE[change.type][0])].append(change)
        elif change.type == "aws_iam_role_policy_attachment":
            attached[get_text(change.after, "role")][_describe_policy(change)] = change
    for (kind, name), policies in inline.items():
        most = _INLINE[kind][1]
        size = sum(_count(get_text(change.after, "policy")) for change in policies)
        sent = [change for change in policies if change.action != "no-op" and is_sent(change, "policy")]
        if sent and size > most and (name or len(policies) == 1):
            rule = f"the inline policies of an identity have at most {most:,} characters together"
            yield sent[-1], Refusal("policy", f"{size:,} characters", rule, _QUOTAS)
    for role, found in attached.items():
        new = [change for change in found.values() if is_new(change)]
        if role and new and len(found) > _MANAGED_OF_ROLE:
            rule = f"a role has at most {_MANAGED_OF_ROLE} managed policies, or more with a higher quota"
            yield new[-1], Refusal("role", f"{len(found)} policies", rule, _QUOTAS, is_certain=False)


def _describe_policy(change: Change) -> str:
    value = (change.after or {}).get("policy_arn")
    return change.address if is_unknown(value) else str(value)
