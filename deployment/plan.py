"""Plan every stack of an environment into files that people review.

`plans/<environment>/` then holds the plan files, their JSON and text, one report in the formats of its
readers, and `plans.json`.
Not here: the findings of the report (plan_review/).
"""

import datetime as dt
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markdown import Markdown

from deployment.settings_lines import read_lines
from deployment.terraform import Stack, TerraformError
from plan_review import code_quality, markdown, sarif
from plan_review.accepted import Accepted, read_accepted
from plan_review.capacity import NodeNumber, find_numbers_set
from plan_review.exit_status import ExitStatus
from plan_review.plan import Plan, PlanError, read_plan
from plan_review.review import PlannedStack, Review
from prices.aws import read_current
from prices.table import PriceError, PriceTable
from stacks.backend import PROVIDER_LOCK
from stacks.settings import Settings
from stacks.settings.load import PROJECT

ACCEPTED_FILE = PROJECT / "plan_review.yaml"


class StackRecord(BaseModel, extra="forbid", strict=True, frozen=True):
    """The plan of one stack, and its inputs.

    Attributes:
        configuration_sha256: Checksum of its Terraform JSON.
        state: Lineage and serial of its state; null if it had none.
        plan_sha256: Checksum of its plan file; null if it was not planned.
        preview: Whether the plan is only for reading, because a stack before it has changes.
        has_changes: Whether an apply of the plan changes anything.
        node_numbers: The numbers of nodes that an apply of the plan sets.
        dangers: The digest of each finding that needs an approval, with the finding in words.

    """

    configuration_sha256: str
    state: str | None
    plan_sha256: str | None
    preview: bool
    has_changes: bool
    node_numbers: tuple[NodeNumber, ...]
    dangers: dict[str, str]


class PlansRecord(BaseModel, extra="forbid", strict=True, frozen=True):
    """`plans.json`: the result of one run of `plan`.

    Attributes:
        exit_status: The exit status of the run.
        digest: The digest of all findings that need an approval; empty if there are none.
        commit: The commit of the settings and the code, if git knows it.
        stacks: The record of each stack.

    """

    exit_status: int
    digest: str
    commit: str
    stacks: dict[str, StackRecord]


def plan(stacks: Sequence[Stack], settings: Settings) -> int:
    """Plan each stack that can be planned, and write the plans and their report.

    Returns:
        0 nothing to do, 2 changes, 3 changes that need an explicit approval, 1 if a stack failed.

    """
    accepted = read_project_accepted(dt.datetime.now(dt.UTC).date())
    folder = find_plans_folder(settings.environment)
    shutil.rmtree(folder, ignore_errors=True)
    # A plan file holds everything that the state holds.
    folder.mkdir(parents=True, mode=0o700)
    planner = _Planner(folder)
    planned = [planner.plan(stack) for stack in stacks]
    now = dt.datetime.now(dt.UTC)
    prices = read_prices(settings, planned, now.date())
    title = f"Plan of {settings.environment}, {now:%Y-%m-%d %H:%M} UTC"
    facts = _collect_facts(settings)
    review = Review(title, planned, facts, accepted)
    commands = {}
    if review.exit_status != ExitStatus.ERROR:
        commands["apply with"] = f"make apply ENV={settings.environment}"
    if review.digest:
        commands["approve with"] = f"make approve ENV={settings.environment}"
    review = replace(review, facts=facts | commands)
    report = markdown.write(review, prices=prices)
    (folder / "report.md").write_text(report, encoding="utf-8")
    locate = read_lines(settings.environment)
    for name, content in (
        ("gitlab.json", review.gitlab_report),
        ("code-quality.json", code_quality.build(review, locate)),
        ("findings.sarif", sarif.build(review, locate)),
    ):
        (folder / name).write_text(json.dumps(content) + "\n", encoding="utf-8")
    record = PlansRecord(
        exit_status=review.exit_status,
        digest=review.digest,
        commit=facts["commit"],
        stacks={
            name: item.model_copy(update={"dangers": review.dangers[name]})
            for name, item in planner.records.items()
        },
    )
    (folder / "plans.json").write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    print(flush=True)
    if sys.stdout.isatty():
        Console().print(Markdown(markdown.write(review, prices=prices, folded=False)))
    else:
        sys.stdout.buffer.write(report.encode())  # the locale may not be UTF-8
    print(f"The report: {shorten_path(folder)}/report.md")
    return review.exit_status


def read_project_accepted(today: dt.date) -> Accepted:
    """Return the findings that the project accepts; none if it has no file for them."""
    if not ACCEPTED_FILE.exists():
        return Accepted()
    return read_accepted(ACCEPTED_FILE.read_bytes(), ACCEPTED_FILE.name, today)


def read_prices(settings: Settings, planned: Iterable[PlannedStack], today: dt.date) -> PriceTable | None:
    """Return AWS's current prices if the plans have changes.

    None means this project's table, if nothing changes, AWS is emulated, or it does not tell.
    """
    if settings.aws.is_local or not any(stack.has_changes for stack in planned):
        return None
    print("prices: asking AWS", flush=True)
    types = {name for group in settings.cluster.node_groups.values() for name in group.instance_types}
    try:
        return read_current(settings.aws.region, types, today)
    except PriceError as error:
        print(f"prices: {error}. The report takes this project's table.", file=sys.stderr, flush=True)
        return None


