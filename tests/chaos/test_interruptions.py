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
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from stacks import STACKS
from tests.chaos import account
from tests.chaos.conftest import Outcomes
from tests.chaos.figures import Figures
from tests.emulator.project import Project, running_project
from tests.processes import find_processes

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux lists processes under /proc")

CASES = 116  # some commands end before their signal; at least 100 do not
WAIT_SECONDS = 300
PYTHON = ".venv/bin/python"
CDKTF = "node_modules/.bin/cdktf {} {{stack}} --auto-approve --skip-provider-lock --output cdktf.out"
# Lines that Terraform prints while it works, through whichever command: two for each resource.
PROGRESS = re.compile(r"Creating\.\.\.|Creation complete|Destroying\.\.\.|Destruction complete")
LAST_LINE = re.compile(r"^(Deployed|Destroyed|The report|The report stays): ", re.MULTILINE)
TROUBLE = ("failed", "locks", "orphans", "refused")  # in an outcome: one more run was not enough
START_SECONDS = 3.0  # the time of a command before its first such line, about


@dataclass(frozen=True)
class Command:
    """A command that people type.

    Attributes:
        name: What the table calls it.
        words: The command line; `{stack}` is the stack.
        weight: How often each signal interrupts it in a round.
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
ROUND = [(command, number) for command in COMMANDS for number in SIGNALS for _ in range(command.weight)]


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
            f"case {self.number}: {self.command.name} {self.stack}, {self.describe_signal()} after {moment}"
            f"{self.seconds:.2f} s; next: {'look for orphans' if self.looks_first else 'run it again'}"
        )

    def describe_signal(self, *, to_terraform: bool | None = None) -> str:
        """Return the signal, and who gets it; by default who is meant to get it."""
        to_terraform = self.to_terraform if to_terraform is None else to_terraform
        return f"{self.signal.name} to Terraform" if to_terraform else self.signal.name


def draw(seed: int, number: int) -> Case:
    """Draw a case from the seed and its number. Each round interrupts each command with each signal."""
    command, drawn = random.Random(seed).sample(ROUND, len(ROUND))[number % len(ROUND)]
    rng = random.Random(f"{seed} {number}")
    is_small = rng.random() < 0.87 or command.name in {"deployment plan", "deployment apply"}
    is_early = rng.random() < 0.2 or command.name == "deployment plan"
    return Case(
        number=number,
        command=command,
        stack="network" if is_small else rng.choice(("cluster", "workloads")),
        signal=drawn,
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
        figures.write("interruptions", tabulate(found), is_whole=len(found) == CASES)


@pytest.mark.chaos
@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("number", range(CASES))
def test_one_more_run_converges_after_each_interruption(
    project: Project, seed: int, number: int, outcomes: Outcomes
) -> None:
    """A command that was interrupted can be run again: nothing is doubled, orphaned or left locked."""
    case = draw(seed, number)
    outcome: dict[str, Any] = {"failed": True, "was_running": True, "target": case.describe_signal()}
    try:
        outcome = check(project, case)
    finally:
        outcomes.add({"command": case.command.name, **outcome})


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
    """Run the case's command, and send the signal at its moment.

    Returns:
        Whether the command was still running, its exit status, and the signal with who got it.

    """
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
    try:
        return interrupt_started(project, case, process, log)
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def interrupt_started(
    project: Project, case: Case, process: "subprocess.Popen[bytes]", log: Path
) -> dict[str, Any]:
    """Send the signal to a command that writes to a log, and wait for the command's end."""
    lines = 2 * case.share * len(account.list_configured(project, case.stack))
    deadline = time.monotonic() + WAIT_SECONDS
    while process.poll() is None and len(PROGRESS.findall(log.read_text())) < lines:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    signal_at = time.monotonic() + case.seconds
    while process.poll() is None and time.monotonic() < signal_at:
        time.sleep(0.01)
    was_running = process.poll() is None
    to_terraform = was_running and send(project.folder, case, process)
    status = process.wait(WAIT_SECONDS)
    printed = log.read_text()
    assert "Traceback" not in printed, printed
    is_told = case.command.is_ours and case.signal != signal.SIGKILL and not to_terraform
    if was_running and is_told and status:
        # A signal can also come between the command's last line and the end of its process, and end it.
        is_done = status < 0 and LAST_LINE.search(printed)
        assert "interrupted" in printed or is_done, printed
    target = case.describe_signal(to_terraform=to_terraform)
    return {"was_running": was_running, "status": status, "target": target}


def send(folder: Path, case: Case, process: "subprocess.Popen[bytes]") -> bool:
    """Send the case's signal; return whether Terraform has got it. If none runs, the command gets it."""
    if case.to_terraform:
        for terraform in find_processes(folder, "terraform"):
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(terraform, case.signal)
                return True
    if case.signal == signal.SIGINT:
        os.killpg(process.pid, case.signal)  # as a Ctrl-C in a terminal
    else:
        process.send_signal(case.signal)
    return False


def run_again(project: Project, case: Case) -> subprocess.CompletedProcess[str]:
    """Run what brings the case to its end: this project's command, or Terraform."""
    if not case.command.is_ours or case.command.name == "deployment plan":
        return account.apply(project, case.stack, destroys=case.command.destroys)
    return project.deployment("destroy" if case.command.destroys else "deploy", "--yes", case.stack)


def wait_for_terraform(project: Project) -> None:
    """Wait until no Terraform of the project runs: it may outlive a killed command."""
    deadline = time.monotonic() + WAIT_SECONDS
    while find_processes(project.folder, "terraform"):
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
            sum(not any(item.get(name) for name in TROUBLE) for item in group),
            sum(bool(item.get("locks")) for item in group),
            sum(bool(item.get("orphans")) for item in group),
        )
        lines.append(f"| `{command}` | {target} | {len(group)} | {converged} | {locks} | {orphans} |")
    objects = sum((Counter[str](item.get("orphans") or {}) for item in interrupted), Counter())
    refusals = Counter(item["refused"] for item in interrupted if item.get("refused"))
    failed = sum(item.get("failed", False) for item in outcomes)
    listed = ", ".join(f"{count} `{name}`" for name, count in objects.most_common())
    lines += [
        "",
        f"{len(interrupted)} interruptions. {len(outcomes) - len(interrupted)} more commands ended sooner.",
        "",
        f"Cases that failed: {failed}.",
        "",
        f"Orphans, which are objects in no state: {listed or 'none'}.",
    ]
    if refusals:
        lines += ["", "Errors of the next run before the objects were removed:", ""]
        lines += [f"- {count} × `{text}`" for text, count in refusals.most_common()]
    return lines
