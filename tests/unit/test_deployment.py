"""The command line of `python -m deployment`."""

import subprocess
import sys

import pytest

from stacks.settings.load import PROJECT

COMMANDS = ("bootstrap", "plan", "apply", "consumer-policy")


def run(*arguments: str, environment: str = "example") -> subprocess.CompletedProcess[str]:
    """Run `python -m deployment` with a command line; `environment` is the variable ENV."""
    return subprocess.run(
        [sys.executable, "-m", "deployment", *arguments],
        cwd=PROJECT,
        env={"ENV": environment, "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("remove",), ("plan", "network"), ("consumer-policy",)])
def test_a_wrong_command_line_ends_with_1(arguments: tuple[str, ...]) -> None:
    """Exit status 2 would mean a plan with changes."""
    done = run(*arguments)
    assert done.returncode == 1
    assert "usage: python -m deployment" in done.stderr


def test_help_names_every_exit_status() -> None:
    """The author of a pipeline finds the exit statuses without reading the code."""
    done = run("--help")
    assert done.returncode == 0
    assert all(f"\n  {status}  " in done.stdout for status in (0, 1, 2, 3))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_its_help(command: str) -> None:
    """The help of each command says how to name the environment."""
    done = run(command, "--help")
    assert done.returncode == 0
    assert "--environment NAME" in done.stdout
    assert "ENV" in done.stdout


def test_an_unknown_environment_is_an_error() -> None:
    """The message names the file, there is no traceback, and no folder is made."""
    done = run("plan", environment="nowhere")
    assert done.returncode == 1
    assert "environments/nowhere.yaml: no such environment" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (PROJECT / "plans" / "nowhere").exists()


def test_the_option_wins_over_the_variable() -> None:
    """`--environment` names the environment, whatever ENV says."""
    done = run("plan", "--environment", "elsewhere", environment="nowhere")
    assert "environments/elsewhere.yaml: no such environment" in done.stderr
