"""Plan every stack of an environment into files that people review; apply exactly those files.

Intent: what was reviewed is what is applied. `plan` keeps the plan files, their JSON and one report in
`plans/<environment>/`; `apply` refuses them as soon as state, settings or code have moved on.
Not here: what in a plan deserves a look (plan_review/).
"""

import argparse
import datetime as dt
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.markdown import Markdown

from plan_review import markdown
from plan_review.command_line import EXIT_STATUSES, Parser
from plan_review.plan import Plan, PlanError, read_plan
from plan_review.review import APPROVAL, ERROR, PlannedStack, Review
from stacks.errors import UserError
from stacks.settings.load import PROJECT, SettingsError, load_environment

LOCK = ".terraform.lock.hcl"

_EPILOG = f"""exit status of plan:
{EXIT_STATUSES}exit status of apply:
  0  applied, or nothing to apply
  1  refused, or failed

ENV=<file name under environments/> chooses the environment.
"""


class PlansError(UserError):
    """Planning or applying can't be done; the message says why and what to do."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StackRecord(_Record):
    """What was planned for one stack, and from what.

    Attributes:
        configuration_sha256: Checksum of its Terraform JSON.
        state: Lineage and serial of its state; null if it had none.
        plan_sha256: Checksum of its plan file; null if it was not planned.
        preview: Whether the plan is only for reading, since a stack before it is going to change.
        has_changes: Whether applying the plan does anything.

    """

    configuration_sha256: str
    state: str | None
    plan_sha256: str | None
    preview: bool
    has_changes: bool


class PlansRecord(_Record):
    """`plans.json`: what one run of `plan` has left."""

    exit_status: int
    stacks: dict[str, StackRecord]


@dataclass(frozen=True)
class Stack:
    """A synthesized stack, and Terraform in its folder.

    Attributes:
        name: Its id.
        folder: Where its Terraform JSON is.
        upstream: Names of the stacks whose outputs it reads.

    """

    name: str
    folder: Path
    upstream: tuple[str, ...]

    @property
    def configuration(self) -> bytes:
        """Its Terraform JSON."""
        return (self.folder / "cdk.tf.json").read_bytes()

    def terraform(self, *arguments: str) -> str:
        """Run Terraform, and return what it prints.

        Raises:
            PlansError: If it fails; the message is Terraform's.

        """
        done = _terraform(self.folder, *arguments, output=subprocess.PIPE)
        if done.returncode:
            raise PlansError(f"{self.name}: terraform {arguments[0]} failed\n{done.stderr.strip()}")
        return done.stdout

    def init(self) -> None:
        """Prepare the folder for its backend and providers."""
        self.terraform("init", "-input=false", "-no-color")

    def state(self) -> dict[str, Any]:
        """Return its state; empty if there is none."""
        found: dict[str, Any] = json.loads(self.terraform("state", "pull") or "{}")
        return found

    def outputs_read(self, upstream: str) -> set[str]:
        """Return the outputs of another stack that its code reads."""
        reference = re.compile(rf"terraform_remote_state\.{re.escape(upstream)}\.outputs\.(\w+)")
        return set(reference.findall(self.configuration.decode()))


def main() -> None:
    """Plan or apply; exit with 1 and one message if that can't be done."""
    parser = Parser(
        prog="plans.py",
        description=(__doc__ or "").splitlines()[0],
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("plan", "plan every stack that can be planned, and write the report"),
        ("apply", "apply the plan files of the last plan, unless they are stale"),
    ):
        commands.add_parser(name, help=text, description=text)
    command = parser.parse_args().command
    try:
        settings = load_environment(os.environ.get("ENV"))
        stacks = read_stacks(synthesize())
        folder = PROJECT / "plans" / settings.environment
        if command == "plan":
            sys.exit(plan(stacks, folder, settings.environment))
        apply(stacks, folder, settings.environment)
    except (SettingsError, PlansError, PlanError) as error:
        sys.exit(str(error))
    except FileNotFoundError as error:
        sys.exit(f"{error.filename}: not found")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def synthesize() -> Path:
    """Write the Terraform JSON of every stack, and return the folder that it is in.

    main.py is a program of its own here: its Node.js would stay until the end, and die noisily of an
    interrupt that is meant for Terraform.

    Raises:
        PlansError: If it can't be written; the message is main.py's.

    """
    output = Path(os.environ.get("CDKTF_OUTDIR") or PROJECT / "cdktf.out").resolve()
    done = subprocess.run(
        [sys.executable, "main.py"],
        cwd=PROJECT,
        env={**os.environ, "CDKTF_OUTDIR": str(output)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PlansError(done.stderr.strip())
    return output


def read_stacks(output: Path) -> list[Stack]:
    """Return the synthesized stacks, each after those whose outputs it reads."""
    manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))["stacks"]
    ordered: dict[str, Stack] = {}
    while len(ordered) < len(manifest):
        for name, item in manifest.items():
            if name not in ordered and all(upstream in ordered for upstream in item["dependencies"]):
                ordered[name] = Stack(name, output / item["workingDirectory"], tuple(item["dependencies"]))
    return list(ordered.values())


