"""The helpers of the tests of chaos: whole tables with failed cases, signals, and no process left."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import test_faults, test_interruptions
from tests.chaos.figures import Figures
from tests.emulator.project import Project
from tests.processes import find_processes


@pytest.fixture
def sleeping() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that runs until it gets a signal."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


def test_a_part_of_the_cases_leaves_the_document_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table of such a run is printed; that of all cases is written."""
    document = tmp_path / "reliability.md"
    document.write_text("<!-- begin faults -->\nwhole\n<!-- end faults -->\n")
    figures = Figures(document, 7)
    figures.write("faults", ["a part"], is_whole=False)
    assert "a part" in capsys.readouterr().out
    assert "whole" in document.read_text()
    figures.write("faults", ["all"])
    assert document.read_text() == "<!-- begin faults -->\nall\n\nSeed: 7.\n<!-- end faults -->\n"


def test_a_round_interrupts_each_command_with_each_signal() -> None:
    """No signal is left out by chance, whatever the seed."""
    drawn = [test_interruptions.draw(731204, number) for number in range(len(test_interruptions.ROUND))]
    assert Counter((case.command.name, case.signal) for case in drawn) == {
        (command.name, number): command.weight
        for command in test_interruptions.COMMANDS
        for number in test_interruptions.SIGNALS
    }


def test_a_failed_case_is_in_the_table() -> None:
    """It counts as interrupted, and not as converged."""
    failed = {"command": "terraform apply", "target": "SIGKILL", "failed": True, "was_running": True}
    lines = test_interruptions.tabulate([failed])
    assert "| `terraform apply` | SIGKILL | 1 | 0 | 0 | 0 |" in lines
    assert "Cases that failed: 1." in lines
    assert test_faults.describe({"failed": True}) == "the case failed"


def test_a_signal_that_finds_no_terraform_goes_to_the_command(
    tmp_path: Path, sleeping: "subprocess.Popen[bytes]"
) -> None:
    """The table then names the command as the target."""
    case = replace(test_interruptions.draw(1, 1), signal=signal.SIGTERM, to_terraform=True)
    assert test_interruptions.send(tmp_path, case, sleeping) is False
    assert sleeping.wait(60) == -signal.SIGTERM
    assert case.describe_signal(to_terraform=False) == "SIGTERM"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux lists processes under /proc")
def test_a_command_and_its_terraform_end_with_the_block(tmp_path: Path) -> None:
    """A failed assertion leaves neither, although Terraform has a session of its own."""
    python, terraform = tmp_path / ".venv" / "bin" / "python", tmp_path / "terraform"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nsetsid ./terraform & echo started; wait\n")
    terraform.write_text("#!/bin/sh\nwhile true; do sleep 0.2; done\n")
    python.chmod(0o755)
    terraform.chmod(0o755)
    nothing: Any = None
    project = Project(tmp_path, nothing, "", "", tmp_path, environment={"PATH": os.environ["PATH"]})
    with suppress(ZeroDivisionError), project.started("deploy") as process:
        assert process.stdout
        process.stdout.readline()
        deadline = time.monotonic() + 60
        while not find_processes(tmp_path, "terraform") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert find_processes(tmp_path, "terraform")
        raise ZeroDivisionError
    deadline = time.monotonic() + 60
    while find_processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not find_processes(tmp_path)
