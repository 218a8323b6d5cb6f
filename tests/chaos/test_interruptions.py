"""Commands that are interrupted or killed at random moments, and the run after it.

Each case draws its command, its signal and its moment from the seed and its own number, and prints them. It
needs no case before it.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import account
from tests.chaos.figures import Figures
from tests.emulator.project import Project, running_project

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux lists processes under /proc")

CASES = 110
SAMPLE = 1  # the case that `make test` runs
WAIT_SECONDS = 240
PYTHON = ".venv/bin/python"
# Lines that Terraform prints while it works, through whichever command.
PROGRESS = re.compile(
    r"Creating\.\.\.|Creation complete|Destroying\.\.\.|Destruction complete|Modif|created in"
)
# The number of such lines of an undisturbed command.
LINES = {"network": 52, "cluster": 110, "workloads": 50}
SECONDS = 3.0  # the start of a command, before its first line


@dataclass(frozen=True)
class Command:
    """A command that people type, and the state of the account that it begins with.

    Attributes:
        name: What the table calls it.
        words: The command line; `{stack}` is the stack.
        begins_deployed: Whether the stack is deployed before.
        in_folder: Whether it runs in the stack's folder.
        is_ours: Whether it is one of this project's commands.

    """

    name: str
    words: str
    begins_deployed: bool = False
    in_folder: bool = False
    is_ours: bool = False


CDKTF = "node_modules/.bin/cdktf {} {{stack}} --auto-approve --skip-provider-lock --output cdktf.out"
COMMANDS = (
    Command("terraform apply", "terraform apply -auto-approve -input=false -no-color", in_folder=True),
    Command(
        "terraform destroy", "terraform destroy -auto-approve -input=false -no-color", True, in_folder=True
    ),
    Command("deployment deploy", f"{PYTHON} -m deployment deploy --yes {{stack}}", is_ours=True),
    Command("deployment plan", f"{PYTHON} -m deployment plan", is_ours=True),
    Command("deployment apply", f"{PYTHON} -m deployment apply", is_ours=True),
    Command("deployment destroy", f"{PYTHON} -m deployment destroy --yes {{stack}}", True, is_ours=True),
    Command("cdktf deploy", CDKTF.format("deploy")),
    Command("cdktf destroy", CDKTF.format("destroy"), True),
)
WEIGHTS = (4, 3, 5, 1, 3, 4, 2, 1)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


@dataclass(frozen=True)
class Case:
    """One interruption.

    Attributes:
        number: The case's number.
        command: The interrupted command.
        stack: The stack that it works on.
        signal: The signal.
        to_terraform: Whether only Terraform gets it, and not the command that has started Terraform.
        lines: After which line of Terraform's progress it is sent; 0: before the first one.
        seconds: How long after that line, or after the start.

    """

    number: int
    command: Command
    stack: str
    signal: signal.Signals
    to_terraform: bool
    lines: int
    seconds: float

    def __str__(self) -> str:
        """Return the case in words, for the log."""
        target = " to terraform" if self.to_terraform else ""
        moment = f"line {self.lines} + " if self.lines else ""
        return (
            f"case {self.number}: {self.command.name} {self.stack}: {self.signal.name}{target} after "
            f"{moment}{self.seconds:.2f} s"
        )


@dataclass
class Outcome:
    """The end of one case: what the run after the interruption needed."""

    case: Case
    was_interrupted: bool = False
    status: int = 0
    locks: int = 0
    orphans: Counter[str] = field(default_factory=Counter)
    refused: str = ""


def draw(seed: int, number: int) -> Case:
    """Draw a case from the seed and its number."""
    rng = random.Random(f"{seed} {number}")
    (command,) = rng.choices(COMMANDS, WEIGHTS)
    stack = (
        "network"
        if command.name in {"deployment plan", "deployment apply"} or rng.random() < 0.85
        else rng.choice(("cluster", "workloads"))
    )
    number_of_signal = rng.choice(SIGNALS)
    to_terraform = not command.in_folder and rng.random() < 0.3
    is_early = rng.random() < 0.25
    lines = 0 if is_early or command.name == "deployment plan" else rng.randint(1, LINES[stack] * 2 // 3)
    seconds = rng.uniform(0, SECONDS) if not lines else rng.expovariate(10)
    return Case(number, command, stack, number_of_signal, to_terraform, lines, seconds)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """A project on an emulated AWS of its own, synthesized, with Terraform prepared."""
    with running_project(tmp_path_factory.mktemp("interrupted") / "project", aws_reattach) as running:
        # Without the program that counts Terraform commands: Terraform would survive a SIGKILL to it.
        environment = {**running.environment, "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
        project = replace(running, environment=environment)
        project.synthesize()
        for stack in ("network", "cluster", "workloads"):
            done = project.terraform(stack, "init", "-input=false")
            assert done.returncode == 0, done.stderr
        yield project


@pytest.fixture(scope="module")
def outcomes(figures: Figures) -> Iterator[list[Outcome]]:
    """The outcomes of all cases; at the end they become the table."""
    outcomes: list[Outcome] = []
    yield outcomes
    if len(outcomes) > 1:
        lines = tabulate(outcomes)
        print("\n".join(lines))
        figures.write("interruptions", lines)


def test_one_more_run_converges_after_an_interruption(
    project: Project, outcomes: list[Outcome], seed: int
) -> None:
    """A command that was interrupted can be run again: nothing is doubled, orphaned or left locked."""
    check(project, draw(seed, SAMPLE), outcomes)


@pytest.mark.chaos
@pytest.mark.parametrize("number", range(CASES))
def test_one_more_run_converges_after_each_interruption(
    project: Project, outcomes: list[Outcome], seed: int, number: int
) -> None:
    """The same at many random moments, for each command and each signal."""
    check(project, draw(seed, number), outcomes)


def check(project: Project, case: Case, outcomes: list[Outcome]) -> None:
    """Interrupt a command, run it again as the documentation says, and compare the account with the states."""
    print(case)
    prepare(project, case)
    outcome = Outcome(case)
    interrupt(project, case, outcome)
    try:
        converge(project, case, outcome)
        found = account.find_orphans(project)
        assert [(item.type, item.id) for item in found] == []
        assert account.find_locks(project) == []
        resources = account.read_resources(project)
        addresses = {address for address in resources if address.startswith(f"{case.stack}:")}
        assert addresses == (set() if case.command.begins_deployed else configured(project, case.stack))
    except BaseException:
        account.empty(project)
        raise
    print(f"{case}: {outcome}")
    outcomes.append(outcome)


def prepare(project: Project, case: Case) -> None:
    """Bring the account to where the case begins: the stacks before are deployed, those after it are not."""
    stacks = ("network", "cluster", "workloads")
    position = stacks.index(case.stack)
    resources = account.read_resources(project)
    present = {stack for stack in stacks if any(item.startswith(f"{stack}:") for item in resources)}
    wanted = set(stacks[: position + case.command.begins_deployed])
    if present - wanted:
        done = project.deployment("destroy", "--yes", *(present - wanted))
        assert done.returncode == 0, done.stdout + done.stderr
    for stack in stacks:
        if stack in wanted - present:
            done = project.deployment("deploy", "--yes", stack)
            assert done.returncode == 0, done.stdout + done.stderr
    if case.command.name == "deployment apply":
        done = project.deployment("plan")
        assert done.returncode in {2, 3}, done.stdout + done.stderr


def interrupt(project: Project, case: Case, outcome: Outcome) -> None:
    """Run the case's command, and send the signal at its moment."""
    words = case.command.words.format(stack=case.stack).split()
    if words[0] == "terraform":
        words[0] = shutil.which("terraform") or ""
    log = project.folder / ".work" / f"case-{case.number}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            cwd=project.stack_folder(case.stack) if case.command.in_folder else project.folder,
            env=project.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + WAIT_SECONDS
    while process.poll() is None and len(PROGRESS.findall(log.read_text())) < case.lines:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    end = time.monotonic() + case.seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    outcome.was_interrupted = process.poll() is None
    if outcome.was_interrupted:
        terraforms = find_terraforms(project)
        if case.to_terraform and terraforms:
            os.kill(terraforms[0], case.signal)
        elif case.signal == signal.SIGINT:
            os.killpg(process.pid, case.signal)  # a Ctrl-C in a terminal
        else:
            os.kill(process.pid, case.signal)
    outcome.status = process.wait(WAIT_SECONDS)
    printed = log.read_text()
    assert "Traceback" not in printed, printed
    if case.command.is_ours and outcome.was_interrupted and not case.to_terraform and outcome.status == 1:
        assert case.signal != signal.SIGKILL
        assert "interrupted" in printed, printed


