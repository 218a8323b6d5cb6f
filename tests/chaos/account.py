"""An emulated account as AWS's own tools see it: empty it, and compare it with the states."""

import json
import shlex
import urllib.request
from collections.abc import Iterable

from botocore import xform_name
from botocore.exceptions import ClientError

from deployment import state_bucket
from deployment.orphans import AwsObject, find_objects
from stacks import STACKS
from stacks.backend import read_backend, state_key
from tests.emulator.project import Project

PASSES = 3  # an object can be deleted when those that use it are gone


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
                ids = {(item["type"], instance["attributes"]["id"]) for instance in item["instances"]}
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
