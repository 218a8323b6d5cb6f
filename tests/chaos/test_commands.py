"""Two applies of one stack at once, and killed commands: the state stays in order."""

import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stacks.backend import state_key
from tests.chaos.figures import Figures
from tests.emulator.project import Project, running_project
from tests.processes import find_processes

pytestmark = pytest.mark.chaos

ROUNDS_AT_ONCE = 3
KILLS = 6
TESTS = 2  # each adds a row
WAIT_SECONDS = 600
HOLDER = r"locked by \S+@\S+ since [-\d]+ [:\d]+ UTC"
WAITING = r"^\w+: `terraform [\w-]+`, process \d+, since .* UTC, still runs here\. Waiting"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """A project whose network is deployed by our own command."""
    with running_project(tmp_path_factory.mktemp("commands") / "project", aws_reattach) as project:
        done = project.deployment("deploy", "--yes", "network")
        assert done.returncode == 0, done.stdout + done.stderr
        yield project


@pytest.fixture(scope="module")
def rows(figures: Figures) -> Iterator[list[str]]:
    """The rows of the table; it is written when all tests have ended."""
    rows = ["| what happened | times | result |", "| --- | --- | --- |"]
    yield rows
    figures.write("commands", rows, is_whole=len(rows) == 2 + TESTS)


def see_convergence(project: Project) -> None:
    """See that nothing is locked, and that nothing of the network is left to change."""
    s3 = project.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=project.state_bucket)["Contents"]]
    assert keys == [state_key("local", "network")]
    plan = project.terraform("network", "plan", "-detailed-exitcode", "-input=false", "-no-color")
    assert plan.returncode == 0, plan.stdout + plan.stderr


def test_one_of_two_applies_wins(project: Project, chance: random.Random, rows: list[str]) -> None:
    """The other one names the holder of the lock, or finds its plan stale; none ends in a traceback."""
    second = replace(project, environment={**project.environment, "CDKTF_OUTDIR": ".work/second"})
    objects, results = project.count_objects(), Counter[str]()
    for number in range(ROUNDS_AT_ONCE):
        with project.changed({"aws.tags": {"round": str(number)}}):
            second.synthesize()
            with project.started("deploy", "--yes", "network") as first:
                time.sleep(chance.uniform(0, 2))
                with second.started("deploy", "--yes", "network") as other:
                    done = [
                        (process.communicate(timeout=WAIT_SECONDS), process.returncode)
                        for process in (first, other)
                    ]
            assert 0 in [status for _, status in done], done
            for (output, errors), status in done:
                assert "Traceback" not in errors
                if status == 0:
                    results["deployed"] += 1
                elif "is locked by" in errors or "Lock Info" in output:
                    assert re.search(rf"{HOLDER}|Who: +\S+@\S+", errors + output)
                    results["named the holder of the lock"] += 1
                else:
                    assert "Saved plan is stale" in output, output + errors
                    results["found its plan stale"] += 1
            again = project.deployment("deploy", "--yes", "network")
            assert again.returncode == 0, again.stderr
            see_convergence(project)
    assert project.count_objects() == objects
    rows.append(
        f"| two `deploy` of one stack at once | {ROUNDS_AT_ONCE} | "
        + ", ".join(f"{number} {result}" for result, number in sorted(results.items()))
        + "; nothing doubled; the next `deploy` converged |"
    )


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux lists processes under /proc")
def test_a_killed_command_leaves_its_terraform_in_order(
    project: Project, chance: random.Random, rows: list[str]
) -> None:
    """SIGKILL to our command alone: Terraform ends its work, and the next command waits for it."""
    objects, results = project.count_objects(), Counter[str]()
    for number in range(KILLS):
        with project.changed({"aws.tags": {"kill": str(number)}}):
            command = ["deploy", "--yes", "network"]
            if number % 3 == 2:
                command = ["apply"]
                assert project.deployment("plan").returncode in {2, 3}
            with project.started(*command) as process:
                wait_for_terraform(project, process, chance)
                process.kill()
                process.communicate()
                results["killed"] += process.returncode == -signal.SIGKILL
                results["left"] += bool(find_processes(project.folder, "terraform"))
                following = project.deployment("deploy", "--yes", "network")
            assert following.returncode == 0, following.stdout + following.stderr
            assert not find_processes(project.folder, "terraform")
            results["waited"] += bool(re.search(WAITING, following.stderr, re.MULTILINE))
            see_convergence(project)
    assert results["killed"]
    assert project.count_objects() == objects
    rows.append(
        f"| SIGKILL to `deploy` or `apply` at a random moment | {results['killed']} | {results['left']} left "
        f"a running Terraform, and the next command waited for {results['waited']} of them; no lock was "
        "left, nothing doubled; the next `deploy` converged |"
    )


def wait_for_terraform(project: Project, process: subprocess.Popen[str], chance: random.Random) -> None:
    """Wait until the command's Terraform works, and for a random time more, before the cluster's turn."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not find_processes(project.folder, "terraform") and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    end = time.monotonic() + chance.uniform(0, 3)
    while time.monotonic() < end and not find_processes(project.stack_folder("cluster"), "terraform"):
        time.sleep(0.02)
