"""Kubernetes quantities as a job may write them: more forms than the settings accept."""

import re
from decimal import Decimal

from stacks.resources import Resource
from stacks.settings.quantities import FACTORS

# Kubernetes, "Quantity": a number with a sign, and one of three kinds of suffix.
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([KMGTPE]i|[numkMGTPE]?|[eE][+-]?[0-9]{1,2})")
_FACTORS = {**FACTORS, "n": Decimal("1e-9"), "u": Decimal("1e-6")}


def parse_number(text: str, most: int) -> int | None:
    """Return a number of a command line from 0 to `most`, or None if the text is none."""
    is_short = len(text) <= len(str(most))  # Python refuses to read thousands of digits
    number = int(text) if is_short and text.isdecimal() and text.isascii() else None
    return None if number is None or number > most else number


def parse_quantity(text: str) -> Decimal | None:
    """Return a quantity in its base unit (vCPU or bytes), or None if Kubernetes can't read the text."""
    match = _QUANTITY.fullmatch(text)
    if match is None or len(text) > 40:  # noqa: PLR2004 - longer ones are no amounts
        return None
    number, suffix = match.groups()
    factor = _FACTORS.get(suffix)
    return Decimal(number) * (Decimal(f"1{suffix}") if factor is None else factor)


def write_exactly(resource: Resource, amount: Decimal) -> str:
    """Return an amount as a quantity without rounding: a number of bytes if it is no multiple of 1Mi."""
    text = resource.write(amount)
    return text if parse_quantity(text) == amount else f"{amount.normalize():f}"


def correct_quantity(text: str) -> str | None:
    """Return what the author of an unreadable quantity may have meant, such as 4G for 4GB, or None."""
    compact = text.replace(" ", "").replace("_", "").replace(",", ".")
    for candidate in (compact, re.sub(r"[bB]$", "", compact)):
        number = candidate.rstrip("".join({*"kKmMgGtTiI"}))
        suffix = candidate[len(number) :]
        for form in (suffix, suffix.capitalize(), suffix.lower()):
            amount = parse_quantity(f"{number}{form}")
            if amount is not None and amount > 0:
                return f"{number}{form}"
    return None
