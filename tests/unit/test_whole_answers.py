"""The emulator's server writes an answer at once."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.protocol.events import Body, EndBody, Response
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import ConnectionState

from local_aws import whole_answers


@pytest.fixture
def patched() -> Iterator[None]:
    """Apply the patch for one test."""
    unpatched = H11Protocol._send_h11_event  # noqa: SLF001 - the function that the patch replaces
    whole_answers.apply()
    yield
    H11Protocol._send_h11_event = unpatched  # type: ignore[method-assign] # noqa: SLF001


def write_answer(*bodies: bytes) -> list[bytes]:
    """Answer one request with these parts of a body, and return what each write sends."""
    written: list[bytes] = []

    async def send(event: Any) -> None:
        if isinstance(event, RawData):
            written.append(event.data)

    async def spawn(*_arguments: Any) -> Any:
        return asyncio.Queue[Any]().put

    async def answer() -> None:
        protocol = H11Protocol(
            SimpleNamespace(),
            Config(),
            WorkerContext(None),
            SimpleNamespace(spawn_app=spawn),
            ConnectionState({}),
            ssl=False,
            client=None,
            server=None,
            send=send,
        )
        await protocol.handle(RawData(data=b"GET / HTTP/1.1\r\nHost: aws\r\n\r\n"))
        length = str(sum(map(len, bodies))).encode()
        await protocol.stream_send(
            Response(stream_id=1, headers=[(b"content-length", length)], status_code=200)
        )
        for body in bodies:
            await protocol.stream_send(Body(stream_id=1, data=body))
        await protocol.stream_send(EndBody(stream_id=1))

    asyncio.run(answer())
    return written


@pytest.mark.usefixtures("patched")
def test_headers_and_body_go_out_together() -> None:
    """A client never waits for the body of an answer whose headers it has."""
    (whole,) = write_answer(b"first, ", b"second")
    assert whole.startswith(b"HTTP/1.1 200")
    assert whole.endswith(b"\r\n\r\nfirst, second")


@pytest.mark.usefixtures("patched")
def test_a_long_answer_goes_out_in_parts() -> None:
    """The server does not keep a large object in memory a second time."""
    parts = write_answer(*[b"x" * 50_000] * 4)
    assert len(parts) > 1
    assert b"".join(parts).endswith(b"\r\n\r\n" + b"x" * 200_000)
