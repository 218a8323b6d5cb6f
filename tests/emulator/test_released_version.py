"""An environment of the released version is upgraded to this one: real Terraform, the real AWS provider."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.project import Project, running_project
from tests.environments import STACKS, read_released

pytestmark = pytest.mark.long  # it deploys twice


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """The local environment, deployed with the JSON of the released version."""
    with running_project(tmp_path_factory.mktemp("project") / "project", aws_reattach) as project:
        for stack, document in read_released().items():
            write_json(project.stack_folder(stack), document, str(project.settings.aws.endpoint_url))
            project.apply(stack)
        yield project


def write_json(folder: Path, document: dict[str, Any], endpoint_url: str) -> None:
    """Write a stack's JSON for the emulator of this test."""
    folder.mkdir(parents=True)
    text = json.dumps(document).replace("http://127.0.0.1:4566", endpoint_url.rstrip("/"))
    (folder / "cdk.tf.json").write_text(text)


def test_an_upgrade_destroys_nothing(released: Project) -> None:
    """No plan of this version deletes or replaces a resource, and the plans after it are empty.

    Pods that have their AWS role already are not waited for.
    """
    associated = released.association_times()
    released.synthesize()
    for stack in STACKS:
        planned = released.planned_changes(stack)
        destroyed = {address for address, item in planned.items() if "delete" in item["change"]["actions"]}
        assert destroyed == set()
        applied = released.terraform(stack, "apply", "-input=false", "test.tfplan")
        assert applied.returncode == 0, applied.stdout + applied.stderr
    assert released.association_times() == associated
    for stack in STACKS:
        assert released.planned_changes(stack) == {}, stack
