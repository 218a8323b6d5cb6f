"""What all settings models share.

Not here: any setting.
"""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

# Short enough that `<environment>-<thing>-<key>` is a legal name everywhere in AWS and Kubernetes.
MapKey = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$")]


class SettingsModel(BaseModel):
    """Frozen, and an unknown key is an error: a misspelt setting must not be silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


def mistake(at: tuple[str, ...], value: object, accepted: str) -> PydanticCustomError:
    """Return the error of a mistake that shows only when several fields are seen together.

    Args:
        at: Path of the field to change, below the field whose validator raises this.
        value: What stands there.
        accepted: What would be accepted there, as the end of a sentence.

    """
    return PydanticCustomError("mistake", "{accepted}", {"at": at, "value": value, "accepted": accepted})


def refuse_duplicates(entries: Iterable[object]) -> None:
    """Raise a mistake for the first entry that is there twice."""
    seen: set[object] = set()
    for index, entry in enumerate(entries):
        if entry in seen:
            raise mistake((str(index),), str(entry), "must not be in the list twice")
        seen.add(entry)