def plan(stacks: Sequence[Stack], folder: Path, environment: str) -> int:
    """Plan each stack that can be planned, and write everything that a review needs to `folder`.

    Returns:
        0 nothing to do, 2 changes, 3 changes that need an explicit approval, 1 if a stack failed.

    """
    shutil.rmtree(folder, ignore_errors=True)
    # Plan files hold whatever a state holds.
    folder.mkdir(parents=True, mode=0o700)
    planner = _Planner(folder)
    planned = [planner.plan(stack) for stack in stacks]
    now = dt.datetime.now(dt.UTC)
    review = Review(f"Plan of {environment}, {now:%Y-%m-%d %H:%M} UTC", planned)
    report = markdown.write(review)
    (folder / "report.md").write_text(report, encoding="utf-8")
    (folder / "gitlab.json").write_text(json.dumps(review.gitlab_report) + "\n", encoding="utf-8")
    record = PlansRecord(exit_status=review.exit_status, stacks=planner.records)
    (folder / "plans.json").write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    print(flush=True)
    if sys.stdout.isatty():
        Console().print(Markdown(report))
    else:
        sys.stdout.buffer.write(report.encode())  # whatever the locale
    print(f"The report: {_shown(folder)}/report.md")
    return review.exit_status


class _Planner:
    """Plans one stack after the other, each in the light of those before it."""

    def __init__(self, folder: Path) -> None:
        self.records: dict[str, StackRecord] = {}
        self._folder = folder
        # By stack: the outputs that its state has, and those that its plan changes.
        self._published: dict[str, set[str]] = {}
        self._changing: dict[str, set[str]] = {}
        self._previews: set[str] = set()

    def plan(self, stack: Stack) -> PlannedStack:
        """Plan one stack; what goes wrong is part of the review."""
        print(f"{stack.name}: planning", flush=True)
        state: dict[str, Any] = {}
        try:
            stack.init()
            state = stack.state()
            self._published[stack.name] = set(state.get("outputs", {}))
            reason = self._unplannable(stack)
            planned = PlannedStack(stack.name, None, reason) if reason else self._planned(stack)
        except (PlansError, PlanError) as error:
            if not self._published:
                raise  # not even the first state can be read: no credentials, or no bucket
            planned = PlannedStack(stack.name, None, str(error), failed=True)
            print(error, file=sys.stderr, flush=True)
        self._record(stack, state, planned)
        totals = ", ".join(f"{number} to {action}" for action, number in planned.totals.items() if number)
        if not planned.failed:
            note = planned.note.partition("\n")[0]
            print(f"{stack.name}: {totals or note or 'no changes'}", flush=True)
        return planned

    def _unplannable(self, stack: Stack) -> str:
        """Return why a stack can't be planned yet; empty if it can."""
        for upstream in stack.upstream:
            if upstream not in self._published:
                return f"not planned: the state of {upstream} can't be read"
            missing = stack.outputs_read(upstream) - self._published[upstream]
            if missing and self._published[upstream]:
                return f"not planned: {upstream} does not publish {min(missing)} yet; apply that first"
            if missing:
                return f"not planned: {upstream} is not deployed yet; apply that first"
        return ""

    def _planned(self, stack: Stack) -> PlannedStack:
        waits_for = self._waits_for(stack)
        try:
            found = self._plan_files(stack)
        except PlansError as error:
            if not waits_for:
                raise
            # On the outputs that are about to change it may well not fit. Or something else is wrong:
            # the reader sees what.
            print(error, file=sys.stderr, flush=True)
            return PlannedStack(stack.name, None, f"not planned: {waits_for}; apply that first\n{error}")
        self._changing[stack.name] = {change.address for change in found.output_changes}
        note = f"a preview: {waits_for}; plan again after that is applied" if waits_for else ""
        return PlannedStack(stack.name, found, note)

    def _waits_for(self, stack: Stack) -> str:
        """Return what is going to change before a stack's plan can be applied; empty if nothing is."""
        for upstream in stack.upstream:
            changing = stack.outputs_read(upstream) & self._changing.get(upstream, set())
            if changing or upstream in self._previews:
                self._previews.add(stack.name)
                return f"{min(changing)} of {upstream} changes" if changing else f"{upstream} changes first"
        return ""

    def _plan_files(self, stack: Stack) -> Plan:
        file = self._folder / f"{stack.name}.tfplan"
        text = stack.terraform("plan", "-input=false", "-no-color", f"-out={file}")
        (self._folder / f"{stack.name}.txt").write_text(text, encoding="utf-8")
        document = stack.terraform("show", "-json", str(file))
        (self._folder / f"{stack.name}.json").write_text(document, encoding="utf-8")
        # A saved plan is tied to the providers of this lock file.
        shutil.copy(stack.folder / LOCK, self._folder / f"{stack.name}{LOCK}")
        return read_plan(document)

    def _record(self, stack: Stack, state: dict[str, Any], planned: PlannedStack) -> None:
        file = self._folder / f"{stack.name}.tfplan"
        self.records[stack.name] = StackRecord(
            configuration_sha256=_sha256(stack.configuration),
            state=_version(state),
            plan_sha256=_sha256(file.read_bytes()) if planned.plan else None,
            preview=stack.name in self._previews,
            has_changes=planned.has_changes,
        )


