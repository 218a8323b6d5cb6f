"""Apply the plan files of the last plan, unless state, settings, code or nodes have changed since."""

import datetime as dt
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from deployment.approvals import Approvals
from deployment.node_numbers import find_fewer_nodes
from deployment.plan import (
    PlansRecord,
    StackRecord,
    compute_sha256,
    describe_state,
    find_plans_folder,
    read_project_accepted,
    shorten_path,
)
from deployment.terraform import Stack, TerraformError
from plan_review.exit_status import ExitStatus
from plan_review.plan import read_plan
from plan_review.review import PlannedStack, Review
from stacks.backend import PROVIDER_LOCK, Backend
from stacks.errors import UserError
from stacks.settings import Settings
from stacks.settings.aws import AwsSettings

MAX_RECORD_BYTES = 20_000_000  # a finding has less than 1 kB, and a plan up to 20,000 changed resources


class ApplyError(UserError):
    """The plan can't be applied; the message says why and what to do."""


def apply(stacks: Sequence[Stack], settings: Settings, backend: Backend, *, require_approval: bool) -> None:
    """Apply the plan files of the last plan, in the order of the stacks.

    Args:
        stacks: All stacks of the environment.
        settings: The environment's settings.
        backend: The state bucket.
        require_approval: Whether changes that need an approval must have one in the record of approvals;
            else this command approves them, unless the record refuses them.

    Raises:
        ApplyError: If there is no plan, if it is refused or not approved, if it is stale (then nothing is
            changed), or if Terraform fails.
        ApprovalError: If the record of approvals was changed.

    """
    folder = find_plans_folder(settings.environment)
    again = _advise_plan(folder)
    record = read_record(folder)
    problem = next(_find_changes_since(record, stacks, folder, settings.aws), None)
    if problem:
        raise ApplyError(f"{shorten_path(folder)}: stale, nothing was applied: {problem}. {again}")
    # A pipeline keeps plans.json as an artifact, so the required approval is of what the plan files say.
    dangers = _review_plan_files(record, stacks, folder) if require_approval else find_dangers(record)
    refuse_without_approval(dangers, settings, backend, is_required=require_approval)
    results = {
        stack.name: _apply_stack(stack, record, folder, again=again, aws=settings.aws) for stack in stacks
    }
    for file in folder.glob("*.tfplan"):
        file.unlink()
    for name, result in results.items():
        print(f"{name}: {result}")
    if "applied" not in results.values():
        print("nothing to apply")
    if any(item.preview or item.plan_sha256 is None for item in record.stacks.values()):
        print(f"Not every stack could be applied yet. {again}")
    print(f"The report stays: {shorten_path(folder)}/report.md. The plan files are deleted.")


def _apply_stack(stack: Stack, record: PlansRecord, folder: Path, *, again: str, aws: AwsSettings) -> str:
    """Apply the plan of one stack if it has one, and return the result in words."""
    planned = record.stacks[stack.name]
    if planned.preview or planned.plan_sha256 is None:
        return "not applied, since a stack before it had to be applied first"
    if not planned.has_changes:
        return "no changes"
    # Once more, since the stacks before it may have taken long.
    problem = next(find_fewer_nodes(planned.node_numbers, aws), None)
    if problem:
        raise ApplyError(f"{stack.name}: not applied: {problem}. {again}")
    file = folder / f"{stack.name}.tfplan"
    print(f"{stack.name}: applying {shorten_path(file)}", flush=True)
    try:
        stack.show("apply", str(file))
    except TerraformError as error:
        raise ApplyError(f"{error}. {again}") from None
    return "applied"


def find_dangers(record: PlansRecord) -> set[str]:
    """Return the digests of the recorded findings that need an approval, of the stacks that are applied."""
    return {name for stack in record.stacks.values() if _is_applied(stack) for name in stack.dangers}


def _review_plan_files(record: PlansRecord, stacks: Sequence[Stack], folder: Path) -> set[str]:
    """Return the digests of the findings that need an approval, from the plan files that are applied."""
    planned = [
        PlannedStack(
            stack.name, read_plan(stack.capture("show", "-json", str(folder / f"{stack.name}.tfplan")))
        )
        for stack in stacks
        if _is_applied(record.stacks[stack.name])
    ]
    review = Review("", planned, accepted=read_project_accepted(dt.datetime.now(dt.UTC).date()))
    return {name for found in review.dangers.values() for name in found}


