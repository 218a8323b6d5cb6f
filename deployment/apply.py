"""Apply the plan files of the last plan, unless state, settings, code or nodes have changed since."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from deployment.node_numbers import find_fewer_nodes
from deployment.plan import PlansRecord, compute_sha256, describe_state, find_plans_folder, shorten_path
from deployment.terraform import Stack, TerraformError
from plan_review.exit_status import ExitStatus
from stacks.backend import PROVIDER_LOCK
from stacks.errors import UserError
from stacks.settings import Settings
from stacks.settings.aws import AwsSettings


class ApplyError(UserError):
    """The plan can't be applied; the message says why and what to do."""


def apply(stacks: Sequence[Stack], settings: Settings) -> None:
    """Apply the plan files of the last plan, in the order of the stacks.

    Raises:
        ApplyError: If there is no plan, if the plan is stale (then nothing is changed), or if Terraform
            fails.

    """
    folder = find_plans_folder(settings.environment)
    again = f"Plan again: make plan ENV={settings.environment}"
    record = _read_record(folder, again)
    problem = next(_find_changes_since(record, stacks, folder, settings.aws), None)
    if problem:
        raise ApplyError(f"{shorten_path(folder)}: stale, nothing was applied: {problem}. {again}")
    if record.exit_status == ExitStatus.APPROVAL:
        print(f"This apply approves the changes of {shorten_path(folder)}/report.md that need an approval.")
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


def _read_record(folder: Path, again: str) -> PlansRecord:
    file = folder / "plans.json"
    try:
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
