"""An emulated account as AWS's own tools see it: empty it, and compare it with the states."""

import json
import re
import shlex
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from deployment import state_bucket
from deployment.orphans import AwsObject, find_objects, read_id
from stacks import STACKS
from stacks.backend import read_backend, state_key
from tests.emulator.project import Project

PASSES = 3  # an object can be deleted when those that use it are gone
LOCKED = re.compile("Error acquiring the state lock|make unlock")


def empty(project: Project) -> None:
    """Empty the emulated account; make the state bucket and the runners' tokens anew."""
    reset = urllib.request.Request(f"{project.settings.aws.endpoint_url}/_ministack/reset", method="POST")
    with urllib.request.urlopen(reset, timeout=30):
        pass
    state_bucket.create_state_bucket(
        project.settings.aws, read_backend(project.folder / "backend.tf.json"), dry_run=False
    )
    for fleet in project.settings.runners.values():
        project.client("ssm").put_parameter(
            Name=fleet.token_parameter, Type="SecureString", Value=project.token
        )


def read_resources(project: Project) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """Return type and ID of the instances of each resource in the states, by stack and address."""
    s3 = project.client("s3")
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for stack in STACKS:
        key = state_key(project.settings.environment, stack)
        try:
            state = json.loads(s3.get_object(Bucket=project.state_bucket, Key=key)["Body"].read())
        except s3.exceptions.NoSuchKey:
            continue
        for item in state["resources"]:
            if item["mode"] == "managed":
                ids = {
                    (item["type"], read_id(item["type"], instance["attributes"]))
                    for instance in item["instances"]
                }
                found[stack, f"{item['type']}.{item['name']}"] = ids
    return found


def find_locks(project: Project) -> list[str]:
    """Return the keys of the locks of the environment's states."""
    listed = project.client("s3").list_objects_v2(Bucket=project.state_bucket).get("Contents", [])
    return [item["Key"] for item in listed if item["Key"].endswith(".tflock")]


def find_orphans(project: Project) -> list[AwsObject]:
    """Return the objects with the environment's tag that are in no state, whether or not one is locked."""
    known = set().union(*read_resources(project).values())
    return [found for found in find_objects(project.settings) if (found.type, found.id) not in known]


def run_aws_commands(project: Project, commands: Iterable[str]) -> None:
    """Do what commands of the AWS CLI would do, and those again that failed because of another object.

    The tests need no AWS CLI: its options are the arguments of boto3 in another spelling.
    """
    left = list(commands)
    for _ in range(PASSES):
        failed = []
        for command in left:
            _, service, operation, *options = shlex.split(command)
            client = project.client(service.removesuffix("api") if service == "s3api" else service)
            method = operation.replace("-", "_")
            members = client.meta.service_model.operation_model(
                client.meta.method_to_api_mapping[method]
            ).input_shape.members
            names = {xform_name(name, "-"): name for name in members}
            arguments = {}
            for option, value in zip(options[::2], options[1::2], strict=True):
                if option != "--region":
                    name = names[option.removeprefix("--")]
                    arguments[name] = [value] if members[name].type_name == "list" else value
            try:
                getattr(client, method)(**arguments)
            except ClientError:
                failed.append(command)
        left = failed
    assert not left, left


def succeed(done: subprocess.CompletedProcess[str]) -> None:
    """See that a command has succeeded."""
    assert done.returncode == 0, done.stdout + done.stderr


def apply(project: Project, stack: str, *, destroys: bool) -> subprocess.CompletedProcess[str]:
    """Deploy or destroy a stack with plain Terraform."""
    return project.terraform(
        stack, "destroy" if destroys else "apply", "-auto-approve", "-input=false", "-no-color"
    )


def converge(
    project: Project,
    stack: str,
    *,
    destroys: bool,
    run_again: Callable[[], subprocess.CompletedProcess[str]],
    looks_first: bool = False,
) -> dict[str, Any]:
    """Go on after a failure by the messages and by docs/operations.md, and see that all is right in the end.

    Args:
        project: The project.
        stack: The stack whose deployment or destruction has failed.
        destroys: Whether it is destroyed; else it is deployed.
        run_again: Runs the same once more.
        looks_first: Whether the user looks for objects in no state before that.

    Returns:
        How many locks were left, which objects were in no state, whether a state had to be pushed, and the
        error of the first run that came after.

    """
    locks = find_locks(project)
    done = None if looks_first and not locks else run_again()
    if locks:
        assert done is not None
        assert done.returncode
        assert LOCKED.search(done.stdout + done.stderr), done.stdout + done.stderr
        succeed(project.deployment("unlock", "--yes", stack))
        done = None
    errored = project.stack_folder(stack) / "errored.tfstate"
    is_pushed = errored.exists()
    if is_pushed:
        succeed(project.terraform(stack, "state", "push", errored.name))
        errored.unlink()
        done = None
    if done is None and not looks_first:
        done = run_again()
    refused = re.search(r"Error: (.+)", done.stdout + done.stderr) if done and done.returncode else None
    orphans = find_orphans(project)
    if orphans:
        shown = project.deployment("orphans")
        succeed(shown)
        lines = shown.stdout.splitlines()
        assert len([line for line in lines if line.startswith("# ")]) == len(orphans), shown.stdout
        prefix = ".venv/bin/python -m local_aws run "
        run_aws_commands(project, [line.removeprefix(prefix) for line in lines if line.startswith(prefix)])
    if done is None or done.returncode:
        succeed(run_again())
    assert find_orphans(project) == []
    assert find_locks(project) == []
    assert list_addresses(project, stack) == (set() if destroys else list_configured(project, stack))
    return {
        "locks": len(locks),
        "orphans": Counter(item.type for item in orphans),
        "pushed": is_pushed,
        "refused": re.sub(r"https response error .*RequestID: \S+, ", "", refused[1]) if refused else "",
    }


def list_addresses(project: Project, stack: str) -> set[str]:
    """Return the addresses of the resources in a stack's state, without their keys."""
    return {address for name, address in read_resources(project) if name == stack}


def list_configured(project: Project, stack: str) -> set[str]:
    """Return the addresses of the resources that a stack configures."""
    resources = json.loads((project.stack_folder(stack) / "cdk.tf.json").read_text())["resource"]
    return {f"{type_}.{name}" for type_, items in resources.items() for name in items}


def bring(project: Project, wanted: Iterable[str]) -> None:
    """Deploy the wanted stacks that are missing, and destroy the others."""
    wanted = set(wanted)
    present = {stack for stack in STACKS if list_addresses(project, stack)}
    for stack in reversed(STACKS):
        if stack in present - wanted:
            succeed(apply(project, stack, destroys=True))
    for stack in STACKS:
        if stack in wanted - present:
            succeed(apply(project, stack, destroys=False))