def _is_applied(planned: StackRecord) -> bool:
    return planned.plan_sha256 is not None and not planned.preview and planned.has_changes


def refuse_without_approval(
    dangers: set[str], settings: Settings, backend: Backend, *, is_required: bool
) -> None:
    """Look findings up in the record of approvals.

    Args:
        dangers: The digests of the findings that need an approval.
        settings: The environment's settings.
        backend: The state bucket.
        is_required: Whether they must be approved; else only a refusal counts.

    Raises:
        ApplyError: If they are refused, or if they are not approved and have to be.
        ApprovalError: If the record was changed.

    """
    if not dangers:
        return
    report = f"{shorten_path(find_plans_folder(settings.environment))}/report.md"
    decision = Approvals(settings, backend).decide(dangers, dt.datetime.now(dt.UTC))
    found = decision.record.entry if decision.record else None
    if found and decision.is_refusal:
        raise ApplyError(
            f"{report}: not applied: refused on {found.time:%Y-%m-%d %H:%M} UTC by {found.who}, entry "
            f"{found.number}. A later approval lifts that: make approve ENV={settings.environment}"
        )
    if found:
        print(f"Approved on {found.time:%Y-%m-%d %H:%M} UTC by {found.who}, entry {found.number}")
    elif is_required:
        raise ApplyError(
            f"{report}: not applied: {len(dangers)} change(s) need an approval: {decision.reason}. To give "
            f"it: make approve ENV={settings.environment}"
        )
    else:
        print(f"This apply approves the changes of {report} that need an approval.", flush=True)


def _advise_plan(folder: Path) -> str:
    return f"Plan again: make plan ENV={folder.name}"


def read_record(folder: Path) -> PlansRecord:
    """Return the record of the last plan.

    Raises:
        ApplyError: If there is none, or if its plans can't be applied.

    """
    file, again = folder / "plans.json", _advise_plan(folder)
    try:
        size = file.stat().st_size
        if size > MAX_RECORD_BYTES:
            raise ApplyError(
                f"{shorten_path(file)}: has {size // 10**6} MB, so `plan` did not write this file. {again}"
            )
        record = PlansRecord.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise ApplyError(
            f"{shorten_path(folder)}: there is no plan to apply. Plan first: make plan ENV={folder.name}"
        ) from None
    except ValidationError:
        raise ApplyError(f"{shorten_path(file)}: `plan` did not write this file. {again}") from None
    if record.exit_status == ExitStatus.ERROR:
        raise ApplyError(f"{shorten_path(folder)}: not every stack could be planned. {again}")
    if not any(folder.glob("*.tfplan")):
        raise ApplyError(
            f"{shorten_path(folder)}: its plan files are deleted, because the plan was applied. {again}"
        )
    return record


def _find_changes_since(
    record: PlansRecord, stacks: Sequence[Stack], folder: Path, aws: AwsSettings
) -> Iterator[str]:
    """Yield the changes since the plan; first the changes that can be found without AWS."""
    if list(record.stacks) != [stack.name for stack in stacks]:
        yield f"it covers other stacks: {', '.join(record.stacks)}"
        return
    for stack in stacks:
        planned, file = record.stacks[stack.name], folder / f"{stack.name}.tfplan"
        if compute_sha256(stack.configuration) != planned.configuration_sha256:
            yield f"the settings or the code give another configuration of {stack.name} than was planned"
        if planned.plan_sha256 and (
            not file.exists() or compute_sha256(file.read_bytes()) != planned.plan_sha256
        ):
            yield f"{file.name} is not the file that was planned"
    for stack in stacks:
        lock = folder / f"{stack.name}{PROVIDER_LOCK}"
        if lock.exists():
            shutil.copy(lock, stack.folder / PROVIDER_LOCK)
        stack.init()
        state = describe_state(stack.read_state())
        planned_on = record.stacks[stack.name].state
        if state != planned_on:
            yield (
                f"the state of {stack.name} has changed "
                f"({state or 'none'}, planned on {planned_on or 'none'})"
            )
    for planned in record.stacks.values():
        yield from find_fewer_nodes(planned.node_numbers, aws)
