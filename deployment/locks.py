"""The locks of the states: who holds one, and how to go on."""

import datetime as dt
import getpass
import json
import platform
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from deployment.aws import is_denied
from stacks.backend import Backend, state_key
from stacks.errors import UserError
from stacks.settings import Settings

UNKNOWN = "unknown"
HTTP_CONFLICT, HTTP_PRECONDITION_FAILED = 409, 412


class LockError(UserError):
    """Somebody else works on a state; the message says who, since when, and what to do."""


@dataclass(frozen=True)
class Lock:
    """The lock of a state.

    Attributes:
        id: Its ID.
        who: The user and the machine that hold it.
        since: When it was taken.
        operation: The holder's operation, in Terraform's words.

    """

    id: str
    who: str
    since: str
    operation: str

    def __str__(self) -> str:
        """Return the holder, the time and the operation."""
        return f"locked by {self.who} since {self.since} ({self.operation})"


def lock_key(environment: str, stack: str) -> str:
    """Return the key of a lock: Terraform, "Backend Type: s3", "State Locking"."""
    return f"{state_key(environment, stack)}.tflock"


def read_lock(s3: Any, bucket: str, key: str) -> Lock | None:
    """Return a lock; None if the state is not locked.

    Raises:
        ClientError: If the lock may not be read.

    """
    try:
        content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    try:
        found = json.loads(content)
        since = f"{found['Created'][:19].replace('T', ' ')} UTC"
        return Lock(found["ID"], found["Who"], since, found["Operation"])
    except (ValueError, TypeError, KeyError):
        return Lock(UNKNOWN, "an object that Terraform did not write", UNKNOWN, UNKNOWN)


def refuse_locked_states(s3: Any, settings: Settings, backend: Backend, stacks: Iterable[str]) -> None:
    """Check that nobody else works on the states of some stacks.

    Raises:
        LockError: If somebody does.

    """
    lines = describe_locks(s3, settings, backend, stacks)
    if lines:
        raise LockError("\n".join([*lines, "Nothing was changed."]))


def describe_locks(s3: Any, settings: Settings, backend: Backend, stacks: Iterable[str]) -> list[str]:
    """Return a line for each locked state: who holds the lock, and how to wait for it or to remove it.

    A lock that may not be read has none: Terraform refuses a locked state all the same.
    """
    lines = []
    for stack in stacks:
        try:
            lock = read_lock(s3, backend.bucket, lock_key(settings.environment, stack))
        except ClientError as error:
            if not is_denied(error):
                raise
            continue
        if lock:
            lines.append(_describe(lock, backend.bucket, settings.environment, stack))
    return lines


def _describe(lock: Lock, bucket: str, environment: str, stack: str) -> str:
    return (
        f"{stack}: {state_key(environment, stack)} in the bucket {bucket} is {lock}. Wait until that run has "
        f"ended, then repeat. If its process is dead: make unlock ENV={environment} STACKS={stack}"
    )


@contextmanager
def held_lock(s3: Any, bucket: str, environment: str, stack: str, *, operation: str) -> Iterator[None]:
    """Lock a state in the way of Terraform, until the end of the block.

    Raises:
        LockError: If somebody else holds the lock.

    """
    key, id_ = lock_key(environment, stack), str(uuid.uuid4())
    content = {
        "ID": id_,
        "Operation": operation,
        "Info": "",
        "Who": f"{getpass.getuser()}@{platform.node()}",
        "Version": "",
        "Created": dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z"),
        "Path": f"{bucket}/{state_key(environment, stack)}",
    }
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(content).encode(), IfNoneMatch="*")
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (
            HTTP_CONFLICT,
            HTTP_PRECONDITION_FAILED,
        ):
            raise
        lock = read_lock(s3, bucket, key) or Lock(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
        raise LockError(_describe(lock, bucket, environment, stack)) from None
    try:
        yield
    finally:
        s3.delete_object(Bucket=bucket, Key=key)
