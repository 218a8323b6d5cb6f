"""The base class of all settings models, their shared types, and functions that refuse values."""

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

# Short enough that `<name_prefix>-<name>-<key>` is a legal name everywhere in AWS and Kubernetes.
MapKey = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$")]
MAP_KEY_RULE = "names have up to 30 of a-z, 0-9 and -, start with a letter and do not end with -"

Region = Annotated[str, Field(pattern=r"^([a-z]{2}|eusc)(-[a-z]+)+-[0-9]$")]

Mistake = tuple[tuple[str, ...], object, str]
"""(path relative to the validated field or model, value, what is accepted)"""


class SettingsModel(BaseModel):
    """Frozen; an unknown key is an error, so that a misspelt setting is not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


def refuse(mistakes: Iterable[Mistake]) -> None:
    """Raise one error that holds all `mistakes`, if there are any."""
    found = list(mistakes)
    if found:
        kind = "mistakes"  # messages.py words them
        raise PydanticCustomError(kind, kind, {"mistakes": found})


def find_duplicates(entries: Iterable[object]) -> Iterator[Mistake]:
    """Yield each entry of a list that is in the list before."""
    seen = set()
    for index, entry in enumerate(map(str, entries)):
        if entry in seen:
            yield (str(index),), entry, "must not be in the list twice"
        seen.add(entry)
