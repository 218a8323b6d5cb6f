"""The command line of `python -m deployment`."""

import subprocess
import sys
from typing import NoReturn

import pytest
from botocore.exceptions import EndpointConnectionError

from deployment import __main__ as command
from deployment import aws, deploy, locks, states, terraform
from deployment.terraform import TerraformError
from stacks import STACKS
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


def test_a_failed_command_names_who_holds_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that was taken after the first look is named after Terraform's message, which is never lost."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise TerraformError("network: terraform plan failed")

    monkeypatch.setattr(terraform, "synthesize", lambda _environment: [])
    monkeypatch.setattr(aws, "create_client", lambda *_, **__: None)
    monkeypatch.setattr(aws, "refuse_other_account", lambda _aws: None)
    monkeypatch.setattr(states, "refuse_damaged_states", lambda *_: None)
    monkeypatch.setattr(deploy, "destroy", fail)
    monkeypatch.setattr(locks, "describe_locks", lambda *_: ["network: locked by me@here"])
    monkeypatch.setattr(sys, "argv", ["deployment", "destroy", "--environment", "example", "--yes"])
    with pytest.raises(SystemExit, match=r"^network: terraform plan failed\nnetwork: locked by me@here$"):
        command.main()

    def lose_connection(*_: object) -> NoReturn:
        raise EndpointConnectionError(endpoint_url="https://s3")

    monkeypatch.setattr(locks, "describe_locks", lose_connection)
    with pytest.raises(SystemExit, match=r"^network: terraform plan failed$"):
        command.main()


@pytest.mark.parametrize(("stacks", "expected"), [(["network"], ["network"]), ([], [*STACKS])])
def test_only_the_locks_of_the_stacks_to_work_on_refuse_a_command(
    stacks: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command looks at these; without any on the command line, at all."""
    looked_at: list[list[str]] = []
    monkeypatch.setattr(terraform, "synthesize", lambda _environment: [])
    monkeypatch.setattr(aws, "refuse_other_account", lambda _aws: None)
    monkeypatch.setattr(
        states, "refuse_damaged_states", lambda _settings, _backend, names: looked_at.append([*names])
    )
    monkeypatch.setattr(deploy, "destroy", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["deployment", "destroy", "--environment", "example", "--yes", *stacks])
    with pytest.raises(SystemExit):
        command.main()
    assert looked_at == [expected]
