"""Client tokens, which ministack 1.5.33 ignores: a request that is repeated is done once.

An SDK repeats a request whose answer was lost. AWS gives the first answer again if the request has the same
token and the same parameters (Amazon EC2, "Ensuring idempotency in Amazon EC2 API requests"; EKS API,
"clientRequestToken"). Without that, each lost answer would double an object. EC2 refuses the same token with
other parameters. EKS does not document its answer; here it is that of a wrong parameter.
"""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from ministack import app
from ministack.services import ec2, eks

from local_aws.eks_refusals import INVALID

HTTP_ERROR = 400
_EC2_TOKEN, _EKS_TOKEN = "ClientToken", "clientRequestToken"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+/[^/]+)/")  # region and service of a signature

Dispatch = Callable[..., Awaitable[Any]]
Answers = dict[tuple[str, ...], tuple[dict[str, Any], Any]]


def apply() -> None:
    """Let ministack know them; call this once, before it serves."""
    answers: Answers = {}
    reset = app._reset_all_state

    def reset_and_forget() -> None:
        reset()
        answers.clear()

    app._dispatch_service_request = _answer_once(app._dispatch_service_request, answers)
    app._reset_all_state = reset_and_forget


def _answer_once(dispatch: Dispatch, answers: Answers) -> Dispatch:
    async def dispatch_or_repeat(method: str, path: str, headers: Any, body: bytes, *rest: Any) -> Any:
        parameters = _read(body)
        token = parameters.pop(_EC2_TOKEN, None) or parameters.pop(_EKS_TOKEN, None)
        if not token:
            return await dispatch(method, path, headers, body, *rest)
        scope = _SCOPE.search(headers.get("authorization", ""))
        key = (scope[1] if scope else "", method, path, parameters.get("Action", ""), token)
        if key not in answers:
            answer = await dispatch(method, path, headers, body, *rest)
            if answer[0] >= HTTP_ERROR:
                return answer  # AWS keeps no token of a request that it has refused
            answers[key] = parameters, answer
        first, answer = answers[key]
        return answer if parameters == first else _refuse(token, in_ec2="Action" in parameters)

    return dispatch_or_repeat


def _read(body: bytes) -> dict[str, Any]:
    """Return the parameters of a request that has a token."""
    if f"{_EC2_TOKEN}=".encode() in body:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    if f'"{_EKS_TOKEN}"'.encode() in body:
        try:
            found = json.loads(body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
    return {}


def _refuse(token: str, *, in_ec2: bool) -> Any:
    message = f"the client token {token} was used before, with other parameters"
    if in_ec2:
        return ec2._error("IdempotentParameterMismatch", message, HTTP_ERROR)
    return eks._error(HTTP_ERROR, INVALID, message)
