"""A patch for Hypercorn 0.18.0, ministack's server: an answer goes out in one write.

Hypercorn writes the headers of an answer before its body. On a machine under load, some milliseconds lie
between the two. The AWS provider then sometimes closes the connection, and sends its request again. The
second request finds that the first one has been carried out: "AlreadyExists".
"""

from typing import Any

import h11
from hypercorn.events import RawData
from hypercorn.protocol.h11 import H11Protocol

_HELD = "held"  # attribute of a connection: what it has not written yet
_MOST = 65_536  # bytes that a connection holds back; a longer answer goes out in parts


def apply() -> None:
    """Replace one function of Hypercorn."""
    H11Protocol._send_h11_event = _send  # type: ignore[assignment, method-assign]


async def _send(protocol: H11Protocol, event: Any) -> None:
    try:
        data = protocol.connection.send(event)
    except h11.LocalProtocolError:
        if protocol.connection.their_state != h11.ERROR:
            raise
        return
    held = getattr(protocol, _HELD, b"") + (data or b"")
    ends = protocol.connection.our_state is not h11.SEND_BODY
    setattr(protocol, _HELD, b"" if ends or len(held) > _MOST else held)
    if ends or len(held) > _MOST:
        await protocol.send(RawData(data=held))
