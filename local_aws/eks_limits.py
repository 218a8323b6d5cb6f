"""The limits of EKS's API: lengths, numbers and list sizes, from botocore's copy of its API model.

botocore itself checks only the lower limits, and the AWS provider few of both. EKS checks all.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.model import OperationModel, Shape


def find_violation(method: str, path: str, body: dict[str, Any]) -> str | None:
    """Return EKS's message for the first value of a request that is outside its limits."""
    for pattern, operation in _read_operations():
        if operation.http["method"] == method and pattern.fullmatch(path) and operation.input_shape:
            return next(_check_value(operation.input_shape, body, "body"), None)
    return None


@functools.cache
def _read_operations() -> list[tuple[re.Pattern[str], OperationModel]]:
    model = botocore.session.get_session().get_service_model("eks")
    operations = [model.operation_model(name) for name in model.operation_names]
    return [
        (re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation.http["requestUri"]))), operation)
        for operation in operations
    ]


def _check_value(shape: Any, value: Any, name: str) -> Iterator[str]:
    """Yield a message for each value that is outside the limits; its name is the path in the request."""
    measure, size = ("value", value) if isinstance(value, int | float) else ("length", len(value))
    least, most = shape.metadata.get("min", size), shape.metadata.get("max", size)
    if not least <= size <= most:
        limit = f"greater than or equal to {least}" if size < least else f"less than or equal to {most}"
        yield (
            f"1 validation error detected: Value at '{name}' failed to satisfy constraint: Member must have "
            f"{measure} {limit}"
        )
    for member, item, item_name in _list_members(shape, value, name):
        yield from _check_value(member, item, item_name)


def _list_members(shape: Any, value: Any, name: str) -> Iterator[tuple[Shape, Any, str]]:
    match shape.type_name:
        case "structure":
            for key, member in shape.members.items():
                written = member.serialization.get("name", key)
                if value.get(written) is not None:
                    yield member, value[written], f"{name}.{written}"
        case "list":
            for item in value:
                yield shape.member, item, f"{name}.member"
        case "map":
            for key, item in value.items():
                yield shape.key, key, f"{name}.key"
                yield shape.value, item, f"{name}.{key}.value"