def _collect_facts(settings: Settings) -> dict[str, str]:
    """Return the account, the region and the commit, for the report."""
    commit = ""
    if git := shutil.which("git"):
        command = [git, "describe", "--always", "--dirty"]
        found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)  # noqa: S603
        commit = found.stdout.strip()
    account = settings.aws.account_id or "the account of the credentials"
    return {
        "account": "emulated on this machine, workloads is rehearsed" if settings.aws.is_local else account,
        "region": settings.aws.region,
        "commit": commit or "unknown",
    }


class _Planner:
    """Plans one stack after the other; a plan depends on the states and plans of the stacks before it."""

    def __init__(self, folder: Path) -> None:
        self.records: dict[str, StackRecord] = {}
        self._folder = folder
        # By stack: the outputs in its state, and the outputs that its plan changes.
        self._published: dict[str, set[str]] = {}
        self._changing: dict[str, set[str]] = {}
        self._previews: set[str] = set()

    def plan(self, stack: Stack) -> PlannedStack:
        """Plan one stack; an error becomes part of the review."""
        print(f"{stack.name}: planning", flush=True)
        state: dict[str, Any] = {}
        try:
            stack.init()
            state = stack.read_state()
            self._published[stack.name] = set(state.get("outputs", {}))
            reason = self._explain_no_plan(stack)
            planned = PlannedStack(stack.name, None, reason) if reason else self._plan(stack)
        except (TerraformError, PlanError) as error:
            if not self._published:
                raise  # the first state can't be read: there are no credentials, or there is no bucket
            planned = PlannedStack(stack.name, None, str(error), failed=True)
            print(error, file=sys.stderr, flush=True)
        self._record(stack, state, planned)
        totals = ", ".join(f"{number} to {action}" for action, number in planned.totals.items() if number)
        if not planned.failed:
            note = planned.note.partition("\n")[0]
            print(f"{stack.name}: {totals or note or 'no changes'}", flush=True)
        return planned

    def _explain_no_plan(self, stack: Stack) -> str:
        """Return why a stack can't be planned yet; empty if it can."""
        for upstream in stack.upstream:
            if upstream not in self._published:
                return f"not planned: the state of {upstream} can't be read"
            missing = stack.find_outputs_read(upstream) - self._published[upstream]
            if missing and self._published[upstream]:
                return f"not planned: {upstream} does not publish {min(missing)} yet; apply that first"
            if missing:
                return f"not planned: {upstream} is not deployed yet; apply that first"
        return ""

    def _plan(self, stack: Stack) -> PlannedStack:
        waits_for = self._find_reason_to_wait(stack)
        try:
            found = self._write_plan(stack)
        except TerraformError as error:
            if not waits_for:
                raise
            # The cause may only be the outputs that are about to change. So the error is reported, and
            # the plan of the other stacks stays usable.
            print(error, file=sys.stderr, flush=True)
            return PlannedStack(stack.name, None, f"not planned: {waits_for}; apply that first\n{error}")
        self._changing[stack.name] = {change.name for change in found.output_changes}
        note = f"a preview: {waits_for}; plan again after that is applied" if waits_for else ""
        return PlannedStack(stack.name, found, note)

    def _find_reason_to_wait(self, stack: Stack) -> str:
        """Return the change of another stack that has to be applied first; empty if there is none."""
        for upstream in stack.upstream:
            changing = stack.find_outputs_read(upstream) & self._changing.get(upstream, set())
            if changing or upstream in self._previews:
                self._previews.add(stack.name)
                return f"{min(changing)} of {upstream} changes" if changing else f"{upstream} changes first"
        return ""

    def _write_plan(self, stack: Stack) -> Plan:
        file = self._folder / f"{stack.name}.tfplan"
        text = stack.capture("plan", "-input=false", "-no-color", f"-out={file}")
        (self._folder / f"{stack.name}.txt").write_text(text, encoding="utf-8")
        document = stack.capture("show", "-json", str(file))
        (self._folder / f"{stack.name}.json").write_text(document, encoding="utf-8")
        # Terraform applies a saved plan only with the providers of this lock file. There is none where
        # running providers serve it (TF_REATTACH_PROVIDERS).
        lock = stack.folder / PROVIDER_LOCK
        if lock.exists():
            shutil.copy(lock, self._folder / f"{stack.name}{PROVIDER_LOCK}")
        return read_plan(document)

    def _record(self, stack: Stack, state: dict[str, Any], planned: PlannedStack) -> None:
        file = self._folder / f"{stack.name}.tfplan"
        self.records[stack.name] = StackRecord(
            configuration_sha256=compute_sha256(stack.configuration),
            state=describe_state(state),
            plan_sha256=compute_sha256(file.read_bytes()) if planned.plan else None,
            preview=stack.name in self._previews,
            has_changes=planned.has_changes,
            node_numbers=tuple(
                item for _, item in find_numbers_set(planned.plan.resources if planned.plan else ())
            ),
            dangers={},  # the review of all plans knows them
        )


def find_plans_folder(environment: str) -> Path:
    """Return the folder of an environment's plans."""
    return PROJECT / "plans" / environment


def describe_state(state: dict[str, Any]) -> str | None:
    """Return serial and lineage of a state; None if there is no state."""
    return f"serial {state['serial']} of {state['lineage']}" if state else None


def compute_sha256(content: bytes) -> str:
    """Return the checksum of a file's content."""
    return hashlib.sha256(content).hexdigest()


def shorten_path(path: Path) -> Path:
    """Return a path as seen from the project's folder."""
    return path.relative_to(PROJECT)