def converge(project: Project, case: Case, outcome: Outcome) -> None:
    """Run the command again, and do what its messages and docs/operations.md say until it is done."""
    verb = "destroy" if case.command.begins_deployed else "deploy"
    wait_for_terraform(project)
    for _ in range(3):
        done = project.deployment(verb, "--yes", case.stack)
        if "Error acquiring the state lock" in done.stdout + done.stderr:
            outcome.locks += 1
            unlocked = project.deployment("unlock", "--yes", case.stack)
            assert unlocked.returncode == 0, unlocked.stdout + unlocked.stderr
            continue
        orphans = account.find_orphans(project)
        if done.returncode == 0 and not orphans:
            return
        if done.returncode:
            outcome.refused = find_error(done.stdout + done.stderr)
        assert orphans, done.stdout + done.stderr
        outcome.orphans.update(item.type for item in orphans)
        shown = project.deployment("orphans")
        assert shown.returncode == 0, shown.stderr
        commands = [line for line in shown.stdout.splitlines() if line.startswith("aws ")]
        assert len([line for line in shown.stdout.splitlines() if line.startswith("# ")]) == len(orphans)
        account.run_aws_commands(project, commands)
    raise AssertionError(f"{case}: not converged after three runs: {done.stdout}{done.stderr}")


