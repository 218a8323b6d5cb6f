"""Lost and damaged states, two applies at once, and killed commands, with real Terraform."""

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
from tests.environments import STACKS
from tests.state_damages import DAMAGES, Damage, StateObject

pytestmark = pytest.mark.chaos

COMMANDS = (("plan",), ("apply",), ("deploy", "--yes"), ("destroy", "--yes"))
ROUNDS_AT_ONCE = 3
KILLS = 6
WAIT_SECONDS = 300
HOLDER = r"locked by \S+@\S+ since [-\d]+ [:\d]+ UTC"
WAITING = r"^\w+: `terraform [\w-]+`, process \d+, since .* UTC, still runs here\. Waiting"
Rows = dict[str, list[str]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """A project whose stacks are deployed by our own command, with a plan that has noted their states."""
    with running_project(tmp_path_factory.mktemp("states") / "project", aws_reattach) as project:
        for command in (("deploy", "--yes"), ("plan",)):
            done = project.deployment(*command)
            assert done.returncode == 0, done.stdout + done.stderr
        yield project


@pytest.fixture(scope="module")
def chance(seed: int) -> random.Random:
    """The source of all random choices."""
    return random.Random(seed)


@pytest.fixture(scope="module")
def rows(figures: Figures) -> Iterator[Rows]:
    """The rows of the tables, by table; they are written when all tests have ended."""
    rows: Rows = {"damages": [], "commands": []}
    yield rows
    figures.write(
        "states",
        [
            "| damage | stack | `plan`, `apply`, `deploy`, `destroy` say | way back | plan after it |",
            "| --- | --- | --- | --- | --- |",
            *rows["damages"],
            "",
            "| what happened | times | result |",
            "| --- | --- | --- |",
            *rows["commands"],
        ],
    )


def find_state(project: Project, stack: str, chance: random.Random) -> StateObject:
    """Return the state of a stack."""
    return StateObject(
        project.client("s3"), project.state_bucket, project.settings.environment, stack, chance
    )


def count_objects(project: Project) -> dict[str, int]:
    """Return the numbers of some objects in the account that a second deployment would double."""
    eks, ec2 = project.client("eks"), project.client("ec2")
    return {
        "VPCs": len(ec2.describe_vpcs()["Vpcs"]),
        "subnets": len(ec2.describe_subnets()["Subnets"]),
        "launch templates": len(ec2.describe_launch_templates()["LaunchTemplates"]),
        "clusters": len(eks.list_clusters()["clusters"]),
        "roles": len(project.client("iam").list_roles()["Roles"]),
    }


def see_refusals(project: Project, state: StateObject, words: str) -> str:
    """See that every command ends with the same error and changes nothing; return the error."""
    versions, objects = state.list_versions(), count_objects(project)
    errors = set()
    for command, *options in COMMANDS:
        done = project.deployment(command, *options)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        assert words in done.stderr
        assert project.state_bucket in done.stderr
        assert done.stderr.endswith("Nothing was changed.\n")
        errors.add(done.stderr)
    assert len(errors) == 1, errors
    assert state.list_versions() == versions
    assert count_objects(project) == objects
    return errors.pop()


def restore(project: Project, stack: str, version: str) -> None:
    """Restore a version by the documented command."""
    done = project.deployment("restore", stack, "--version-id", version, "--yes")
    assert done.returncode == 0, done.stderr


def see_no_changes(project: Project, stack: str) -> None:
    """See that Terraform finds nothing to change."""
    done = project.terraform(stack, "plan", "-detailed-exitcode", "-input=false", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


def write_row(damage: str, stack: str, error: str, way_back: str) -> str:
    """Return a row of the table of damages."""
    said = re.search(r"in the bucket \S+ (.*?)\. Restore|bucket: \S+: (.*?)\. ", error)
    assert said, error
    words = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "<time>", said[1] or said[2])
    return f"| {damage} | {stack} | {words} | {way_back} | no changes |"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_each_damage_is_refused_and_restored(
    project: Project, chance: random.Random, rows: Rows, damage: Damage
) -> None:
    """Each command refuses with one error; the documented commands lead back to a plan without changes."""
    stack = chance.choice(STACKS)
    state = find_state(project, stack, chance)
    good = state.list_versions()[0]
    damage.act(state)
    error = see_refusals(project, state, damage.error)
    way_back = []
    if damage.needs_bootstrap:
        assert "make bootstrap ENV=local" in error
        assert project.deployment("bootstrap").returncode == 0
        way_back.append("`make bootstrap`")
    if "make restore" in error:
        assert f"local/{stack}.tfstate" in error
        assert f"make restore ENV=local STACKS={stack} (docs/operations.md," in error
        restore(project, stack, good)
        way_back.append("`make restore`")
    see_no_changes(project, stack)
    rows["damages"].append(write_row(damage.name, stack, error, ", ".join(way_back)))


def test_make_says_the_same(project: Project, chance: random.Random) -> None:
    """`make plan` and the others end with the error of the command and a status that is not 0."""
    state = find_state(project, "network", chance)
    good = state.list_versions()[0]
    state.delete()
    for target in ("plan", "apply"):
        done = project.run("make", "--old-file=setup", "--eval=LOCALLY=", target)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "make restore ENV=local STACKS=network" in done.stderr
        assert "Traceback" not in done.stderr
    restore(project, "network", good)


def test_a_version_that_was_removed_for_good_is_missed(
    project: Project, chance: random.Random, rows: Rows
) -> None:
    """S3 shows no trace of it; the last plan on this machine has noted its serial."""
    stack = chance.choice(STACKS)
    state = find_state(project, stack, chance)
    restore(project, stack, state.list_versions()[0])  # two versions with the same resources
    assert project.deployment("plan").returncode == 0
    state.remove(state.list_versions()[0])
    error = see_refusals(project, state, ", and the last plan on this machine saw serial ")
    restore(project, stack, state.list_versions()[0])
    see_no_changes(project, stack)
    rows["damages"].append(write_row("newest version removed for good", stack, error, "`make restore`"))


def test_a_state_that_was_removed_for_good_is_missed(
    project: Project, chance: random.Random, rows: Rows
) -> None:
    """Another stack that is deployed needs it; no version is left to restore, and the command says so."""
    state = find_state(project, "network", chance)
    content = state.read()
    (project.plans / "plans.json").unlink()  # as on another machine
    for version in state.list_versions():
        state.remove(version)
    for marker in state.s3.list_object_versions(Bucket=state.bucket, Prefix=state.key).get(
        "DeleteMarkers", []
    ):
        if marker["Key"] == state.key:
            state.remove(marker["VersionId"])
    error = see_refusals(project, state, "is missing, although cluster is deployed; no version of it is left")
    done = project.deployment("restore", "network", "--version-id", "any", "--yes")
    assert "has no version any" in done.stderr
    state.write(content)  # from a backup
    see_no_changes(project, "network")
    rows["damages"].append(
        write_row("every version removed for good", "network", error, "a copy of your own, or imports")
    )


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of `python -m deployment`."""
    return subprocess.Popen(
        [".venv/bin/python", "-m", "deployment", *arguments],
        cwd=project.folder,
        env=project.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def see_convergence(project: Project) -> None:
    """See that nothing is locked, and that nothing of the network is left to change."""
    s3 = project.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=project.state_bucket)["Contents"]]
    assert sorted(keys) == sorted(state_key("local", stack) for stack in STACKS)
    see_no_changes(project, "network")


def test_one_of_two_applies_wins(project: Project, chance: random.Random, rows: Rows) -> None:
    """The other one names the holder of the lock, or finds its plan stale; none ends in a traceback."""
    second = replace(project, environment={**project.environment, "CDKTF_OUTDIR": ".work/second"})
    objects, results = count_objects(project), Counter[str]()
    for number in range(ROUNDS_AT_ONCE):
        with project.changed({"aws.tags": {"round": str(number)}}):
            second.synthesize()
            first = start(project, "deploy", "--yes", "network")
            time.sleep(chance.uniform(0, 2))
            both = [first, start(second, "deploy", "--yes", "network")]
            done = [(process.communicate(timeout=WAIT_SECONDS), process.returncode) for process in both]
            assert 0 in [status for _, status in done], done
            for (output, errors), status in done:
                assert "Traceback" not in errors
                if status == 0:
                    results["deployed"] += 1
                elif "is locked by" in errors or "Lock Info" in output:
                    assert re.search(
                        r"locked by \S+@\S+ since [-\d]+ [:\d]+ UTC|Who: +\S+@\S+", errors + output
                    )
                    results["named the holder of the lock"] += 1
                else:
                    assert "Saved plan is stale" in output, output + errors
                    results["found its plan stale"] += 1
            again = project.deployment("deploy", "--yes", "network")
            assert again.returncode == 0, again.stderr
            see_convergence(project)
    assert count_objects(project) == objects
    rows["commands"].append(
        f"| two `deploy` of one stack at once | {ROUNDS_AT_ONCE} | "
        + ", ".join(f"{number} {result}" for result, number in sorted(results.items()))
        + "; nothing doubled; the next `deploy` converged |"
    )


def find_terraforms(project: Project) -> list[int]:
    """Return the process IDs of the Terraforms that work in the project's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_terraform = (process / "comm").read_text().strip() == "terraform"
            if is_terraform and (process / "cwd").readlink().is_relative_to(project.folder):
                found.append(int(process.name))
        except OSError:
            continue  # it has just ended
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux lists processes under /proc")
def test_a_killed_command_leaves_its_terraform_in_order(
    project: Project, chance: random.Random, rows: Rows
) -> None:
    """SIGKILL to our command alone: Terraform ends its work, and the next command waits for it."""
    objects, results = count_objects(project), Counter[str]()
    for number in range(KILLS):
        with project.changed({"aws.tags": {"kill": str(number)}}):
            command = ["deploy", "--yes", "network"]
            if number % 3 == 2:
                command = ["apply"]
                assert project.deployment("plan").returncode in {2, 3}
            process = start(project, *command)
            wait_for_terraform(project, process, chance)
            process.kill()
            process.communicate()
            results["killed"] += process.returncode == -signal.SIGKILL
            results["left"] += bool(find_terraforms(project))
            following = project.deployment("deploy", "--yes", "network")
            assert following.returncode == 0, following.stdout + following.stderr
            assert find_terraforms(project) == []
            results["waited"] += bool(re.search(WAITING, following.stderr, re.MULTILINE))
            see_convergence(project)
    assert results["waited"]
    done = project.deployment("deploy", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.deployment("plan").returncode == 0
    assert count_objects(project) == objects
    rows["commands"].append(
        f"| SIGKILL to `deploy` or `apply` at a random moment | {results['killed']} | {results['left']} left "
        f"a running Terraform, and the next command waited for {results['waited']} of them; no lock was "
        "left, nothing doubled; the next `deploy` converged |"
    )


def wait_for_terraform(project: Project, process: subprocess.Popen[str], chance: random.Random) -> None:
    """Wait until the command's Terraform works, and for a random time more."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not find_terraforms(project) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(chance.uniform(0, 15))
