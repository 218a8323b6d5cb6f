"""Deploy or destroy the stacks of an environment from a terminal, one after the other.

Not here: applying a plan that other people have reviewed (plan.py, apply.py).
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deployment.node_numbers import find_fewer_nodes
from deployment.questions import AnswerError, ask
from deployment.terraform import Stack
from plan_review.capacity import find_numbers_set
from plan_review.plan import read_plan
from stacks.errors import UserError
from stacks.settings import Settings
from stacks.settings.aws import AwsSettings

PLAN_HAS_CHANGES = 2  # terraform plan -detailed-exitcode


class DeployError(UserError):
    """A stack can't be deployed or destroyed yet; the message says which one comes first."""


def deploy(stacks: Sequence[Stack], names: Sequence[str], settings: Settings, *, assume_yes: bool) -> None:
    """Plan and apply stacks in their order; ask before each apply.

    Args:
        stacks: All stacks of the environment.
        names: The stacks to deploy; all of them if empty.
        settings: The environment's settings.
        assume_yes: Whether to apply without a question.

    Raises:
        DeployError: If a stack reads outputs of one that is not deployed, or if a node group has got more
            nodes since the plan.
        AnswerError: If the user says no.

    """
    chosen = [stack for stack in stacks if stack.name in (names or {stack.name})]
    _refuse_missing_upstream(stacks, chosen)
    # A plan file holds everything that the state holds. This folder is private.
    with tempfile.TemporaryDirectory() as folder:
        for position, stack in enumerate(chosen):
            file = Path(folder) / f"{stack.name}.tfplan"
            print(f"{stack.name}: planning", flush=True)
            stack.init()
            status = stack.show("plan", "-detailed-exitcode", f"-out={file}", accepted=(0, PLAN_HAS_CHANGES))
            if status != PLAN_HAS_CHANGES:
                print(f"{stack.name}: no changes")
                continue
            if not assume_yes and ask(f"Apply the plan of {stack.name}? [yes/no]") != "yes":
                left = ", ".join(item.name for item in chosen[position:])
                raise AnswerError(f"You did not say yes. Not deployed: {left}")
            _refuse_fewer_nodes(stack, file, settings.aws)
            stack.show("apply", str(file))
            print(f"{stack.name}: deployed")
    print(f"Deployed: {', '.join(stack.name for stack in chosen)}")


def _refuse_fewer_nodes(stack: Stack, file: Path, aws: AwsSettings) -> None:
    if b"aws_eks_node_group" not in stack.configuration:
        return  # Terraform takes seconds to show a plan
    changes = read_plan(stack.capture("show", "-json", str(file))).resources
    problem = next(find_fewer_nodes((item for _, item in find_numbers_set(changes)), aws), None)
    if problem:
        raise DeployError(f"{stack.name}: not deployed: {problem}. Deploy again")


def _refuse_missing_upstream(stacks: Sequence[Stack], chosen: Sequence[Stack]) -> None:
    """Check the stacks that the chosen ones need and that this run does not deploy."""
    for upstream in stacks:
        readers = [stack for stack in chosen if upstream.name in stack.upstream]
        if upstream in chosen or not readers:
            continue
        upstream.init()
        published = set(upstream.read_state().get("outputs", {}))
        for stack in readers:
            missing = stack.find_outputs_read(upstream.name) - published
            if missing:
                raise DeployError(
                    f"{stack.name}: reads the output {min(missing)} of {upstream.name}, which does not have "
                    f"it. Deploy {upstream.name} first"
                )


def destroy(stacks: Sequence[Stack], names: Sequence[str], settings: Settings, *, assume_yes: bool) -> None:
    """Destroy stacks in the reverse order, after one question.

    Args:
        stacks: All stacks of the environment.
        names: The stacks to destroy; all of them if empty.
        settings: The environment's settings.
        assume_yes: Whether to destroy without a question.

    Raises:
        DeployError: If a stack that stays reads a stack that would go.
        AnswerError: If the user does not type the environment's name.

    """
    states = {}
    for stack in reversed(stacks):
        stack.init()
        states[stack.name] = stack.read_state()
    deployed = [stack for stack in reversed(stacks) if _is_deployed(states[stack.name])]
    chosen = [stack for stack in deployed if stack.name in (names or states)]
    _refuse_remaining_readers(deployed, chosen)
    if not chosen:
        print("nothing to destroy")
        return
    account = settings.aws.account_id or f"the emulated AWS at {settings.aws.endpoint_url}"
    print(f"To be destroyed in the environment {settings.environment} ({account}, {settings.aws.region}):")
    for stack in chosen:
        print(f"  {stack.name}: {_count_resources(states[stack.name])} resource(s)")
    if not assume_yes and ask("Type the name of the environment to destroy them:") != settings.environment:
        raise AnswerError(f"The answer is not {settings.environment}. Nothing was destroyed")
    for stack in chosen:
        print(f"{stack.name}: destroying", flush=True)
        stack.show("destroy", "-auto-approve")
    print(f"Destroyed: {', '.join(stack.name for stack in chosen)}")


def _refuse_remaining_readers(deployed: Sequence[Stack], chosen: Sequence[Stack]) -> None:
    for stack in deployed:
        needed = [item.name for item in chosen if item.name in stack.upstream]
        if stack not in chosen and needed:
            raise DeployError(
                f"{needed[0]}: the stack {stack.name} is deployed and reads its outputs. Destroy "
                f"{stack.name} first"
            )


def _is_deployed(state: dict[str, Any]) -> bool:
    return bool(state.get("resources") or state.get("outputs"))


def _count_resources(state: dict[str, Any]) -> int:
    managed = [item for item in state.get("resources", ()) if item["mode"] == "managed"]
    return sum(len(item["instances"]) for item in managed)
