"""Lost and damaged states in an emulated S3, without Terraform: found, and restored."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from deployment import restore as restore_module
from deployment import state_bucket, states
from deployment import unlock as unlock_module
from deployment.locks import LockError, lock_key
from deployment.questions import AnswerError
from deployment.restore import restore
from deployment.states import StateError, refuse_damaged_states
from deployment.unlock import unlock
from local_aws import emulator
from stacks import STACKS
from stacks.backend import Backend
from stacks.settings import Settings
from stacks.settings.load import PROJECT, load_settings
from tests.state_damages import DAMAGES, Damage, StateObject

# One of each kind; `make chaos` does all of them to deployed stacks.
SAMPLE = [
    damage
    for damage in DAMAGES
    if damage.name
    in {
        "deleted",
        "emptied",
        "cut off",
        "JSON of something else",
        "set back to an older version",
        "overwritten by another stack's state",
        "versioning suspended, then deleted",
    }
]
BACKEND = Backend(bucket="damaged-states", region="eu-central-1", encrypt=True, use_lockfile=True)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of an emulated AWS for this module alone, with a state bucket."""
    local = load_settings(PROJECT / "environments" / "local.yaml")
    with emulator.running(tmp_path_factory.mktemp("emulator")) as url:
        aws = local.aws.model_copy(update={"endpoint_url": url})
        settings = local.model_copy(update={"aws": aws, "environment": "damaged"})
        state_bucket.create_state_bucket(aws, BACKEND)
        yield settings


@pytest.fixture(scope="module")
def s3(settings: Settings) -> Any:
    """A client of the emulated S3."""
    return emulator.client("s3", endpoint_url=str(settings.aws.endpoint_url), region=BACKEND.region)


@pytest.fixture
def state(s3: Any, settings: Settings, seed: int) -> StateObject:
    """The state of one of three deployed stacks; each state has two versions, and the bucket nothing else."""
    s3.put_bucket_versioning(Bucket=BACKEND.bucket, VersioningConfiguration={"Status": "Enabled"})
    listed = s3.list_object_versions(Bucket=BACKEND.bucket)
    for item in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=BACKEND.bucket, Key=item["Key"], VersionId=item["VersionId"])
    chance = random.Random(seed)
    objects = [StateObject(s3, BACKEND.bucket, settings.environment, stack, chance) for stack in STACKS]
    for each in objects:
        for serial, number in ((1, 1), (2, 3)):
            each.write(
                json.dumps(
                    {
                        "version": 4,
                        "serial": serial,
                        "lineage": f"lineage of {each.stack}",
                        "outputs": {"it": {"value": "ü"}},
                        "resources": [{"mode": "managed", "instances": [{}] * number}],
                    }
                ).encode()
            )
    return chance.choice(objects)


