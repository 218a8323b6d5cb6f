"""Commands that are interrupted or killed at random moments, and the run after it.

Each case draws its command, its signal and its moment from the seed and its own number, and prints them. It
needs no case before it: `make chaos OPTIONS="--seed 1234 -k interruption"` repeats a run.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from stacks import STACKS
from tests.chaos import account
from tests.chaos.conftest import Outcomes
from tests.chaos.figures import Figures
from tests.emulator.project import Project, running_project

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux lists processes under /proc")

CASES = 116  # some commands end before their signal; at least 100 do not
WAIT_SECONDS = 300
PYTHON = ".venv/bin/python"
CDKTF = "node_modules/.bin/cdktf {} {{stack}} --auto-approve --skip-provider-lock --output cdktf.out"
# Lines that Terraform prints while it works, through whichever command: two for each resource.
PROGRESS = re.compile(r"Creating\.\.\.|Creation complete|Destroying\.\.\.|Destruction complete")
START_SECONDS = 3.0  # the time of a command before its first such line, about


@dataclass(frozen=True)
class Command:
    """A command that people type.

    Attributes:
        name: What the table calls it.
        words: The command line; `{stack}` is the stack.
        weight: How often it is drawn.
        destroys: Whether it destroys a stack; else it deploys one.
        is_terraform: Whether it is Terraform itself, in the stack's folder.
        is_ours: Whether it is one of this project's commands.

    """

    name: str
    words: str
    weight: int
    destroys: bool = False
    is_terraform: bool = False
    is_ours: bool = False


COMMANDS = (
    Command("terraform apply", "terraform apply -auto-approve -no-color", 5, is_terraform=True),
    Command(
        "terraform destroy", "terraform destroy -auto-approve -no-color", 4, destroys=True, is_terraform=True
    ),
    Command("deployment deploy", f"{PYTHON} -m deployment deploy --yes {{stack}}", 6, is_ours=True),
    Command("deployment plan", f"{PYTHON} -m deployment plan", 1, is_ours=True),
    Command("deployment apply", f"{PYTHON} -m deployment apply", 2, is_ours=True),
    Command(
        "deployment destroy",
        f"{PYTHON} -m deployment destroy --yes {{stack}}",
        4,
        destroys=True,
        is_ours=True,
    ),
    Command("cdktf deploy", CDKTF.format("deploy"), 2),
    Command("cdktf destroy", CDKTF.format("destroy"), 1, destroys=True),
)
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
        share: After which share of Terraform's progress it is sent; 0: before Terraform begins to work.
        seconds: How long after that, or after the command's start.
        looks_first: Whether the user looks for orphans before the next run.

    """

    number: int
    command: Command
    stack: str
    signal: signal.Signals
    to_terraform: bool
    share: float
    seconds: float
    looks_first: bool

    def __str__(self) -> str:
        """Return the case in words, for the log."""
        moment = f"{self.share:.0%} of the resources and " if self.share else ""
        return (
            f"case {self.number}: {self.command.name} {self.stack}, {self.target} after {moment}"
            f"{self.seconds:.2f} s; next: {'look for orphans' if self.looks_first else 'run it again'}"
        )

    @property
    def target(self) -> str:
        """Return the signal, and who gets it."""
        return f"{self.signal.name} to Terraform" if self.to_terraform else self.signal.name


