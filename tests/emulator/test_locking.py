"""S3-native state locking, with real processes that hold, lose and leave a lock."""

import os
import pty
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.emulator.project import Project

WAIT_SECONDS = 60


@contextmanager
def held_lock(project: Project) -> Iterator[subprocess.Popen[bytes]]:
    """A `terraform destroy` of the network that holds the lock while it waits for an answer."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [shutil.which("terraform") or "", "destroy", "-no-color"],  # the real one: it is killed below
        cwd=project.stack_folder("network"),
        env=project.environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    try:
        printed, deadline = b"", time.monotonic() + WAIT_SECONDS
        while b"Enter a value" not in printed and time.monotonic() < deadline:
            printed += os.read(controller, 4096)
        assert b"Enter a value" in printed, printed
        yield process
    finally:
        process.kill()
        process.wait()
        os.close(controller)


def test_a_held_lock_refuses_a_second_apply(deployed: Project) -> None:
    """While one Terraform works on a state, another one stops and says who holds it; so do our commands."""
    with held_lock(deployed):
        apply = deployed.terraform("network", "apply", "-auto-approve", "-no-color", "-lock-timeout=0s")
        deploy = deployed.deployment("deploy", "--yes", "network")
    assert apply.returncode == 1
    assert "Error acquiring the state lock" in apply.stderr
    assert "local/network.tfstate" in apply.stderr
    assert deploy.returncode == 1
    assert re.fullmatch(
        rf"network: local/network\.tfstate in the bucket {deployed.state_bucket} is locked by \S+@\S+ since "
        r"[-\d]+ [:\d]+ UTC \(OperationTypeApply\)\. Wait until that run has ended, then repeat\. If its "
        r"process is dead: make unlock ENV=local STACKS=network\nNothing was changed\.\n",
        deploy.stderr,
    ), deploy.stderr
    unlock(deployed, apply.stderr)


def test_the_lock_of_a_killed_process_can_be_removed(deployed: Project) -> None:
    """A killed Terraform leaves its lock; our command names its holder, and frees the state."""
    with held_lock(deployed) as process:
        process.kill()
        process.wait()
    refused = deployed.terraform("network", "plan", "-no-color")
    assert "Error acquiring the state lock" in refused.stderr
    found = re.search(r"Who: +(\S+)", refused.stderr)
    assert found, refused.stderr
    done = deployed.deployment("unlock", "--yes", "network")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"network: locked by {found[1]} since ")
    assert "No changes." in deployed.terraform("network", "plan", "-no-color").stdout


def unlock(project: Project, refusal: str) -> None:
    """Remove the lock that a refusal names."""
    found = re.search(r"Lock Info:\s+(?:│\s+)?ID:\s+(\S+)", refusal)
    assert found, refusal
    done = project.terraform("network", "force-unlock", "-force", found[1])
    assert done.returncode == 0, done.stderr
