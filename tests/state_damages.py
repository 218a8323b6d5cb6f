"""The ways in which a state in S3 is lost or damaged, each with the words of the error."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stacks import STACKS
from stacks.backend import state_key

NESTED = 100_000  # deeper than Python's JSON reader goes


@dataclass(frozen=True)
class StateObject:
    """The object of one stack's state in S3.

    Attributes:
        s3: A client.
        bucket: The state bucket.
        environment: The environment.
        stack: The stack.
        chance: The source of random choices.

    """

    s3: Any
    bucket: str
    environment: str
    stack: str
    chance: random.Random

    @property
    def key(self) -> str:
        """Return the key of the state."""
        return state_key(self.environment, self.stack)

    def read(self) -> bytes:
        """Return the current version."""
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=self.key)["Body"].read()
        return content

    def write(self, content: bytes) -> None:
        """Write a new version."""
        self.s3.put_object(Bucket=self.bucket, Key=self.key, Body=content)

    def delete(self) -> None:
        """Delete the object; the bucket keeps its versions."""
        self.s3.delete_object(Bucket=self.bucket, Key=self.key)

    def list_versions(self) -> list[str]:
        """Return the IDs of its versions, without delete markers, the newest first."""
        listed = self.s3.list_object_versions(Bucket=self.bucket, Prefix=self.key).get("Versions", [])
        return [item["VersionId"] for item in listed if item["Key"] == self.key]

    def remove(self, version_id: str) -> None:
        """Remove a version for good."""
        self.s3.delete_object(Bucket=self.bucket, Key=self.key, VersionId=version_id)

    def suspend_versioning(self) -> None:
        """Switch the versioning of the bucket off."""
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Suspended"})


@dataclass(frozen=True)
class Damage:
    """One way to lose or damage a state.

    Attributes:
        name: What happened, for the table.
        act: Does the damage.
        error: What the error says.
        needs_bootstrap: Whether the way back begins with `make bootstrap`.

    """

    name: str
    act: Callable[[StateObject], None]
    error: str
    needs_bootstrap: bool = field(default=False, kw_only=True)


def _delete_twice(state: StateObject) -> None:
    state.delete()
    state.delete()


def _cut_off(state: StateObject) -> None:
    content = state.read()
    state.write(content[: state.chance.randrange(1, len(content) - 1)].rstrip())


def _set_back(state: StateObject) -> None:
    """Copy an older version over the current one, as a careless restore does."""
    older = state.read()
    document = json.loads(older)
    state.write(
        json.dumps(document | {"serial": document["serial"] + 1}).encode()
    )  # as Terraform's next write
    state.write(older)


def _swap(state: StateObject) -> None:
    """Write the state of another stack."""
    other = STACKS[STACKS.index(state.stack) - 1]
    state.write(
        state.s3.get_object(Bucket=state.bucket, Key=state_key(state.environment, other))["Body"].read()
    )


def _suspend_and_delete(state: StateObject) -> None:
    state.suspend_versioning()
    state.delete()


NO_JSON, NO_STATE = "is not valid JSON: it was cut off or overwritten", "is not a Terraform state"
DAMAGES = (
    Damage("deleted", StateObject.delete, "was deleted on "),
    Damage("deleted twice", _delete_twice, "was deleted on "),
    Damage("emptied", lambda state: state.write(b""), "is empty, on "),
    Damage("cut off", _cut_off, NO_JSON),
    Damage("random bytes", lambda state: state.write(state.chance.randbytes(4096)), NO_JSON),
    Damage("a proxy's error page", lambda state: state.write(b"<html>502 Bad Gateway</html>"), NO_JSON),
    Damage("JSON, 100,000 levels deep", lambda state: state.write(b"[" * NESTED), NO_JSON),
    Damage("JSON of something else", lambda state: state.write(b'{"version": 4}'), NO_STATE),
    Damage("a JSON string", lambda state: state.write(b'"lost"'), NO_STATE),
    Damage("set back to an older version", _set_back, "was set back on "),
    Damage("overwritten by another stack's state", _swap, "by a state of another origin (lineage)"),
    Damage(
        "versioning of the bucket suspended",
        StateObject.suspend_versioning,
        "its versioning is off",
        needs_bootstrap=True,
    ),
    Damage(
        "versioning suspended, then deleted", _suspend_and_delete, "was deleted on ", needs_bootstrap=True
    ),
)
