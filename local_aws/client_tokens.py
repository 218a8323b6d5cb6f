"""Client tokens, which ministack 1.5.33 ignores: a request that is repeated is done once.

An SDK repeats a request whose answer was lost. AWS gives the first answer again if the request has the same
token and the same parameters (Amazon EC2, "Ensuring idempotency in Amazon EC2 API requests"; EKS API,
"clientRequestToken"). Without that, each lost answer would double an object.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app

HTTP_ERROR = 400
_TOKENS = (b"ClientToken=", b'"clientRequestToken"')

Dispatch = Callable[..., Awaitable[Any]]


def apply() -> None:
    """Let ministack know them; call this once, before it serves."""
    app._dispatch_service_request = _answer_once(app._dispatch_service_request)


def _answer_once(dispatch: Dispatch) -> Dispatch:
    answers: dict[tuple[str, bytes], Any] = {}

    async def dispatch_or_repeat(method: str, path: str, headers: Any, body: bytes, *rest: Any) -> Any:
        if not any(token in body for token in _TOKENS):
            return await dispatch(method, path, headers, body, *rest)
        if (path, body) not in answers:
            answer = await dispatch(method, path, headers, body, *rest)
            if answer[0] >= HTTP_ERROR:
                return answer  # AWS keeps no token of a request that it has refused
            answers[path, body] = answer
        return answers[path, body]

    return dispatch_or_repeat
