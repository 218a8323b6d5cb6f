"""Synthesized stacks, and Terraform in their folders."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from deployment.terraform import (
    RUNNING,
    Stack,
    TerraformError,
    _alone,
    _note_limited_logs,
    _note_running,
    _remove,
    is_synthesized,
    limit_provider_logs,
    note_synthesis,
    read_stacks,
    refuse_running,
)
from stacks import STACKS
from stacks.settings.load import PROJECT, load_settings
from tests.environments import synthesize

LEFT_SECONDS = 60
NO_PROCESS = 2**30  # more than any system has


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the synthesized example environment."""
    folder = tmp_path_factory.mktemp("output")
    synthesize(load_settings(PROJECT / "environments" / "example.yaml"), folder)
    return folder


def test_stacks_come_in_the_order_in_which_they_read_each_other(output: Path) -> None:
    """The order is network, cluster, workloads, whatever the order in cdktf's manifest."""
    assert tuple(stack.name for stack in read_stacks(output)) == STACKS


def test_a_missing_dependency_is_an_error(tmp_path: Path) -> None:
    """A manifest with a stack whose dependency is missing ends in a message."""
    stacks = {"cluster": {"workingDirectory": "stacks/cluster", "dependencies": ["network"]}}
    (tmp_path / "manifest.json").write_text(json.dumps({"stacks": stacks}))
    with pytest.raises(TerraformError, match="the stack network is missing"):
        read_stacks(tmp_path)


