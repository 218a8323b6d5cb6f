"""The pull-through cache rules of ECR, which ministack 1.5.33 does not have.

The rules are only kept: no image is pulled. Like ECR, they need a credential that is in Secrets Manager.
"""

import json
import time
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, error_response_json, get_account_id
from ministack.services import ecr, secretsmanager

_rules = AccountRegionScopedDict()


def apply() -> None:
    """Replace a function of ministack; call this once, before it serves."""
    handle = ecr.handle_request

    async def handle_or_keep(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        keep = ACTIONS.get(headers.get("x-amz-target", "").rpartition(".")[2])
        if keep:
            return keep(json.loads(body))
        return await handle(method, path, headers, body, query)

    ecr.handle_request = handle_or_keep


def _create(body: dict[str, Any]) -> Any:
    prefix = body["ecrRepositoryPrefix"]
    if prefix in _rules:
        return _refuse("PullThroughCacheRuleAlreadyExistsException", f"A rule with prefix {prefix} exists")
    if refusal := _find_missing_secret(body):
        return refusal
    _rules[prefix] = {**body, "registryId": get_account_id(), "createdAt": time.time()}
    return _answer(_rules[prefix])


def _describe(body: dict[str, Any]) -> Any:
    wanted = body.get("ecrRepositoryPrefixes") or list(_rules)
    missing = [prefix for prefix in wanted if prefix not in _rules]
    if missing:
        return _missing(missing[0])
    return _answer({"pullThroughCacheRules": [_rules[prefix] for prefix in wanted]})


def _update(body: dict[str, Any]) -> Any:
    prefix = body["ecrRepositoryPrefix"]
    if prefix not in _rules:
        return _missing(prefix)
    if refusal := _find_missing_secret(body):
        return refusal
    _rules[prefix] = {**_rules[prefix], **body}
    return _answer(_rules[prefix])


def _delete(body: dict[str, Any]) -> Any:
    rule = _rules.pop(body["ecrRepositoryPrefix"], None)
    return _answer(rule) if rule else _missing(body["ecrRepositoryPrefix"])


def _find_missing_secret(body: dict[str, Any]) -> Any:
    arn = body.get("credentialArn")
    if arn in {secret["ARN"] for secret in secretsmanager._secrets.values()}:
        return None
    return _refuse("SecretNotFoundException", f"The secret {arn} was not found")


def _missing(prefix: str) -> Any:
    return _refuse("PullThroughCacheRuleNotFoundException", f"The rule with prefix {prefix} does not exist")


def _refuse(code: str, message: str) -> Any:
    return error_response_json(code, message, 400)


def _answer(body: dict[str, Any]) -> Any:
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()


ACTIONS = {
    "CreatePullThroughCacheRule": _create,
    "DescribePullThroughCacheRules": _describe,
    "UpdatePullThroughCacheRule": _update,
    "DeletePullThroughCacheRule": _delete,
}
