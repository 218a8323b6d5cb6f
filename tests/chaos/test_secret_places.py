"""A secret that is planted on purpose is found in each place; else the run of `make chaos` could not fail."""

import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.secret_places import (
    MARK,
    WITH_CORE_FILES,
    Evidence,
    Kinds,
    Watcher,
    core_files_stay,
    read_files,
)
from tests.chaos.secret_search import Searcher, Secret

SECRET = Secret("token", "glrt-planted_3xVw8Qr5sY-Lm2")
WAIT_SECONDS = 30
PLANTED = {"process arguments", "process environments", "temporary files"}

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux shows processes under /proc")


@pytest.fixture
def evidence() -> Evidence:
    """A search for the secret."""
    return Evidence(Searcher((SECRET,)))


@pytest.fixture
def kinds(tmp_path: Path) -> Kinds:
    """The kinds of the files of a project that has some folders."""
    for name in ("tmp", "project/plans/local", "project/.work", "project/cdktf.out"):
        (tmp_path / name).mkdir(parents=True)
    return Kinds(tmp_path / "project", tmp_path / "tmp")


def test_a_planted_secret_is_found_in_each_kind_of_file(evidence: Evidence, kinds: Kinds) -> None:
    """Each kind of file that a run leaves is read, and called by its name."""
    places = {
        ".work/rehearsal.json": "record of the stand-ins",
        ".work/.rehearsal.json.changed": "record of the stand-ins",
        ".work/emulator.log": "files and log of the emulator",
        ".work/demo.log": "logs (Terraform at TRACE, cdktf at debug, demo)",
        "plans/local/report.md": "reports (Markdown, SARIF, Code Quality, GitLab)",
        "plans/local/findings.sarif": "reports (Markdown, SARIF, Code Quality, GitLab)",
        "plans/local/network.json": "plan files, their JSON and text",
        "cdktf.out/cdk.tf.json": "synthesized JSON and Terraform's folders",
        "errored.tfstate": "other files of the project",
        "core.123": "core files",
    }
    for name in places:
        (kinds.project / name).write_text(f"{{{SECRET.value}}}")
    with zipfile.ZipFile(kinds.project / "plans/local/network.tfplan", "w", zipfile.ZIP_DEFLATED) as plan:
        plan.writestr("tfstate", SECRET.value)
    (kinds.project / "harmless.txt").write_text("nothing")
    evidence.add_all(read_files(kinds.project, kinds))
    found = {str(Path(find.name).relative_to(kinds.project)): find.kind for find in evidence.finds}
    assert found == {**places, "plans/local/network.tfplan": "plan files, their JSON and text"}
    assert sum(evidence.searched.values()) == len(found) + 1


def test_a_planted_secret_is_found_while_a_process_runs(
    evidence: Evidence, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments, environment and a file that is gone at the end are read; other processes are not."""
    file = kinds.temporary / "short"
    monkeypatch.setenv(MARK, "mine")
    other = {**os.environ, MARK: "another", "PASSWORD": SECRET.value}
    record = kinds.project / ".work/rehearsal.json"
    with ExitStack() as stack, Watcher("mine", [kinds.temporary], kinds, record=record) as watcher:
        file.write_text(SECRET.value)
        for command, environment in (
            (["cat", "-", SECRET.value], None),
            (["cat"], {**os.environ, "TOKEN": SECRET.value}),
            (["cat"], other),
        ):
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            stack.enter_context(process)
        deadline = time.monotonic() + WAIT_SECONDS
        while evidence.kinds(SECRET.name) != PLANTED and time.monotonic() < deadline:
            time.sleep(0.05)
            evidence.add_all(watcher.contents.copy())
        file.unlink()
    assert evidence.kinds(SECRET.name) == PLANTED
    assert not [name for kind, name, content in watcher.contents if b"PASSWORD=" in content]


def test_a_planted_secret_is_found_in_a_core_file(evidence: Evidence, kinds: Kinds) -> None:
    """A process that a signal kills leaves its memory, if its limit allows that."""
    if not core_files_stay():
        pytest.skip("this machine's core files go elsewhere")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("nobody may write core files here: the hard limit is 0")
    program = f"token = '{SECRET.value}'; import time; print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [*WITH_CORE_FILES, sys.executable, "-IS", "-c", program],
        cwd=kinds.project,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            process.send_signal(signal.SIGABRT)
            process.wait(WAIT_SECONDS)
        finally:
            process.kill()
    evidence.add_all(read_files(kinds.project, kinds))
    assert evidence.kinds(SECRET.name) == {"core files"}
