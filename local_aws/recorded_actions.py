"""A record of the IAM actions, each with its resource, that Terraform's requests to ministack need.

docs/deployer_policy.json is compared with it. The resource is `*` where ministack does not know it.
Terraform, its providers and its S3 backend say in the header User-Agent who they are.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import iam_actions
from ministack.core.responses import get_account_id

Dispatch = Callable[..., Awaitable[Any]]


def apply(file: Path) -> None:
    """Record into a file; call this once, before ministack serves."""
    app._dispatch_service_request = _record(app._dispatch_service_request, file)


def _record(dispatch: Dispatch, file: Path) -> Dispatch:
    seen: set[str] = set()

    async def dispatch_and_record(method: str, path: str, headers: Any, body: bytes, *rest: Any) -> Any:
        if "Terraform/" in headers.get("user-agent", ""):
            parameters = app._routing_params(method, path, headers, body, rest[0])
            service = app.detect_service(method, path, headers, parameters)
            action = iam_actions.extract_iam_action(service, method, path, headers, body, parameters)
            # ministack knows no IAM actions of Service Quotas, whose requests name them in a header.
            name = action or f"{service}:{headers.get('x-amz-target', path).rpartition('.')[2]}"
            region, account = app.extract_region(headers), get_account_id()
            resource = iam_actions.extract_resource_arn(
                service, method, path, headers, body, parameters, region, account
            )
            line = f"{name} {resource}\n"
            if line not in seen:
                seen.add(line)
                with file.open("a", encoding="utf-8") as record:
                    record.write(line)
        return await dispatch(method, path, headers, body, *rest)

    return dispatch_and_record
