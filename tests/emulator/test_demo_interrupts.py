"""A demo that is killed or interrupted while Terraform creates the network's first resources."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_aws import emulator
from stacks.backend import read_backend, state_key
from stacks.settings.load import load_settings
from tests.emulator.project import copy_project, inherited_environment
from tests.machine import find_free_port
from tests.processes import find_listening_addresses, find_processes, started

pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux lists processes under /proc"),
]

WAIT_SECONDS = 60
CREATED = re.compile(r"^(\S+): created in \d+ s$", re.MULTILINE)


@dataclass
class Run:
    """The output of one demo, and the processes that it has left.

    Attributes:
        output: Its standard output.
        errors: Its standard error.
        status: Its exit status.
        left: Command lines of the processes that it has left, without the emulator's.
        addresses: Addresses and ports on which its processes listened before it ended.

    """

    output: str
    errors: str
    status: int
    left: list[str]
    addresses: set[tuple[str, int]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project whose emulator has a port of its own; the emulator is stopped at the end."""
    folder = tmp_path_factory.mktemp("demo") / "project"
    copy_project(folder)
    local = folder / "environments" / "local.yaml"
    local.write_text(local.read_text().replace(":4566", f":{find_free_port()}"))
    try:
        yield folder
    finally:
        emulator.stop(work=folder / ".work")


@pytest.fixture(scope="module")
def killed(folder: Path) -> Run:
    """A first demo; SIGKILL ends it and its Terraform."""
    with start_demo(folder) as process:
        output = read_to_first_resource(process)
        (terraform,) = (pid for pid, line in find_processes(folder).items() if "terraform apply" in line)
        addresses = find_listening_addresses(find_processes(folder))
        process.kill()
        os.kill(terraform, signal.SIGKILL)
        return finish(process, folder, output, addresses)


@pytest.fixture(scope="module")
def interrupted(killed: Run, folder: Path) -> Run:
    """The demo after the killed one; a Ctrl-C in the terminal sends SIGINT to its process group."""
    assert killed.status == -signal.SIGKILL
    with start_demo(folder) as process:
        output = read_to_first_resource(process)
        addresses = find_listening_addresses(find_processes(folder))
        os.killpg(process.pid, signal.SIGINT)
        return finish(process, folder, output, addresses)


def test_a_killed_demo_leaves_only_the_emulator(killed: Run) -> None:
    """The providers end with the demo, even if it can't stop them."""
    assert killed.left == []


def test_a_running_demo_listens_on_loopback_only(interrupted: Run) -> None:
    """The providers and Terraform open no port that another machine can reach."""
    assert {address for address, _ in interrupted.addresses} == {"127.0.0.1"}


def test_the_next_demo_frees_the_dead_lock_and_goes_on(interrupted: Run) -> None:
    """It says that it has removed the lock of the killed Terraform, and creates resources."""
    removed = "local/network.tfstate.tflock: removed"
    before, _, after = interrupted.output.partition(removed)
    assert CREATED.search(after)
    assert not CREATED.search(before)


def test_an_interrupted_demo_ends_in_one_message(interrupted: Run) -> None:
    """There is no traceback, and the exit status is 1."""
    assert interrupted.errors == "interrupted; `make demo` goes on from here, `make demo-down` undoes it\n"
    assert interrupted.status == 1


def test_an_interrupted_demo_leaves_only_the_emulator(interrupted: Run) -> None:
    """Terraform and the providers end before the demo."""
    assert interrupted.left == []


def test_an_interrupted_demo_keeps_its_resources_and_no_lock(interrupted: Run, folder: Path) -> None:
    """Terraform has written the state and has unlocked it, so that the next demo can go on."""
    created = set(CREATED.findall(interrupted.output))
    aws = load_settings(folder / "environments" / "local.yaml").aws
    s3 = emulator.client("s3", endpoint_url=str(aws.endpoint_url), region=aws.region)
    backend = read_backend(folder / "backend.tf.json")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=backend.bucket)["Contents"]]
    assert keys == [state_key("local", "network")]
    state = json.loads(s3.get_object(Bucket=backend.bucket, Key=keys[0])["Body"].read())
    kept = {f"{item['type']}.{item['name']}" for item in state["resources"] if item["mode"] == "managed"}
    assert created <= kept


def start_demo(folder: Path) -> AbstractContextManager["subprocess.Popen[str]"]:
    """Start a demo."""
    # Without the program that counts Terraform commands: Terraform would survive a SIGKILL to it.
    environment = {**inherited_environment(), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
    return started(sys.executable, "-m", "local_aws", "demo", folder=folder, environment=environment)


def read_to_first_resource(process: subprocess.Popen[str]) -> str:
    """Return what the demo prints until Terraform has created a resource."""
    output = ""
    for line in process.stdout or ():
        output += line
        if CREATED.search(line):
            return output
    errors = process.stderr.read() if process.stderr else ""
    raise AssertionError(output + errors)


def finish(process: subprocess.Popen[str], folder: Path, output: str, addresses: set[tuple[str, int]]) -> Run:
    """Wait until the demo has ended, and give its processes five seconds to end, too."""
    rest, errors = process.communicate(timeout=WAIT_SECONDS)
    deadline = time.monotonic() + 5
    while find_processes(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = list(find_processes(folder).values())
    return Run(output + rest, errors, process.returncode, left, addresses)
