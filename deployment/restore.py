"""Restore an older version of a state in S3.

Without Terraform, which can't replace a state that it can't read.
"""

import json
import uuid
from typing import Any

from deployment.aws import create_client, refuse_other_account
from deployment.locks import held_lock, refuse_locked_states
from deployment.questions import AnswerError, ask
from deployment.states import (
    PERMISSIONS_SECTION,
    STATE_VERSION,
    History,
    State,
    StateError,
    Version,
    read_planned_states,
)
from stacks.backend import Backend, state_key
from stacks.settings import Settings

SHOWN = 20


def restore(
    settings: Settings,
    backend: Backend,
    stack: str,
    *,
    version_id: str | None,
    is_empty: bool,
    assume_yes: bool,
) -> None:
    """Show the versions of a stack's state, ask which one to restore, and write it as the newest version.

    It gets a higher serial than the others. So Terraform refuses plans that were made before, and the state
    does not look set back.

    Args:
        settings: The environment's settings.
        backend: The state bucket.
        stack: The stack.
        version_id: The version to restore; asked for if None.
        is_empty: Whether to write an empty state instead, so that the stack can be deployed anew.
        assume_yes: Whether to write without a question.

    Raises:
        AnswerError: If the user says no.
        LockError: If somebody else works on the state.
        StateError: If there is no such version, or if it is no state; if not all versions may be listed and
            read; if somebody has written the state since the versions were shown.

    """
    refuse_other_account(settings.aws)
    s3 = create_client("s3", settings.aws, region=backend.region)
    environment, key = settings.environment, state_key(settings.environment, stack)
    refuse_locked_states(s3, settings, backend, [stack])
    history = History(s3, backend.bucket, key)
    shown = {version: _read(history, version) for version in history.versions[:SHOWN]}
    _refuse_missing_rights(history)
    newest = (
        f"the newest {SHOWN} of {len(history.versions)} versions"
        if history.versions[SHOWN:]
        else "all versions"
    )
    print(f"{backend.bucket}/{key}, {newest}, the newest first:")
    for number, (version, state) in enumerate(shown.items(), start=1):
        print(f"{number:4}  {version.utc}  {_describe(state):32}  {version.id}")
    states = [state for state in shown.values() if isinstance(state, State)]
    planned, lineage = read_planned_states(environment).get(stack, (0, ""))
    if is_empty:
        source, document = "an empty state", _make_empty(states, lineage)
    else:
        version = _choose(list(shown), history, version_id)
        state = _read(history, version)
        _refuse_missing_rights(history)
        if not isinstance(state, State):
            raise StateError(f"{stack}: the version {version.id} {state}. Choose another version")
        source, document = f"the version of {version.utc}", state.document
        states.append(state)
    if (is_empty or version_id) and not assume_yes and ask(f"Write {source}? [yes/no]") != "yes":
        raise AnswerError("You did not say yes. The state stays as it is")
    serial = max([planned, *(state.serial for state in states)]) + 1
    # Only now, since somebody may remove the lock of a command that waits for an answer.
    with held_lock(s3, backend.bucket, environment, stack, operation="restore"):
        if History(s3, backend.bucket, key).versions[:1] != history.versions[:1]:
            raise StateError(f"{stack}: somebody has written the state meanwhile. It stays as it is; repeat")
        s3.put_object(
            Bucket=backend.bucket,
            Key=key,
            Body=json.dumps({**document, "serial": serial}, indent=2).encode() + b"\n",
            ContentType="application/json",
            ServerSideEncryption="AES256",  # as Terraform with `encrypt`
        )
    print(
        f"{stack}: {source} is the newest version now, with serial {serial}. See whether it fits what is "
        f"deployed: make plan ENV={environment}"
    )


def _refuse_missing_rights(history: History) -> None:
    """Refuse to go on without all versions: a state that was deleted would look as if it had never been."""
    if history.missing_rights:
        raise StateError(
            f"{history.key}: not all of its versions may be listed and read: "
            f"{', '.join(sorted(history.missing_rights))} is missing ({PERMISSIONS_SECTION}). "
            "The state stays as it is"
        )


def _read(history: History, version: Version) -> State | str:
    return "is a deletion" if version.is_deletion else history.read(version) or "may not be read"


def _describe(state: State | str) -> str:
    if isinstance(state, str):
        return state.partition(":")[0]
    return f"serial {state.serial}, {state.resources} resource(s)"


def _choose(shown: list[Version], history: History, version_id: str | None) -> Version:
    """Return the version that the command line or the user names.

    Raises:
        AnswerError: If the user names none.
        StateError: If there is no such version.

    """
    if version_id:
        found = next((version for version in history.versions if version.id == version_id), None)
        if found is None:
            raise StateError(f"{history.key}: has no version {version_id}. Accepted: an ID of the list above")
        return found
    if not shown:
        raise StateError(f"{history.key}: no version of it is left. To begin anew: --empty")
    answer = ask(f"Which one becomes the newest? Its number, 1 to {len(shown)}, or no:")
    if not answer.isdecimal() or not 1 <= int(answer) <= len(shown):
        raise AnswerError("You named no version. The state stays as it is")
    return shown[int(answer) - 1]


def _make_empty(states: list[State], planned: str) -> dict[str, Any]:
    """Return a state without resources.

    Args:
        states: The other versions, the newest first.
        planned: The lineage that the last plan saw, which the next plan requires; empty if there was no plan.

    """
    lineages = [state.lineage for state in states] or [planned or str(uuid.uuid4())]
    lineage = planned if planned in lineages else lineages[0]
    return {"version": STATE_VERSION, "serial": 0, "lineage": lineage, "outputs": {}, "resources": []}
