"""Intent: Terraform's protocol 6 in Python: its messages, and its values as plain Python with UNKNOWN.

The messages are compiled from tfplugin6.proto when this module is imported (a tenth of a second): no
generated code.
"""

import enum
from typing import Any, Final

import grpc
import msgpack

messages = grpc.protos("rehearsal/tfplugin6.proto")


class _Unknown(enum.Enum):
    UNKNOWN = "known after apply"


UNKNOWN: Final = _Unknown.UNKNOWN


class Refused(Exception):  # noqa: N818 - it is an answer to the user, not a fault of the program
    """Terraform gets this as an error diagnostic, with the attribute that it is about."""

    def __init__(self, summary: str, detail: str = "", path: tuple[str | int, ...] = ()) -> None:
        super().__init__(summary)
        self.diagnostic = diagnostic(summary, detail, path)


def diagnostic(summary: str, detail: str, path: tuple[str | int, ...] = (), *, warning: bool = False) -> Any:  # noqa: ANN401
    """A message to the user; `path` leads Terraform to the line in the configuration."""
    severity = messages.Diagnostic.WARNING if warning else messages.Diagnostic.ERROR
    return messages.Diagnostic(
        severity=severity, summary=summary, detail=detail, attribute=attribute_path(path)
    )


def attribute_path(path: tuple[str | int, ...]) -> Any:  # noqa: ANN401
    """Terraform's form of a path: names of attributes and blocks, positions in lists."""
    steps = [
        {"element_key_int": step} if isinstance(step, int) else {"attribute_name": step} for step in path
    ]
    return messages.AttributePath(steps=steps)


def unpack(value: Any) -> Any:  # noqa: ANN401
    """A DynamicValue's content. Extension type 0 is an unknown value, 12 one of which something is known."""
    return msgpack.unpackb(value.msgpack, ext_hook=lambda _code, _data: UNKNOWN, strict_map_key=False)


def pack(value: Any) -> Any:  # noqa: ANN401
    """The DynamicValue of a Python value."""
    return messages.DynamicValue(
        msgpack=msgpack.packb(value, default=lambda _unknown: msgpack.ExtType(0, b"\0"))
    )


def is_known(value: Any) -> bool:  # noqa: ANN401
    """Whether nothing in the value is unknown."""
    if isinstance(value, dict):
        return all(map(is_known, value.values()))
    return all(map(is_known, value)) if isinstance(value, list) else value is not UNKNOWN