def configured(project: Project, stack: str) -> set[str]:
    """Return the addresses of the resources that a stack configures."""
    resources = json.loads((project.stack_folder(stack) / "cdk.tf.json").read_text())["resource"]
    return {f"{stack}: {type_}.{name}" for type_, items in resources.items() for name in items}


def find_error(output: str) -> str:
    """Return Terraform's first error."""
    found = re.search(r"Error: (.+)", output)
    return found[1].strip() if found else ""


def find_terraforms(project: Project) -> list[int]:
    """Return the IDs of the Terraform processes of the project."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip() == "terraform" and (
                process / "cwd"
            ).readlink().is_relative_to(project.folder):
                found.append(int(process.name))
        except OSError:
            continue  # the process has just ended, or belongs to somebody else
    return found


def wait_for_terraform(project: Project) -> None:
    """Wait until no Terraform of the project runs: one may outlive a killed command."""
    deadline = time.monotonic() + WAIT_SECONDS
    while find_terraforms(project):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def tabulate(outcomes: list[Outcome]) -> list[str]:
    """Return the table of the outcomes, by command and signal."""
    lines = [
        "| command | signal | interrupted | one more run was enough | a lock to remove | left objects in no state |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.was_interrupted:
            case = outcome.case
            target = f"{case.signal.name} to terraform" if case.to_terraform else case.signal.name
            groups.setdefault((case.command.name, target), []).append(outcome)
    for (command, target), group in sorted(groups.items()):
        converged = sum(not item.locks and not item.orphans for item in group)
        locks = sum(bool(item.locks) for item in group)
        orphans = sum(bool(item.orphans) for item in group)
        lines.append(f"| `{command}` | {target} | {len(group)} | {converged} | {locks} | {orphans} |")
    interrupted = [item for item in outcomes if item.was_interrupted]
    orphans = sum((item.orphans for item in interrupted), Counter())
    lines += [
        "",
        f"{len(interrupted)} interruptions; {len(outcomes) - len(interrupted)} more commands had ended before the "
        f"signal. Objects that were in no state: "
        + (", ".join(f"{count} {name}" for name, count in orphans.most_common()) or "none")
        + ".",
    ]
    return lines