def apply(stacks: Sequence[Stack], folder: Path, environment: str) -> None:
    """Apply the plan files in `folder`, in the stacks' order.

    Raises:
        PlansError: If there are none, if they are stale (then nothing is changed), or if Terraform fails.

    """
    again = f"Plan again: make plan ENV={environment}"
    record = _read_record(folder, again)
    problem = next(_stale(stacks, record, folder), None)
    if problem:
        raise PlansError(f"{_shown(folder)}: stale, nothing was applied: {problem}. {again}")
    planned = record.stacks
    wanted = [
        stack for stack in stacks if planned[stack.name].has_changes and not planned[stack.name].preview
    ]
    if record.exit_status == APPROVAL:
        print(f"{_shown(folder)}/report.md has changes that need an explicit approval: this is it")
    for stack in wanted:
        file = folder / f"{stack.name}.tfplan"
        print(f"{stack.name}: applying {_shown(file)}", flush=True)
        colours = [] if sys.stdout.isatty() else ["-no-color"]
        done = _terraform(stack.folder, "apply", "-input=false", *colours, str(file), output=None)
        if done.returncode:
            raise PlansError(f"{stack.name}: terraform apply failed; its messages are above. {again}")
    if not wanted:
        print("nothing to apply")
    # They can't be applied twice, and the report is of the past.
    shutil.rmtree(folder)
    left = [name for name, item in record.stacks.items() if item.preview or item.plan_sha256 is None]
    if left:
        print(f"not applied, since a stack before had to be applied first: {', '.join(left)}. {again}")


def _read_record(folder: Path, again: str) -> PlansRecord:
    file = folder / "plans.json"
    try:
        record = PlansRecord.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise PlansError(
            f"{_shown(folder)}: there is no plan to apply. Plan first: make plan ENV={folder.name}"
        ) from None
    except ValidationError:
        raise PlansError(f"{_shown(file)}: not what `plan` wrote. {again}") from None
    if record.exit_status == ERROR:
        raise PlansError(f"{_shown(folder)}: not every stack could be planned. {again}")
    return record


def _stale(stacks: Sequence[Stack], record: PlansRecord, folder: Path) -> Iterator[str]:
    """Yield what has changed since the plan; what can be seen without AWS comes first."""
    if list(record.stacks) != [stack.name for stack in stacks]:
        yield f"it was of the stacks {', '.join(record.stacks)}"
        return
    for stack in stacks:
        planned, file = record.stacks[stack.name], folder / f"{stack.name}.tfplan"
        if _sha256(stack.configuration) != planned.configuration_sha256:
            yield f"the settings or the code give another configuration of {stack.name} than was planned"
        if planned.plan_sha256 and (not file.exists() or _sha256(file.read_bytes()) != planned.plan_sha256):
            yield f"{file.name} is not the file that was planned"
    for stack in stacks:
        lock = folder / f"{stack.name}{LOCK}"
        if lock.exists():
            shutil.copy(lock, stack.folder / LOCK)
        stack.init()
        found = _version(stack.state())
        planned_on = record.stacks[stack.name].state
        if found != planned_on:
            yield (
                f"the state of {stack.name} has changed "
                f"({found or 'none'}, planned on {planned_on or 'none'})"
            )


def _terraform(folder: Path, *arguments: str, output: int | None) -> subprocess.CompletedProcess[str]:
    """Run Terraform to its end, even if this program is told to end: else a lock or a state would be lost.

    Raises:
        KeyboardInterrupt: After Terraform has ended, if there was an interrupt.

    """
    received: list[int] = []
    process: subprocess.Popen[str] | None = None

    def end(number: int, _frame: FrameType | None) -> None:
        # At a second interrupt Terraform would give up without writing the state.
        if process and not received:
            process.send_signal(signal.SIGINT)
        received.append(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            ["terraform", *arguments],  # noqa: S607 - the user's Terraform
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C reaches it by `end` alone, and once
        )
        if received:
            process.send_signal(signal.SIGINT)
        printed, complained = process.communicate()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt
    return subprocess.CompletedProcess(process.args, process.returncode, printed, complained)


def _version(state: dict[str, Any]) -> str | None:
    return f"serial {state['serial']} of {state['lineage']}" if state else None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _shown(path: Path) -> Path:
    return path.relative_to(PROJECT)


if __name__ == "__main__":
    main()
