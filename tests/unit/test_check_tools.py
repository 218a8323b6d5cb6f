"""The check of the tools' versions before the set-up."""

import sys
from pathlib import Path

import pytest

from tools.check_tools import find_problems

GOOD = {"node": "v22.1.0", "npm": "10.9.2", "terraform": '{"terraform_version": "1.11.0"}'}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH; its programs print good versions."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, printed in GOOD.items():
        write_program(tmp_path / name, printed)
    return tmp_path


def write_program(file: Path, printed: str) -> None:
    """Write a program that prints its version."""
    file.write_text(f"#!/bin/sh\necho '{printed}'\n")
    file.chmod(0o755)


def test_tools_of_the_lowest_versions_are_no_problem(programs: Path) -> None:
    """Node.js 20.0 and Terraform 1.11.0 are the lowest."""
    write_program(programs / "node", "v20.0.0")
    assert list(find_problems()) == []


@pytest.mark.parametrize(
    ("name", "printed", "message"),
    [
        ("node", "v18.20.4", "Node.js 20.0 or newer is needed, this is v18.20.4"),
        ("terraform", '{"terraform_version": "1.9.8"}', "Terraform 1.11 or newer is needed, this is 1.9.8"),
    ],
)
def test_a_tool_that_is_too_old_is_one_message(programs: Path, name: str, printed: str, message: str) -> None:
    """The message names the lowest version and the one that was found."""
    write_program(programs / name, printed)
    assert list(find_problems()) == [message]


@pytest.mark.usefixtures("programs")
def test_a_python_that_is_too_old_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to choose another Python."""
    monkeypatch.setattr(sys, "version_info", (3, 11, 4))
    monkeypatch.setattr(sys, "version", "3.11.4 (main)")
    assert list(find_problems()) == [
        "Python 3.11.5 or newer is needed, this is 3.11.4; PYTHON=<command> names another"
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("node", "Node.js 20.0 or newer is needed on the PATH"),
        ("npm", "npm is needed on the PATH"),
        ("terraform", "Terraform 1.11 or newer is needed on the PATH"),
    ],
)
def test_a_missing_tool_is_one_message(programs: Path, name: str, message: str) -> None:
    """The message says that it must be on the PATH."""
    (programs / name).unlink()
    assert list(find_problems()) == [message]


def test_a_terraform_that_prints_no_version_is_one_message(programs: Path) -> None:
    """Another program of this name is told like a missing one."""
    write_program(programs / "terraform", "usage: terraform")
    assert list(find_problems()) == ["Terraform 1.11 or newer is needed on the PATH"]


def test_a_tool_that_fails_is_one_message(programs: Path) -> None:
    """A broken installation is told like a missing one."""
    (programs / "node").write_text("#!/bin/sh\nexit 1\n")
    assert list(find_problems()) == ["Node.js 20.0 or newer is needed on the PATH"]