def test_only_outputs_that_are_read_count(output: Path) -> None:
    """The cluster reads the private subnets, and does not wait for the addresses of the NAT gateways."""
    cluster = read_stacks(output)[1]
    read = cluster.find_outputs_read("network")
    assert "private_subnet_ids" in read
    assert "nat_public_ips" not in read


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of an environment `small`, with one synthesized stack in cdktf.out."""
    files = {
        "main.py": "",
        "backend.tf.json": "{}",
        "constraints.txt": "cdktf==0.21.0",
        "environments/small.yaml": "a: 1",
        "environments/other.yaml": "a: 1",
        "stacks/network.py": "",
        "cdktf.out/manifest.json": "{}",
        "cdktf.out/stacks/network/cdk.tf.json": "{}",
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    note_synthesis(tmp_path / "cdktf.out", "small", tmp_path)
    return tmp_path


def test_unchanged_stacks_are_not_synthesized_again(project: Path) -> None:
    """The JSON of the same settings, code and packages is used as it is."""
    assert is_synthesized(project / "cdktf.out", "small", project)


@pytest.mark.parametrize(
    "file",
    [
        "main.py",
        "backend.tf.json",
        "constraints.txt",
        "environments/small.yaml",
        "environments/certificates/gitlab.pem",
        "stacks/network.py",
        "stacks/settings/new.py",
        "cdktf.out/manifest.json",
        "cdktf.out/stacks/network/cdk.tf.json",
    ],
)
def test_a_change_is_synthesized(project: Path, file: str) -> None:
    """A changed setting, module, package or JSON file makes the stacks anew."""
    (project / file).parent.mkdir(exist_ok=True)
    (project / file).write_text("changed")
    assert not is_synthesized(project / "cdktf.out", "small", project)


def test_another_environment_is_synthesized(project: Path) -> None:
    """The folder holds one environment; another one with the same settings has other names."""
    assert not is_synthesized(project / "cdktf.out", "other", project)


def test_terraform_goes_on_when_its_output_cannot_be_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A full disk ends this program only after Terraform has written its state and freed its lock."""
    program = tmp_path / "terraform"
    program.write_text("#!/bin/sh\necho one; echo two; sleep 0.2; touch ended\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def fail(_line: str) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        Stack("network", tmp_path, ()).follow("apply", read_line=fail)
    assert (tmp_path / "ended").exists()


def test_programs_that_a_killed_terraform_has_left_keep_nothing_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A provider outlives a SIGKILL of Terraform, with the lock that it has inherited."""
    program = tmp_path / "terraform"
    program.write_text(f"#!/bin/sh\nsleep {LEFT_SECONDS} > /dev/null 2>&1 & echo $! > left; kill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    stack = Stack("network", tmp_path, ())
    with pytest.raises(TerraformError, match="terraform apply failed"):
        stack.capture("apply")
    left = int((tmp_path / "left").read_text())
    started = time.monotonic()
    try:
        stack.wait()
    finally:
        os.kill(left, signal.SIGKILL)
    assert time.monotonic() - started < LEFT_SECONDS / 2


@contextmanager
def locked_note(folder: Path, pid: int, **changes: str) -> Iterator[IO[str]]:
    """A lock on a folder, with the note of a Terraform; `changes` replace values of the note."""
    with (folder / RUNNING).open("w+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _note_running(file, pid, ["apply"])
        note = json.loads((folder / RUNNING).read_text())
        file.seek(0)
        file.truncate()
        file.write(json.dumps({**note, **changes}))
        file.flush()
        yield file


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux lists processes under /proc")
def test_a_zombie_is_not_waited_for(tmp_path: Path) -> None:
    """In a container without an init program a killed Terraform stays in the list of processes."""
    with subprocess.Popen(["sleep", "0"]) as process, locked_note(tmp_path, process.pid):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
        refuse_running(tmp_path, "Nothing was removed")


def test_a_terraform_of_another_machine_counts_as_running(tmp_path: Path) -> None:
    """A container or another client of a shared disk has process IDs of its own."""
    message = f"process {NO_PROCESS} on other, .* on other: kill -INT {NO_PROCESS}"
    with locked_note(tmp_path, NO_PROCESS, host="other"), pytest.raises(TerraformError, match=message):
        refuse_running(tmp_path, "Nothing was removed")
    with locked_note(tmp_path, NO_PROCESS):
        refuse_running(tmp_path, "Nothing was removed")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux has the start of a process under /proc")
def test_a_process_that_got_the_id_of_an_ended_one_is_not_waited_for(tmp_path: Path) -> None:
    """The note has the time when Terraform started."""
    with locked_note(tmp_path, os.getpid()), pytest.raises(TerraformError, match="still runs here"):
        refuse_running(tmp_path, "Nothing was removed")
    with locked_note(tmp_path, os.getpid(), started="1"):
        refuse_running(tmp_path, "Nothing was removed")


def test_a_new_lock_file_of_another_command_is_kept(tmp_path: Path) -> None:
    """Of two commands that find the same stale lock, the second one leaves the first one's new file."""
    with locked_note(tmp_path, NO_PROCESS) as stale, (tmp_path / RUNNING).open("a+") as judged:
        (tmp_path / RUNNING).unlink()
        (tmp_path / RUNNING).write_text("new")
        _remove(judged)
        fcntl.flock(stale, fcntl.LOCK_UN)
    assert (tmp_path / RUNNING).read_text() == "new"


def test_a_lock_on_a_removed_file_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the opening and the locking another command may have removed the file."""

    def remove_and_lock(file: IO[str], number: int, *, lock: Any = fcntl.flock) -> None:
        monkeypatch.undo()
        (tmp_path / RUNNING).unlink()
        lock(file, number)

    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    with _alone(tmp_path) as file:
        assert os.path.samestat(os.fstat(file.fileno()), (tmp_path / RUNNING).stat())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """Terraform runs, and one line names the file."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    for _ in range(2):
        with _alone(tmp_path):
            pass
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path / RUNNING}: this file system has no locks")


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({"TF_LOG": "TRACE"}, {"TF_LOG_CORE": "TRACE", "TF_LOG_PROVIDER": "INFO"}),
        ({"TF_LOG": "json"}, {"TF_LOG_CORE": "json", "TF_LOG_PROVIDER": "INFO"}),
        ({"TF_LOG": "1"}, {"TF_LOG_CORE": "1", "TF_LOG_PROVIDER": "INFO"}),
        ({"TF_LOG_PROVIDER": "debug"}, {"TF_LOG_PROVIDER": "INFO"}),
        (
            {"TF_LOG": "DEBUG", "TF_LOG_PROVIDER": "trace"},
            {"TF_LOG_CORE": "DEBUG", "TF_LOG_PROVIDER": "INFO"},
        ),
        ({"TF_LOG": "info"}, {"TF_LOG": "info"}),
        ({"TF_LOG": "TRACE", "TF_LOG_PROVIDER": "WARN"}, {"TF_LOG_CORE": "TRACE", "TF_LOG_PROVIDER": "WARN"}),
        ({"TF_LOG": "INFO", "TF_LOG_PROVIDER": "TRACE"}, {"TF_LOG": "INFO", "TF_LOG_PROVIDER": "INFO"}),
        ({"TF_LOG_CORE": "TRACE"}, {"TF_LOG_CORE": "TRACE"}),
        ({}, {}),
    ],
)
def test_no_provider_logs_its_requests(
    given: dict[str, str], passed: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """At DEBUG the kubernetes provider logs the Secret with the token. Terraform's own log stays."""
    _note_limited_logs.cache_clear()
    assert limit_provider_logs({"PATH": "/bin", **given}) == {"PATH": "/bin", **passed}
    said = capsys.readouterr().err
    assert ("the providers log at INFO" in said) == (passed.get("TF_LOG_PROVIDER") == "INFO")