@pytest.mark.parametrize("damage", SAMPLE, ids=lambda damage: damage.name)
def test_a_damaged_state_is_named_and_restored(
    settings: Settings, state: StateObject, damage: Damage, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names bucket, key and way back; the documented commands restore what was there."""
    refuse_damaged_states(settings, BACKEND)
    before, good = json.loads(state.read()), state.list_versions()[0]
    damage.act(state)
    with pytest.raises(StateError) as refused:
        refuse_damaged_states(settings, BACKEND)
    message = str(refused.value)
    assert damage.error in message
    assert BACKEND.bucket in message
    if damage.needs_bootstrap:
        assert "make bootstrap ENV=damaged" in message
        state_bucket.create_state_bucket(settings.aws, BACKEND)
    if "make restore" in message:
        assert f"the state damaged/{state.stack}.tfstate in the bucket" in message
        assert f"Restore it: make restore ENV=damaged STACKS={state.stack}" in message
        restore(settings, BACKEND, state.stack, version_id=good, is_empty=False, assume_yes=True)
        assert re.search(rf"serial 2, 3 resource\(s\) +{good}\n", capsys.readouterr().out)
    refuse_damaged_states(settings, BACKEND)
    after = json.loads(state.read())
    assert after | {"serial": 0} == before | {"serial": 0}
    assert (after["serial"] > before["serial"]) == ("make restore" in message)


def write_state(state: StateObject, **changes: Any) -> None:
    """Write a new version with some keys changed."""
    state.write(json.dumps(json.loads(state.read()) | changes).encode())


def test_a_first_deployment_is_not_refused(settings: Settings, state: StateObject) -> None:
    """Without any state there is nothing to lose, and a stack that is not deployed yet may have none."""
    for stack in reversed(STACKS):
        each = replace(state, stack=stack)
        for version in each.list_versions():
            each.remove(version)
        refuse_damaged_states(settings, BACKEND)


def test_the_deleted_state_of_a_destroyed_stack_is_not_missed(settings: Settings, state: StateObject) -> None:
    """A state without resources may be deleted; a stack that is deployed anew has another lineage."""
    workloads = replace(state, stack="workloads")
    write_state(workloads, serial=3, resources=[], outputs={})
    workloads.delete()
    refuse_damaged_states(settings, BACKEND)
    write_state(replace(state, stack="cluster"), serial=3)
    workloads.write(replace(state, stack="network").read())
    refuse_damaged_states(settings, BACKEND)


def test_a_state_without_any_version_is_missed_by_its_readers(settings: Settings, state: StateObject) -> None:
    """The network of a deployed cluster was deployed, even if S3 has no trace of its state."""
    network = replace(state, stack="network")
    for version in network.list_versions():
        network.remove(version)
    with pytest.raises(StateError, match=r"network\.tfstate .* is missing, although cluster is deployed"):
        refuse_damaged_states(settings, BACKEND)


def test_a_stack_can_begin_anew(settings: Settings, state: StateObject) -> None:
    """After its state was deleted on purpose, `--empty` writes one without resources; it is not refused."""
    for version in state.list_versions():
        state.remove(version)
    state.delete()
    with pytest.raises(StateError, match=r"was deleted on .*, and no version of it is left"):
        refuse_damaged_states(settings, BACKEND)
    restore(settings, BACKEND, state.stack, version_id=None, is_empty=True, assume_yes=True)
    assert json.loads(state.read())["resources"] == []
    refuse_damaged_states(settings, BACKEND)


def test_the_version_is_chosen_by_its_number(
    settings: Settings,
    state: StateObject,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The list has each version, also deletions; a number that is no state, or no number, changes nothing."""
    state.delete()
    given = ["no", "1", "2"]
    monkeypatch.setattr("builtins.input", lambda _question: given.pop(0))
    arguments: dict[str, Any] = {"version_id": None, "is_empty": False, "assume_yes": False}
    with pytest.raises(AnswerError, match="The state stays as it is"):
        restore(settings, BACKEND, state.stack, **arguments)
    with pytest.raises(StateError, match=r"is a deletion\. Choose another version"):
        restore(settings, BACKEND, state.stack, **arguments)
    assert len(state.list_versions()) == 2
    restore(settings, BACKEND, state.stack, **arguments)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4].strip() for line in lines[1:4]] == ["1", "2", "3"]
    assert "make plan ENV=damaged" in lines[-1]
    assert json.loads(state.read())["serial"] == 3
    with pytest.raises(StateError, match="has no version nonsense"):
        restore(settings, BACKEND, state.stack, **arguments | {"version_id": "nonsense"})


