"""Lost and damaged states of deployed stacks: our commands refuse them, and restore them."""

import random
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from stacks import STACKS
from tests.chaos.figures import Figures
from tests.emulator.project import Project, running_project
from tests.state_damages import DAMAGES, Damage, StateObject

pytestmark = pytest.mark.chaos

COMMANDS = (("plan",), ("apply",), ("deploy", "--yes"), ("destroy", "--yes"))
WAIT_SECONDS = 300
REMOVALS = 2  # tests that add a row, beside each damage


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """A project whose stacks are deployed by our own command."""
    with running_project(tmp_path_factory.mktemp("states") / "project", aws_reattach) as project:
        done = project.deployment("deploy", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        yield project


@pytest.fixture(scope="module")
def rows(figures: Figures) -> Iterator[list[str]]:
    """The rows of the table; it is written when all tests have ended."""
    rows = [
        "| damage | stack | `plan`, `apply`, `deploy`, `destroy` say | way back | plan after it |",
        "| --- | --- | --- | --- | --- |",
    ]
    yield rows
    figures.write("states", rows, is_whole=len(rows) == 2 + len(DAMAGES) + REMOVALS)


def find_state(project: Project, stack: str, chance: random.Random) -> StateObject:
    """Return the state of a stack."""
    return StateObject(
        project.client("s3"), project.state_bucket, project.settings.environment, stack, chance
    )


def see_refusals(project: Project, state: StateObject, words: str) -> str:
    """See that every command ends with the same error and changes nothing; return the error."""
    versions, objects = state.list_versions(), project.count_objects()
    with ExitStack() as stack:
        # At once: they change nothing.
        running = [stack.enter_context(project.started(*command)) for command in COMMANDS]
        ended = [(*process.communicate(timeout=WAIT_SECONDS), process.returncode) for process in running]
    for output, error, status in ended:
        assert status == 1, output
        assert "Traceback" not in error
        assert words in error
        assert project.state_bucket in error
        assert error.endswith("Nothing was changed.\n")
    # They run at once, and one may wait for the Terraform of another.
    errors = {re.sub(r"^.* still runs here\. .*\n", "", error) for _, error, _ in ended}
    assert len(errors) == 1, errors
    assert state.list_versions() == versions
    assert project.count_objects() == objects
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
    words = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "…", said[1] or said[2])
    return f"| {damage} | {stack} | {words} | {way_back} | no changes |"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_each_damage_is_refused_and_restored(
    project: Project, chance: random.Random, rows: list[str], damage: Damage
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
    rows.append(write_row(damage.name, stack, error, ", ".join(way_back)))


def test_make_says_the_same(project: Project, chance: random.Random) -> None:
    """`make plan` and the others end with the error of the command and a status that is not 0."""
    state = find_state(project, "network", chance)
    good = state.list_versions()[0]
    state.delete()
    # `LOCALLY=` replaces the way to the providers of a demo's emulator.
    ended = [project.run("make", "--old-file=setup", "LOCALLY=", target) for target in ("plan", "apply")]
    restore(project, "network", good)
    for done in ended:
        assert done.returncode == 2, done.stdout + done.stderr
        assert "make restore ENV=local STACKS=network" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_version_that_was_removed_for_good_is_missed(
    project: Project, chance: random.Random, rows: list[str]
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
    rows.append(write_row("newest version removed for good", stack, error, "`make restore`"))


def test_a_state_that_was_removed_for_good_is_missed(
    project: Project, chance: random.Random, rows: list[str]
) -> None:
    """Another stack that is deployed needs it; no version is left to restore, and the command says so."""
    state = find_state(project, "network", chance)
    content = state.read()
    (project.plans / "plans.json").unlink(missing_ok=True)  # as on another machine
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
    rows.append(
        write_row("every version removed for good", "network", error, "a copy of your own, or imports")
    )
