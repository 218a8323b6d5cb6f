"""A new environment that is deployed by `python -m deployment plan` and `apply` alone."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.emulator.project import Project, running_project
from tests.environments import write_document

ANOTHER_ZONE = "eu-central-1c"


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """An environment of which nothing is deployed."""
    with running_project(tmp_path_factory.mktemp("new") / "project", aws_reattach) as project:
        project.synthesize()
        yield project


def test_a_new_environment_is_deployed_plan_by_plan(fresh: Project) -> None:
    """A stack that waits is no error; an interrupt leaves no lock; a preview is not applied."""
    done = fresh.deployment("plan")
    assert done.returncode == 3, done.stdout + done.stderr
    report = (fresh.plans / "report.md").read_text()
    assert "not planned: network is not deployed yet" in report
    assert "not planned: cluster is not deployed yet" in report

    with fresh.started("apply") as apply:
        printed = ""
        assert apply.stdout
        while "Creation complete" not in printed:
            line = apply.stdout.readline()
            assert line, printed
            printed += line
        for number in (signal.SIGINT, signal.SIGTERM):  # to the group, as a terminal or `timeout` does
            os.killpg(apply.pid, number)
        rest, complaint = apply.communicate(timeout=120)
    assert apply.returncode == 1, printed + rest + complaint
    assert complaint.endswith("interrupted\n")
    assert "Two interrupts" not in printed + rest + complaint  # at the second Terraform would give up
    keys = fresh.client("s3").list_objects_v2(Bucket=fresh.state_bucket, Prefix="local/")["Contents"]
    assert [item["Key"] for item in keys] == ["local/network.tfstate"]

    assert fresh.deployment("apply").returncode == 1  # its plan is stale now
    assert fresh.deployment("plan").returncode == 3
    applied = fresh.deployment("apply")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    for stack in ("cluster", "workloads"):
        assert f"{stack}: not applied, since a stack before it had to be applied first" in applied.stdout

    environment = fresh.folder / "environments" / "local.yaml"
    settings = YAML(typ="safe").load(environment.read_text())
    settings["network"]["availability_zones"].append(ANOTHER_ZONE)
    write_document(settings, environment)
    fresh.synthesize()
    # The cluster has node groups in a zone whose subnets are not there yet.
    assert fresh.deployment("plan").returncode == 2
    report = (fresh.plans / "report.md").read_text()
    assert "subnet\\_ids of network changes; apply that first" in report
    assert "Invalid index" in report  # Terraform's message, folded

    settings["protect_running_jobs"] = False  # then each group spans all zones
    write_document(settings, environment)
    fresh.synthesize()
    assert fresh.deployment("plan").returncode == 3
    stacks = fresh.plans_record()["stacks"]
    assert (stacks["cluster"]["preview"], stacks["cluster"]["has_changes"]) == (True, True)
    assert "plan again after that is applied" in (fresh.plans / "report.md").read_text()
    applied = fresh.deployment("apply")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "cluster: applying" not in applied.stdout
    assert fresh.deployment("plan").returncode == 3
    assert fresh.plans_record()["stacks"]["cluster"]["preview"] is False