def test_a_missing_permission_is_told(
    settings: Settings,
    state: StateObject,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without the right to list versions the current ones are judged, and a line says what is missing."""
    deny(monkeypatch, state.s3, "list_object_versions", "get_bucket_versioning")
    refuse_damaged_states(settings, BACKEND)
    assert "are missing: s3:GetBucketVersioning, s3:ListBucketVersions (docs/" in capsys.readouterr().err
    state.write(b"")
    with pytest.raises(StateError, match="is empty, on "):
        refuse_damaged_states(settings, BACKEND)


def deny(monkeypatch: pytest.MonkeyPatch, s3: Any, *operations: str, code: str = "AccessDenied") -> None:
    """Let S3 refuse some operations to all commands."""

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "Operation")

    for operation in operations:
        monkeypatch.setattr(s3, operation, refuse)
    use_client(monkeypatch, s3)


def use_client(monkeypatch: pytest.MonkeyPatch, s3: Any) -> None:
    """Give this client to all commands."""
    for module in (states, restore_module, unlock_module):
        monkeypatch.setattr(module, "create_client", lambda *_, **__: s3)


def test_a_deleted_state_is_not_taken_for_none_without_the_right(
    settings: Settings, state: StateObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its versions are still there, so nobody is led to begin anew; `restore` names the missing right."""
    replace(state, stack="network").delete()
    deny(monkeypatch, state.s3, "list_object_versions")
    with pytest.raises(StateError, match="although cluster is deployed; its versions may not be listed"):
        refuse_damaged_states(settings, BACKEND)
    with pytest.raises(StateError, match=r"s3:ListBucketVersions is missing .*stays as it is"):
        restore(settings, BACKEND, "network", version_id=None, is_empty=True, assume_yes=True)


@pytest.mark.parametrize("operation", ["head_object", "get_object"])
def test_a_state_that_may_not_be_read_is_not_missing(
    settings: Settings,
    state: StateObject,
    operation: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """S3 refuses it with 403, which does not say whether it exists; the last plan decides nothing either."""
    call = getattr(state.s3, operation)

    def refuse_network(**arguments: Any) -> Any:
        if "network.tfstate" in arguments["Key"]:
            raise ClientError({"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "Head")
        return call(**arguments)

    deny(monkeypatch, state.s3, *(["list_object_versions"] if operation == "head_object" else []))
    monkeypatch.setattr(state.s3, operation, refuse_network)
    planned = {stack: (2, f"lineage of {stack}") for stack in STACKS}
    monkeypatch.setattr(states, "read_planned_states", lambda _environment: planned)
    refuse_damaged_states(settings, BACKEND)
    assert "s3:GetObject" in capsys.readouterr().err


def test_other_refusals_than_of_a_right_are_not_hidden(
    settings: Settings, state: StateObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong credentials have the status 403, too."""
    deny(monkeypatch, state.s3, "list_object_versions", code="InvalidAccessKeyId")
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        refuse_damaged_states(settings, BACKEND)


def test_only_the_states_to_work_on_must_be_free(settings: Settings, state: StateObject) -> None:
    """The lock of another stack refuses nothing, and a lock that may not be read is no lack of one."""
    state.s3.put_object(Bucket=BACKEND.bucket, Key=lock_key("damaged", "network"), Body=b"{}")
    refuse_damaged_states(settings, BACKEND, ["cluster", "workloads"])
    with pytest.raises(LockError):
        refuse_damaged_states(settings, BACKEND, ["network"])


def test_a_lock_that_may_not_be_read_is_not_missing(
    settings: Settings, state: StateObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`unlock` does not say that the state is free. Terraform looks at the lock after the other commands."""
    deny(monkeypatch, state.s3, "get_object")
    with pytest.raises(ClientError, match="AccessDenied"):
        unlock(settings, BACKEND, state.stack, assume_yes=True)
    refuse_damaged_states(settings, BACKEND)


@pytest.mark.parametrize(
    ("suffix", "error"), [("", StateError), (".tflock", LockError)], ids=["written", "locked"]
)
def test_restore_sees_others_who_come_during_its_question(
    settings: Settings,
    state: StateObject,
    suffix: str,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It overwrites no newer version, and keeps the lock of somebody else."""

    def answer(_question: str) -> str:
        state.s3.put_object(Bucket=BACKEND.bucket, Key=f"{state.key}{suffix}", Body=b'{"theirs": 1}')
        return "2"

    monkeypatch.setattr("builtins.input", answer)
    with pytest.raises(error):
        restore(settings, BACKEND, state.stack, version_id=None, is_empty=False, assume_yes=False)
    found = state.s3.get_object(Bucket=BACKEND.bucket, Key=f"{state.key}{suffix}")["Body"].read()
    assert found == b'{"theirs": 1}'
    listed = state.s3.list_objects_v2(Bucket=BACKEND.bucket)["Contents"]
    assert len([item for item in listed if item["Key"].endswith(".tflock")]) == bool(suffix)


def test_an_empty_state_has_the_lineage_of_the_last_plan(
    settings: Settings, state: StateObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next plan refuses it as a state of another origin."""
    planned = {stack: (2, f"lineage of {stack}") for stack in STACKS}
    for module in (states, restore_module):
        monkeypatch.setattr(module, "read_planned_states", lambda _environment: planned)
    for version in state.list_versions():
        state.remove(version)
    restore(settings, BACKEND, state.stack, version_id=None, is_empty=True, assume_yes=True)
    assert json.loads(state.read())["lineage"] == f"lineage of {state.stack}"
    refuse_damaged_states(settings, BACKEND)


def test_all_versions_are_found_and_the_newest_are_shown(
    settings: Settings,
    state: StateObject,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """S3 lists them in pages; the list says how many it leaves out, and such a one can be named."""
    oldest = state.list_versions()[-1]
    write_state(state, serial=3)
    list_versions = state.s3.list_object_versions
    monkeypatch.setattr(state.s3, "list_object_versions", lambda **given: list_versions(**given, MaxKeys=1))
    monkeypatch.setattr(restore_module, "SHOWN", 2)
    use_client(monkeypatch, state.s3)
    restore(settings, BACKEND, state.stack, version_id=oldest, is_empty=False, assume_yes=True)
    assert "the newest 2 of 3 versions" in capsys.readouterr().out
    assert json.loads(state.read())["serial"] == 4


@pytest.mark.parametrize(
    ("content", "holder"),
    [
        (
            b'{"ID": "1", "Who": "me@here", "Created": "2026-11-26T07:00:00.1Z", "Operation": "Apply"}',
            "locked by me@here since 2026-11-26 07:00:00 UTC (Apply)",
        ),
        (b'{"ID": "1", "Wh', "locked by an object that Terraform did not write since unknown (unknown)"),
    ],
)
def test_the_holder_of_a_lock_is_named(
    settings: Settings, state: StateObject, content: bytes, holder: str
) -> None:
    """Every command says who holds it, since when, and how to go on; `unlock` removes it, whatever it is."""
    state.s3.put_object(Bucket=BACKEND.bucket, Key=f"{state.key}.tflock", Body=content)
    wait = (
        "Wait until that run has ended, then repeat. If its process is dead: make unlock ENV=damaged "
        f"STACKS={state.stack}"
    )
    with pytest.raises(LockError, match=re.escape(f"is {holder}. {wait}\nNothing was changed.")):
        refuse_damaged_states(settings, BACKEND)
    with pytest.raises(LockError, match=re.escape(f"is {holder}. {wait}")):
        restore(settings, BACKEND, state.stack, version_id=None, is_empty=True, assume_yes=True)
    unlock(settings, BACKEND, state.stack, assume_yes=True)
    refuse_damaged_states(settings, BACKEND)


def test_a_missing_bucket_is_named(settings: Settings) -> None:
    """The message has the command that creates it."""
    backend = BACKEND.model_copy(update={"bucket": "no-such-bucket"})
    with pytest.raises(
        StateError, match=r"no-such-bucket: there is no such bucket\. Create it: make bootstrap"
    ):
        refuse_damaged_states(settings, backend)


def test_a_state_that_can_not_be_read_keeps_its_bucket(settings: Settings, state: StateObject) -> None:
    """`bootstrap --remove` takes a damaged state for one in use."""
    state.write(b"[]")
    with pytest.raises(state_bucket.BootstrapError, match=f"is in use and stays: .*{state.key}"):
        state_bucket.remove_state_bucket(settings.aws, BACKEND)
