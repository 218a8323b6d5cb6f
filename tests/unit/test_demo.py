"""The demo's decisions and its output, without Terraform."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from rich.console import Console

from local_aws import demo, emulator, locks, providers
from local_aws.emulator import EmulatorError
from local_aws.progress import Progress, Screen
from stacks.settings.load import PROJECT, load_environment


class Locks:
    """An S3 client with one state and the lock on it."""

    def __init__(self) -> None:
        self.keys = ["local/network.tfstate", "local/network.tfstate.tflock"]

    def list_objects_v2(self, **_: str) -> dict[str, Any]:
        """Return all keys."""
        return {"Contents": [{"Key": key} for key in self.keys]}

    def get_object(self, **_: str) -> dict[str, Any]:
        """Return the lock."""
        return {"Body": io.BytesIO(b'{"Created": "2026-01-01"}')}

    def delete_object(self, *, Key: str, **_: str) -> None:  # noqa: N803 - boto3's name
        """Remove one object."""
        self.keys.remove(Key)


def test_without_an_emulator_there_is_nothing_to_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the command that starts one."""
    monkeypatch.setattr(emulator, "answers", lambda _: False)
    with pytest.raises(EmulatorError, match=r"no emulator answers at http://.+: `make demo` starts one$"):
        demo.seed(load_environment("local"))


@pytest.mark.parametrize("is_alive", [True, False])
def test_only_a_dead_lock_is_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_alive: bool
) -> None:
    """A lock stays while a Terraform of this project runs; the state always stays."""
    monkeypatch.setattr(locks, "terraform_may_run", lambda _folder: is_alive)
    s3 = Locks()
    locks.free_dead_locks(s3, "bucket", "local")
    assert len(s3.keys) == (2 if is_alive else 1)
    assert s3.keys[0] == "local/network.tfstate"
    assert ("removed" in capsys.readouterr().out) is not is_alive


@pytest.mark.skipif(not locks.PROCESSES.is_dir(), reason="only Linux lists processes under /proc")
@pytest.mark.parametrize(
    ("name", "folder", "is_found"),
    [
        ("terraform", "cdktf.out/stacks/network", True),
        ("terraform", "examples", False),
        ("other", "cdktf.out/stacks/network", False),
    ],
)
def test_only_a_terraform_in_a_stacks_folder_may_hold_a_lock(
    tmp_path: Path, name: str, folder: str, *, is_found: bool
) -> None:
    """A Terraform of another project does not keep the demo from going on."""
    program = tmp_path / name
    program.write_text("#!/bin/sh\necho started\nread -r line\n")
    program.chmod(0o755)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [program], cwd=tmp_path / folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        assert locks.terraform_may_run(tmp_path / "cdktf.out") is is_found
    assert locks.terraform_may_run(tmp_path / "cdktf.out") is False


def test_a_lock_stays_where_processes_cannot_be_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only Linux lists them under /proc."""
    monkeypatch.setattr(locks, "PROCESSES", tmp_path / "proc")
    assert locks.terraform_may_run(tmp_path) is True


def test_a_second_demo_in_a_folder_is_one_message(tmp_path: Path) -> None:
    """Two would write the same states and logs; a demo that was killed keeps nothing from starting."""
    lock = tmp_path / ".work" / "demo.lock"
    with demo.alone(lock), pytest.raises(EmulatorError, match=rf"already \(process {os.getpid()}\)"):
        demo.alone(lock).__enter__()
    with demo.alone(lock):
        assert lock.read_text() == str(os.getpid())


def test_docker_without_an_engine_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the setting and the way without Docker."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///not/there")
    with pytest.raises(providers.ProvidersError, match=r"no Docker engine answers.*leave KUBERNETES out"):
        providers.require_docker()


def test_a_program_that_is_not_found_is_one_message() -> None:
    """`python -m local_aws run` says so before it starts the providers."""
    settings = load_environment("local")
    with pytest.raises(EmulatorError, match="no-such-program: not found"):
        demo.run(settings, ["no-such-program"], providers.REHEARSAL)


def test_boto3_finds_the_emulator_and_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program under `python -m local_aws run` needs no options to reach the emulated AWS."""
    settings = load_environment("local")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in demo.aws_variables(settings).items():
        monkeypatch.setenv(name, value)
    sts = boto3.Session().client("sts")
    assert sts.meta.region_name == settings.aws.region
    assert sts.meta.endpoint_url == settings.aws.endpoint_url


def test_a_resource_is_one_line_and_an_error_is_kept() -> None:
    """The terminal shows a created resource with its seconds; the log has all events."""
    terminal, log = io.StringIO(), io.StringIO()
    console = Console(file=terminal)
    progress = Progress("network", Screen(console, log, verbose=False), console.status(""))
    hook = {"resource": {"addr": "aws_vpc.vpc"}, "action": "create", "elapsed_seconds": 11}
    diagnostic = {"severity": "error", "summary": "Refused", "detail": "The reason."}
    for event in (
        {"type": "version", "@message": "Terraform 1.11.4"},
        {"type": "apply_complete", "@message": "Creation complete", "hook": hook},
        {"type": "diagnostic", "@message": "Error: Refused", "diagnostic": diagnostic},
    ):
        progress.read_line(json.dumps(event))
    assert terminal.getvalue() == "aws_vpc.vpc: created in 11 s\n"
    assert progress.errors == ["Error: Refused\nThe reason."]
    assert "Terraform 1.11.4" in log.getvalue()


def test_a_closed_pipe_ends_without_a_traceback() -> None:
    """`make show | head` reads only a part of the output."""
    with subprocess.Popen(
        [sys.executable, "-m", "local_aws", "show"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
