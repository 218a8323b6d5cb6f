"""`deploy` and `destroy`: real Terraform on stacks with a resource that needs no provider."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployment import deploy as commands
from deployment.questions import AnswerError
from deployment.terraform import Stack, TerraformError, refuse_running
from stacks.settings.load import PROJECT, load_settings
from tests.processes import started

SETTINGS = load_settings(PROJECT / "environments" / "example.yaml")


def make_stack(folder: Path, name: str, *upstream: str, command: str = "true") -> Stack:
    """Write a stack with one resource, whose creation runs a shell command."""
    folder = folder / name
    folder.mkdir()
    configuration = {
        "terraform": {"backend": {"local": {}}},
        "resource": {
            "terraform_data": {"it": {"input": name, "provisioner": [{"local-exec": {"command": command}}]}}
        },
        "output": {"it": {"value": "${terraform_data.it.output}"}},
    }
    if upstream:
        reads = {item: f"${{data.terraform_remote_state.{item}.outputs.it}}" for item in upstream}
        state = {
            item: {"backend": "local", "config": {"path": f"../{item}/terraform.tfstate"}}
            for item in upstream
        }
        configuration |= {"data": {"terraform_remote_state": state}, "locals": reads}
    (folder / "cdk.tf.json").write_text(json.dumps(configuration))
    return Stack(name, folder, upstream)


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Stack]:
    """Two stacks; the second one reads an output of the first."""
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)
    monkeypatch.setenv("CHECKPOINT_DISABLE", "1")
    return [make_stack(tmp_path, "network"), make_stack(tmp_path, "cluster", "network")]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The answers to the next questions; the questions are printed."""
    given: list[str] = []

    def answer(question: str) -> str:
        print(question)
        return given.pop(0)

    monkeypatch.setattr("builtins.input", answer)
    return given


def test_each_stack_is_deployed_after_its_own_question(
    stacks: list[Stack], answers: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """The user sees each plan before the question; a second run has nothing to ask."""
    answers += ["yes", "yes"]
    commands.deploy(stacks, [], SETTINGS, assume_yes=False)
    printed = capfd.readouterr().out
    assert printed.index("1 to add") < printed.index("Apply the plan of network? [yes/no]")
    assert printed.index("network: deployed") < printed.index("Apply the plan of cluster? [yes/no]")
    assert printed.endswith("Deployed: network, cluster\n")
    commands.deploy(stacks, [], SETTINGS, assume_yes=False)
    assert "cluster: no changes\n" in capfd.readouterr().out


def test_no_stops_the_deployment(stacks: list[Stack], answers: list[str]) -> None:
    """The message names the stacks that are not deployed, and they have no state."""
    answers += ["yes", "no"]
    with pytest.raises(AnswerError, match=r"Not deployed: cluster$"):
        commands.deploy(stacks, [], SETTINGS, assume_yes=False)
    assert [bool(stack.read_state()) for stack in stacks] == [True, False]


def test_a_stack_alone_needs_the_stacks_that_it_reads(stacks: list[Stack]) -> None:
    """A missing upstream is named before any plan; with it, the stack is deployed alone."""
    with pytest.raises(commands.DeployError, match="Deploy network first"):
        commands.deploy(stacks, ["cluster"], SETTINGS, assume_yes=True)
    commands.deploy(stacks, ["network"], SETTINGS, assume_yes=True)
    commands.deploy(stacks, ["cluster"], SETTINGS, assume_yes=True)
    assert stacks[1].read_state()["resources"]


def test_destroy_asks_for_the_name_of_the_environment(
    stacks: list[Stack], answers: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """The question lists the stacks, last one first; another answer destroys nothing."""
    commands.deploy(stacks, [], SETTINGS, assume_yes=True)
    capfd.readouterr()
    answers += ["yes", "example"]
    with pytest.raises(AnswerError, match="Nothing was destroyed"):
        commands.destroy(stacks, [], SETTINGS, assume_yes=False)
    assert all(stack.read_state()["resources"] for stack in stacks)
    assert capfd.readouterr().out.startswith(
        "To be destroyed in the environment example (123456789012, eu-central-1):\n"
        "  cluster: 1 resource(s)\n  network: 1 resource(s)\n"
    )
    commands.destroy(stacks, [], SETTINGS, assume_yes=False)
    assert not any(stack.read_state()["resources"] for stack in stacks)


def test_a_stack_that_another_one_reads_is_not_destroyed(stacks: list[Stack]) -> None:
    """The message names the stack that has to go first."""
    commands.deploy(stacks, [], SETTINGS, assume_yes=True)
    with pytest.raises(commands.DeployError, match="Destroy cluster first"):
        commands.destroy(stacks, ["network"], SETTINGS, assume_yes=True)


PROGRAM = """
import sys
from pathlib import Path
from deployment.terraform import Stack
stack = Stack("slow", Path(sys.argv[1]), ())
stack.init()
try:
    stack.show("apply", "-auto-approve")
except (KeyboardInterrupt, BrokenPipeError) as error:
    sys.stderr.write(type(error).__name__)
    sys.stderr.flush()
    import os
    os._exit(0)
"""


@pytest.fixture
def apply(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that applies a stack whose resource takes two seconds."""
    stack = make_stack(tmp_path, "slow", command="sleep 2; true")
    with started(sys.executable, "-c", PROGRAM, str(stack.folder), folder=PROJECT) as process:
        assert process.stdout
        while "Creating..." not in (line := process.stdout.readline()):
            assert line
        yield process


def test_an_interrupt_ends_terraform_in_order(apply: subprocess.Popen[str], tmp_path: Path) -> None:
    """An interrupt of the whole group, as a terminal sends it, leaves a state and no lock."""
    os.killpg(apply.pid, signal.SIGINT)
    output, errors = apply.communicate(timeout=30)
    assert errors == "KeyboardInterrupt"
    assert "Interrupt received" in output
    assert (tmp_path / "slow" / "terraform.tfstate").exists()
    assert not list((tmp_path / "slow").glob(".*.lock.info"))


def test_terraform_outlives_the_reader_of_its_output(apply: subprocess.Popen[str], tmp_path: Path) -> None:
    """`make apply | head` ends after Terraform has written its state."""
    assert apply.stdout
    apply.stdout.close()
    apply.wait(30)
    assert apply.stderr
    assert apply.stderr.read() == "BrokenPipeError"
    state = json.loads((tmp_path / "slow" / "terraform.tfstate").read_text())
    assert state["resources"][0]["instances"]


def test_terraform_outlives_a_killed_command_and_the_next_one_waits(
    apply: subprocess.Popen[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """After a SIGKILL Terraform writes its state; the next command says which process it waits for.

    Until then `unlock` refuses to take its lock away.
    """
    apply.kill()
    apply.communicate()
    with pytest.raises(TerraformError, match=r"slow: `terraform apply`, process \d+, .* Nothing was removed"):
        refuse_running(tmp_path / "slow", "Nothing was removed")
    state = Stack("slow", tmp_path / "slow", ()).read_state()
    assert state["resources"][0]["instances"][0].get("status") != "tainted"
    said = capfd.readouterr().err
    assert re.match(
        r"slow: `terraform apply`, process \d+, since [\d-]+ [\d:]+ UTC, still runs here\. Waiting until it "
        r"has ended\. To end it in good order: kill -INT \d+\n$",
        said,
    ), said
    assert not list((tmp_path / "slow").glob(".*.lock.info"))
    refuse_running(tmp_path / "slow", "Nothing was removed")
