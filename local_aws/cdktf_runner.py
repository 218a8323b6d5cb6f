"""Run cdktf on the local environment's stacks, and say what came of it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import EndpointConnectionError

from local_aws import emulator
from local_aws.emulator import PROJECT, WORK
from stacks.backend import read_backend, state_key
from stacks.errors import UserError
from stacks.settings import Settings

CDKTF = PROJECT / "node_modules" / ".bin" / "cdktf"

OPTIONS = ("--auto-approve", "--skip-provider-lock")

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_STACK = re.compile(r"(network|cluster|workloads)\s\s")
_RESULT = re.compile(
    r"(?:Apply|Destroy) complete! Resources: (?:(\d+) added, (\d+) changed, )?(\d+) destroyed"
)
# What Terraform says at every `init`, and is no news in a deployment.
_NO_NEWS = re.compile(
    r"You may now begin working|any changes that are required|should now work\.|If you ever set or change"
    r"|rerun this command to reinit|commands will detect it|is built in to Terraform"
)


class DeploymentError(UserError):
    """cdktf ended with an error; it has said which."""


@dataclass(frozen=True)
class Result:
    """What one run did to one stack: numbers of resources."""

    added: int
    changed: int
    destroyed: int

    def __str__(self) -> str:
        """Return it in Terraform's own words."""
        if not (self.added or self.changed or self.destroyed):
            return "No changes"
        return f"{self.added} added, {self.changed} changed, {self.destroyed} destroyed"


def run_cdktf(verb: str, *stacks: str, environment: Mapping[str, str] | None = None) -> dict[str, Result]:
    """Run `cdktf deploy` or `cdktf destroy` without questions, and show its output as it comes.

    Args:
        verb: "deploy" or "destroy".
        stacks: Ids of the stacks to deploy, cdktf finds their order; of one stack to destroy.
        environment: Further environment variables.

    Raises:
        DeploymentError: If cdktf fails.

    """
    command = [str(CDKTF), verb, *stacks, *OPTIONS]
    if verb == "destroy":
        # What stands on a stack may never have been deployed. With more than one stack, cdktf 0.21
        # starts Terraform over and over under this option.
        command.append("--ignore-missing-stack-dependencies")
    results: dict[str, Result] = {}
    current = stacks[0]
    with (
        (WORK / f"{verb}.log").open("a", encoding="utf-8") as log,
        subprocess.Popen(  # noqa: S603 - our own pinned cdktf
            command,
            cwd=PROJECT,
            # CI: lines instead of a redrawn screen.
            env={**os.environ, **(environment or {}), "ENV": "local", "CI": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout or ():
            plain = _COLOURS.sub("", line)
            log.write(plain)
            if plain.strip() and not _NO_NEWS.search(plain):
                print(line if sys.stdout.isatty() else plain, end="", flush=True)
            if match := _STACK.match(plain):
                current = match[1]
            if match := _RESULT.search(plain):
                results[current] = Result(*(int(number or 0) for number in match.groups()))
    if process.returncode:
        raise DeploymentError(
            f"cdktf {verb} failed (exit status {process.returncode}); its messages are above"
        )
    return results


def outputs(settings: Settings, stack: str) -> dict[str, Any]:
    """Return the published outputs of a stack by name; none if it is not deployed."""
    return {name: item["value"] for name, item in _state(settings, stack).get("outputs", {}).items()}


def holds_resources(settings: Settings, stack: str) -> bool:
    """Return whether a stack is deployed, be it in part."""
    return bool(_state(settings, stack).get("resources"))


def _state(settings: Settings, stack: str) -> dict[str, Any]:
    backend = read_backend(PROJECT / "backend.tf.json")
    s3 = emulator.client("s3", endpoint_url=str(settings.aws.endpoint_url), region=backend.region)
    try:
        found = s3.get_object(Bucket=backend.bucket, Key=state_key(settings.environment, stack))
    except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket, EndpointConnectionError):
        return {}
    content: dict[str, Any] = json.loads(found["Body"].read())
    return content
