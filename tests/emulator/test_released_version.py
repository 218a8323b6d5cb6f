"""An environment of a released version is upgraded to this one: real Terraform, the real AWS provider."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks import STACKS
from tests.emulator.project import Project, running_project
from tests.environments import RELEASES, read_released

pytestmark = pytest.mark.long  # it deploys each version, and then this one

# Resources that the upgrade of a stack from a version replaces, with an entry in CHANGELOG.md. A cluster, a
# node group, a subnet, a VPC, a bucket or a key is never among them.
REPLACED = {
    # `min_available` is no longer made of `concurrent`, and Kubernetes provider 2.38.0 replaces a budget that
    # changes. Both budgets cover the same pods.
    ("2026-11-25", "workloads"): {
        "kubernetes_pod_disruption_budget_v1.runner_default_boundaries_disruption_budget_6B8EED7A"
    },
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
    """No plan of this version deletes a resource or replaces one that is not listed; later plans are empty.

    Pods that have their AWS role already are not waited for.
    """
    release, project = released
    associated = project.association_times()
    project.synthesize()
    for stack in STACKS:
        planned = project.planned_changes(stack)
        actions = {address: "/".join(item["change"]["actions"]) for address, item in planned.items()}
        destroyed = {address: names for address, names in actions.items() if "delete" in names}
        assert destroyed == dict.fromkeys(REPLACED.get((release, stack), ()), "delete/create")
        applied = project.terraform(stack, "apply", "-input=false", "test.tfplan")
        assert applied.returncode == 0, applied.stdout + applied.stderr
    assert project.association_times() == associated
    for stack in STACKS:
        assert project.planned_changes(stack) == {}, stack
