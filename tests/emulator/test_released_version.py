"""An environment of a released version is upgraded to this one: real Terraform, the real AWS provider."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.project import Project, running_project
from tests.environments import RELEASES, STACKS, read_released

pytestmark = pytest.mark.long  # it deploys each version, and then this one

# The types that an upgrade from a version makes again, each with an entry in CHANGELOG.md.
MADE_AGAIN: dict[str, set[str]] = {
    "2026-11-25": set(),
}


@pytest.fixture(scope="module", params=RELEASES)
def released(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]
) -> Iterator[tuple[str, Project]]:
    """A released version, and the local environment, deployed with the JSON of that version."""
    release = request.param
    with running_project(tmp_path_factory.mktemp("project") / "project", aws_reattach) as project:
        for stack, document in read_released(release).items():
            write_json(project.stack_folder(stack), document, str(project.settings.aws.endpoint_url))
            project.apply(stack)
        yield release, project


def write_json(folder: Path, document: dict[str, Any], endpoint_url: str) -> None:
    """Write a stack's JSON for the emulator of this test."""
    folder.mkdir(parents=True)
    text = json.dumps(document).replace("http://127.0.0.1:4566", endpoint_url.rstrip("/"))
    (folder / "cdk.tf.json").write_text(text)


def test_an_upgrade_destroys_nothing(released: tuple[str, Project]) -> None:
    """No plan of this version deletes or replaces a resource but those above; later plans are empty.

    Pods that have their AWS role already are not waited for.
    """
    release, project = released
    associated = project.association_times()
    project.synthesize()
    for stack in STACKS:
        planned = project.planned_changes(stack).values()
        destroyed = {
            item["address"]
            for item in planned
            if "delete" in item["change"]["actions"] and item["type"] not in MADE_AGAIN.get(release, ())
        }
        assert destroyed == set()
        applied = project.terraform(stack, "apply", "-input=false", "test.tfplan")
        assert applied.returncode == 0, applied.stdout + applied.stderr
    assert project.association_times() == associated
    for stack in STACKS:
        assert project.planned_changes(stack) == {}, stack
