"""What all settings models share.

Not here: any setting.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

# Short enough that `<name_prefix>-<thing>-<key>` is a legal name everywhere in AWS and Kubernetes.
MapKey = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$")]
MAP_KEY_RULE = "names have up to 30 of a-z, 0-9 and -, start with a letter and do not end with -"

Region = Annotated[str, Field(pattern=r"^([a-z]{2}|eusc)(-[a-z]+)+-[0-9]$")]

# A URL's optional port, 1 to 65535.
PORT = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"

Mistake = tuple[tuple[str, ...], object, str]
"""Path of the field to change, below the field of the validator; what stands there; what is accepted."""


class SettingsModel(BaseModel):
    """Frozen, and an unknown key is an error: a misspelt setting must not be silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


def _range(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        network = IPv4Network(value, strict=False)
    except ValueError:
        network = None
    if network is None or not re.fullmatch(r"[0-9.]+/[0-9]+", value):
        raise ValueError("must be an IPv4 range as address/prefix length, such as 10.0.0.0/16")
    if str(network) != value:
        raise ValueError(f"must be the range's first address and its prefix length: {network}")
    return value


Ipv4Range = Annotated[IPv4Network, BeforeValidator(_range)]


def refuse(mistakes: Iterable[Mistake]) -> None:
    """Raise one error that holds all mistakes that show only when several values are seen together."""
    found = list(mistakes)
    if found:
        kind = "mistakes"  # file.py words them
        raise PydanticCustomError(kind, kind, {"mistakes": found})


def refuse_duplicates(entries: Iterable[object]) -> None:
    """Refuse each entry that is there before."""
    listed = [str(entry) for entry in entries]
    refuse(
        ((str(index),), entry, "must not be in the list twice")
        for index, entry in enumerate(listed)
        if entry in listed[:index]
    )