def draw(seed: int, number: int) -> Case:
    """Draw a case from the seed and its number."""
    rng = random.Random(f"{seed} {number}")
    (command,) = rng.choices(COMMANDS, [command.weight for command in COMMANDS])
    is_small = rng.random() < 0.87 or command.name in {"deployment plan", "deployment apply"}
    is_early = rng.random() < 0.2 or command.name == "deployment plan"
    return Case(
        number=number,
        command=command,
        stack="network" if is_small else rng.choice(("cluster", "workloads")),
        signal=rng.choice(SIGNALS),
        to_terraform=not command.is_terraform and rng.random() < 0.3,
        share=0.0 if is_early else rng.uniform(0.01, 0.9),
        seconds=rng.uniform(0, START_SECONDS) if is_early else rng.expovariate(10),
        looks_first=rng.random() < 0.6,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """A project on an emulated AWS of its own, ready for Terraform."""
    with running_project(tmp_path_factory.mktemp("interrupted") / "project", aws_reattach) as running:
        # Without the program that counts Terraform commands: Terraform would survive a SIGKILL to it.
        environment = {**running.environment, "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
        project = replace(running, environment=environment)
        project.synthesize()
        for stack in STACKS:
            account.succeed(project.terraform(stack, "init", "-input=false"))
        yield project


@pytest.fixture(scope="module")
def table(figures: Figures, outcomes: Outcomes) -> Iterator[None]:
    """Write the table when the cases are done."""
    yield
    if found := outcomes.read():
        lines = tabulate(found)
        print("\n".join(lines))
        figures.write("interruptions", lines)


@pytest.mark.chaos
@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("number", range(CASES))
def test_one_more_run_converges_after_each_interruption(
    project: Project, seed: int, number: int, outcomes: Outcomes
) -> None:
    """A command that was interrupted can be run again: nothing is doubled, orphaned or left locked."""
    case = draw(seed, number)
    outcomes.add({"command": case.command.name, "target": case.target, **check(project, case)})


def check(project: Project, case: Case) -> dict[str, Any]:
    """Interrupt a command, go on as the documentation says, and return what it took."""
    print(case)
    account.bring(project, STACKS[: STACKS.index(case.stack) + case.command.destroys])
    if case.command.name == "deployment apply":
        assert project.deployment("plan").returncode in {2, 3}
    try:
        outcome = interrupt(project, case)
        wait_for_terraform(project)
        outcome |= account.converge(
            project,
            case.stack,
            destroys=case.command.destroys,
            run_again=lambda: run_again(project, case),
            looks_first=case.looks_first,
        )
    except BaseException:
        account.empty(project)  # the next case begins with an empty account
        raise
    print(outcome)
    return outcome


def interrupt(project: Project, case: Case) -> dict[str, Any]:
    """Run the case's command, and send the signal at its moment; return whether it was still running."""
    words = case.command.words.format(stack=case.stack).split()
    log = project.folder / ".work" / f"case-{case.number}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [shutil.which(words[0]) or words[0], *words[1:]],
            cwd=project.stack_folder(case.stack) if case.command.is_terraform else project.folder,
            env=project.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    lines = 2 * case.share * len(account.list_configured(project, case.stack))
    deadline = time.monotonic() + WAIT_SECONDS
    while process.poll() is None and len(PROGRESS.findall(log.read_text())) < lines:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    with_signal = time.monotonic() + case.seconds
    while process.poll() is None and time.monotonic() < with_signal:
        time.sleep(0.01)
    was_running = process.poll() is None
    if was_running:
        terraforms = find_terraforms(project)
        if case.to_terraform and terraforms:
            os.kill(terraforms[0], case.signal)
        elif case.signal == signal.SIGINT:
            os.killpg(process.pid, case.signal)  # as a Ctrl-C in a terminal
        else:
            os.kill(process.pid, case.signal)
    status = process.wait(WAIT_SECONDS)
    printed = log.read_text()
    assert "Traceback" not in printed, printed
    is_told = case.command.is_ours and case.signal != signal.SIGKILL and not case.to_terraform
    if was_running and is_told and status:
        assert "interrupted" in printed, printed
    return {"was_running": was_running, "status": status}


def run_again(project: Project, case: Case) -> subprocess.CompletedProcess[str]:
    """Run what brings the case to its end: this project's command, or Terraform."""
    if not case.command.is_ours or case.command.name == "deployment plan":
        return account.apply(project, case.stack, destroys=case.command.destroys)
    return project.deployment("destroy" if case.command.destroys else "deploy", "--yes", case.stack)


def find_terraforms(project: Project) -> list[int]:
    """Return the IDs of the Terraform processes of the project."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_terraform = (process / "comm").read_text().strip() == "terraform"
            if is_terraform and (process / "cwd").readlink().is_relative_to(project.folder):
                found.append(int(process.name))
        except OSError:
            continue  # the process has just ended, or belongs to somebody else
    return found


def wait_for_terraform(project: Project) -> None:
    """Wait until no Terraform of the project runs: it may outlive a killed command."""
    deadline = time.monotonic() + WAIT_SECONDS
    while find_terraforms(project):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def tabulate(outcomes: list[dict[str, Any]]) -> list[str]:
    """Return the table of the outcomes."""
    interrupted = [item for item in outcomes if item["was_running"]]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for item in interrupted:
        groups.setdefault((item["command"], item["target"]), []).append(item)
    lines = [
        "| command | signal | interrupted | one more run converged | left a lock | left orphans |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (command, target), group in sorted(groups.items()):
        converged, locks, orphans = (
            sum(not item["locks"] and not item["orphans"] and not item["refused"] for item in group),
            sum(bool(item["locks"]) for item in group),
            sum(bool(item["orphans"]) for item in group),
        )
        lines.append(f"| `{command}` | {target} | {len(group)} | {converged} | {locks} | {orphans} |")
    objects = sum((Counter(item["orphans"]) for item in interrupted), Counter())
    refusals = Counter(item["refused"] for item in interrupted if item["refused"])
    listed = ", ".join(f"{count} `{name}`" for name, count in objects.most_common())
    lines += [
        "",
        f"{len(interrupted)} interruptions. {len(outcomes) - len(interrupted)} more commands ended sooner.",
        "",
        f"Orphans, which are objects in no state: {listed or 'none'}.",
    ]
    if refusals:
        lines += ["", "Errors of the next run before the objects were removed:", ""]
        lines += [f"- {count} × `{text}`" for text, count in refusals.most_common()]
    return lines
