"""Look at the states in S3 before Terraform does.

Terraform takes a deleted or empty state for a first deployment: it would create every resource a second time.
It does not see either that a state has become older, or is another stack's.
Not here: the way back (restore.py).
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from deployment.aws import create_client, is_denied
from deployment.locks import refuse_locked_states
from deployment.plan import PlansRecord, find_plans_folder
from stacks import STACKS
from stacks.backend import Backend, state_key
from stacks.errors import UserError
from stacks.settings import Settings

HTTP_NOT_FOUND = 404
STATE_VERSION = 4  # of Terraform's format, since 0.12
RESTORE_SECTION = 'docs/operations.md, "Restore a state"'
PERMISSIONS_SECTION = 'docs/operations.md, "Permissions"'


class StateError(UserError):
    """A state is lost or damaged; the message says what is wrong, and how to restore it."""


@dataclass(frozen=True)
class Version:
    """One version of a state's object in S3.

    Attributes:
        id: Its version ID; empty for the current version, if versions may not be listed.
        time: When it was written.
        is_deletion: Whether it is a delete marker.

    """

    id: str
    time: datetime
    is_deletion: bool

    @property
    def utc(self) -> str:
        """Return the time in words."""
        return f"{self.time:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True)
class State:
    """The parts of a state by which versions are compared.

    Attributes:
        serial: Terraform raises this number at each write.
        lineage: Terraform chooses this name at the first write.
        resources: The number of managed resources.
        is_deployed: Whether it has resources or outputs.
        document: The whole state.

    """

    serial: int
    lineage: str
    resources: int
    is_deployed: bool
    document: dict[str, Any]


class History:
    """All versions of one state, the newest first.

    Attributes:
        key: The key of the state.
        versions: Its versions and delete markers; only the current version if no others may be listed.
        missing_rights: The permissions without which versions could not be listed or read so far.
        is_unknown: Whether nobody can say what the current version is: it may not be read.

    """

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        """List the versions.

        Raises:
            ClientError: If S3 fails otherwise than by refusing the permission.

        """
        self._s3, self._bucket, self.key = s3, bucket, key
        self.missing_rights: set[str] = set()
        self.is_unknown = False
        try:
            pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key))
        except ClientError as error:
            _raise_unless_denied(error)
            self.missing_rights.add("s3:ListBucketVersions")
            self.versions = self._find_current()
            return
        entries = [
            (item["IsLatest"], Version(item["VersionId"], item["LastModified"], name == "DeleteMarkers"))
            for page in pages
            for name in ("Versions", "DeleteMarkers")
            for item in page.get(name, [])
            if item["Key"] == key  # the versions of the lock begin with this key, too
        ]
        # S3 lists each kind newest first; the sort keeps the order of equal times.
        self.versions = [
            item for _, item in sorted(entries, key=lambda entry: (entry[0], entry[1].time), reverse=True)
        ]

    def read(self, version: Version) -> State | str | None:
        """Return the state in a version, or what is wrong with it; None if it may not be read."""
        # Without a version ID the permission s3:GetObject suffices.
        name = {} if version is self.versions[0] else {"VersionId": version.id}
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=self.key, **name)
        except ClientError as error:
            _raise_unless_denied(error)
            self.missing_rights.add("s3:GetObjectVersion" if name else "s3:GetObject")
            self.is_unknown |= not name
            return None
        return parse_state(found["Body"].read())

    def judge(self) -> tuple[State | None, str]:
        """Return the current state, if there is one, and what is wrong with it."""
        if not self.versions:
            return None, ""
        newest = self.versions[0]
        older = [version for version in self.versions[1:] if not version.is_deletion]
        if newest.is_deletion:
            return None, self._judge_deletion(newest, older)
        state = self.read(newest)
        if isinstance(state, State):
            return state, self._judge_change(newest, state, older)
        return None, f"{state}, on {newest.utc}" if state else ""

    def _judge_change(self, newest: Version, state: State, older: list[Version]) -> str:
        """Compare a state with the version before it."""
        readable = (found for version in older if isinstance(found := self.read(version), State))
        previous = next(readable, None)
        if previous and previous.lineage != state.lineage and previous.is_deployed:
            # It is right all the same if it was restored: then this lineage was there before.
            previous = next((found for found in readable if found.lineage == state.lineage), None)
            if previous is None:
                return f"was overwritten on {newest.utc} by a state of another origin (lineage)"
        if previous and previous.lineage == state.lineage and previous.serial > state.serial:
            return f"was set back on {newest.utc}, from serial {previous.serial} to {state.serial}"
        return ""

    def _judge_deletion(self, deletion: Version, older: list[Version]) -> str:
        if not older:
            return f"was deleted on {deletion.utc}, and no version of it is left"
        last = self.read(older[0])
        if not isinstance(last, State):
            return f"was deleted on {deletion.utc}"
        if last.is_deployed:
            return f"was deleted on {deletion.utc}, with {last.resources} resource(s)"
        return ""  # the stack had been destroyed

    def _find_current(self) -> list[Version]:
        try:
            found = self._s3.head_object(Bucket=self._bucket, Key=self.key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTP_NOT_FOUND:
                return []
            _raise_unless_denied(error)
            self.missing_rights.add("s3:GetObject")
            self.is_unknown = True
            return []
        return [Version("", found["LastModified"], is_deletion=False)]


def parse_state(content: bytes) -> State | str:
    """Return a state, or what is wrong with it."""
    if not content:
        return "is empty"
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return "is not valid JSON: it was cut off or overwritten"
    try:
        managed = [item for item in document["resources"] or () if item["mode"] == "managed"]
        if document["version"] >= STATE_VERSION:  # Terraform judges a newer format
            return State(
                serial=int(document["serial"]),
                lineage=str(document["lineage"]),
                resources=sum(len(item["instances"]) for item in managed),
                is_deployed=bool(document["resources"] or document["outputs"]),
                document=document,
            )
    except (KeyError, TypeError, ValueError):
        pass
    return "is not a Terraform state: it was overwritten"


def refuse_damaged_states(settings: Settings, backend: Backend, stacks: Iterable[str] = STACKS) -> None:
    """Check that no state of the environment is lost, damaged or older than it was, or locked.

    Without the permission to list and read old versions it sees less, and says so.

    Args:
        settings: The environment's settings.
        backend: The state bucket.
        stacks: The stacks whose states must not be locked.

    Raises:
        LockError: If somebody else works on a state.
        StateError: If a state can't be used, or if S3 keeps no versions of it.

    """
    s3 = create_client("s3", settings.aws, region=backend.region)
    try:
        refuse_locked_states(s3, settings, backend, stacks)
        problems = list(_find_problems(s3, settings, backend))
    except s3.exceptions.NoSuchBucket:
        raise StateError(
            f"backend.tf.json: bucket: {backend.bucket}: there is no such bucket. Create it: make bootstrap "
            f"ENV={settings.environment}"
        ) from None
    if problems:
        raise StateError("\n".join([*problems, "Nothing was changed."]))


def _find_problems(s3: Any, settings: Settings, backend: Backend) -> Iterator[str]:
    environment, bucket = settings.environment, backend.bucket
    keeps_versions = _keeps_versions(s3, bucket)
    if keeps_versions is False:
        yield (
            f"backend.tf.json: bucket: {bucket}: its versioning is off, so a lost state could not be "
            f"restored. Switch it on: make bootstrap ENV={environment}"
        )
    histories = {stack: History(s3, bucket, state_key(environment, stack)) for stack in STACKS}
    judged = {stack: history.judge() for stack, history in histories.items()}
    states = {stack: state for stack, (state, _) in judged.items() if not histories[stack].is_unknown}
    found = {stack: problem for stack, (_, problem) in judged.items() if problem}
    for stack, history in histories.items():
        if stack in states and not history.versions and (reader := _find_deployed_after(stack, states)):
            left = "its versions may not be listed" if history.missing_rights else "no version of it is left"
            found[stack] = f"is missing, although {reader} is deployed; {left}"
    found = find_older_than_planned(read_planned_states(environment), states) | found
    for stack in STACKS:
        if stack in found:
            yield (
                f"{stack}: the state {histories[stack].key} in the bucket {bucket} {found[stack]}. Restore "
                f"it: make restore ENV={environment} STACKS={stack} ({RESTORE_SECTION})"
            )
    rights = set().union(*(history.missing_rights for history in histories.values()))
    if keeps_versions is None:
        rights.add("s3:GetBucketVersioning")
    if rights:
        print(
            f"{bucket}: a lost state may not be noticed, because rights of these credentials are missing: "
            f"{', '.join(sorted(rights))} ({PERMISSIONS_SECTION})",
            file=sys.stderr,
            flush=True,
        )


def _keeps_versions(s3: Any, bucket: str) -> bool | None:
    """Return whether the bucket keeps versions; None if that may not be read."""
    try:
        status = s3.get_bucket_versioning(Bucket=bucket).get("Status")
    except ClientError as error:
        _raise_unless_denied(error)
        return None
    return bool(status == "Enabled")


def _find_deployed_after(stack: str, states: Mapping[str, State | None]) -> str:
    """Return a deployed stack that can only be deployed after this one; empty if there is none."""
    later = STACKS[STACKS.index(stack) + 1 :]
    return next((name for name in later if (state := states.get(name)) and state.is_deployed), "")


def read_planned_states(environment: str) -> dict[str, tuple[int, str]]:
    """Return serial and lineage of each state that the last plan on this machine saw."""
    try:
        text = (find_plans_folder(environment) / "plans.json").read_text(encoding="utf-8")
        record = PlansRecord.model_validate_json(text)
    except (OSError, ValueError):
        return {}
    seen = {
        stack: re.fullmatch(r"serial (\d+) of (.+)", item.state or "")
        for stack, item in record.stacks.items()
    }
    return {stack: (int(match[1]), match[2]) for stack, match in seen.items() if match}


def find_older_than_planned(
    planned: Mapping[str, tuple[int, str]], states: Mapping[str, State | None]
) -> dict[str, str]:
    """Return a description of each state that has become older since the last plan.

    A stack that is not in `states` is not judged: its state may not be read. S3 shows no trace of a version
    that was removed for good. A plan of another bucket, such as that of an emulator before, shares no lineage
    with the states, and does not count.
    """
    lineages = {state.lineage for state in states.values() if state}
    if not any(lineage in lineages for _, lineage in planned.values()):
        return {}
    found = {}
    for stack, (serial, lineage) in planned.items():
        if stack not in states:
            continue
        state = states[stack]
        if state is None:
            now = "is missing"
        elif state.lineage != lineage:
            now = "is of another origin (lineage)"
        elif state.serial < serial:
            now = f"has serial {state.serial}"
        else:
            continue
        found[stack] = (
            f"{now}, and the last plan on this machine saw serial {serial} of {lineage}. If that is right, "
            "delete the folder of the plan below plans/"
        )
    return found


def _raise_unless_denied(error: ClientError) -> None:
    if not is_denied(error):
        raise error
