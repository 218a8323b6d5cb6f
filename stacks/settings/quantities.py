"""Kubernetes quantities, such as 500m CPU or 4Gi memory, as pydantic types.

The settings refuse a quantity that Kubernetes would refuse.
"""

import re
from decimal import Decimal
from math import ceil
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

# "Resource Management for Pods and Containers" and "Quantity" in the Kubernetes documentation.
_CPU = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]{1,3})?)(?P<suffix>m?)")
_BYTES = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]{1,3})?)(?P<suffix>[KMGTPE]i|[kMGTPE]?)")
FACTORS = {"": Decimal(1), "m": Decimal("0.001"), "k": Decimal(1000)}
FACTORS |= {suffix: Decimal(1000) ** power for power, suffix in enumerate("MGTPE", start=2)}
FACTORS |= {f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)}
"""The factor of each suffix that the settings accept, by the suffix."""


def quantity(text: str) -> Decimal:
    """Return a quantity's amount in its base unit.

    Args:
        text: A CPU quantity (base unit: vCPU) or a byte quantity (base unit: byte).

    Raises:
        ValueError: If the string is neither.

    """
    match = _CPU.fullmatch(text) or _BYTES.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a Kubernetes quantity")
    return Decimal(match["number"]) * FACTORS[match["suffix"]]


def cpu_text(amount: Decimal) -> str:
    """Return a CPU amount (vCPU) as Kubernetes itself writes it, rounded up to 1m."""
    millicpu = ceil(amount / FACTORS["m"])
    return f"{millicpu}m" if millicpu % 1000 else str(millicpu // 1000)


def byte_text(amount: Decimal) -> str:
    """Return an amount of bytes as Kubernetes itself writes it, rounded up to 1Mi."""
    number, suffixes = ceil(amount / FACTORS["Mi"]), iter(("Gi", "Ti", "Pi"))
    suffix = "Mi"
    while number and not number % 1024:
        number, suffix = number // 1024, next(suffixes)
    return f"{number}{suffix}"


def _write_number_as_string(value: object) -> object:
    # YAML reads `cpu_request: 1` as a number; Kubernetes accepts numbers and strings.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _require_cpu(text: str) -> str:
    if not _CPU.fullmatch(text) or not quantity(text) or quantity(text) % FACTORS["m"]:
        raise ValueError(
            'must be a CPU quantity above zero in steps of 1m, such as "500m", "1" or "1.5" (vCPU)'
        )
    return text


def _require_bytes(text: str) -> str:
    # Kubernetes reads 4 as four bytes; users mean 4Gi.
    if not _BYTES.fullmatch(text) or quantity(text) < FACTORS["Mi"]:
        raise ValueError(
            'must be a byte quantity of 1Mi or more, such as "512Mi", "4Gi" or "1.5G" (not "GB")'
        )
    return text


CpuQuantity = Annotated[str, BeforeValidator(_write_number_as_string), AfterValidator(_require_cpu)]
ByteQuantity = Annotated[str, BeforeValidator(_write_number_as_string), AfterValidator(_require_bytes)]
