"""`python -m deployment plan` and `apply`: the plan that was reviewed is the plan that is applied."""

import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.emulator.project import Project, running_project
from tests.environments import STACKS

ANOTHER_ZONE = "eu-central-1c"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """A deployment of its own, since other tests share theirs."""
    with running_project(tmp_path_factory.mktemp("plans") / "project", aws_reattach) as project:
        project.synthesize()
        for stack in STACKS:
            project.apply(stack)
        yield project


def run(project: Project, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `deployment` as a pipeline does."""
    return project.run(".venv/bin/python", "-m", "deployment", command)


def plans(project: Project) -> Path:
    """Return the folder that a plan of the project's environment is kept in."""
    return project.folder / "plans" / project.environment["ENV"]


def record(project: Project) -> dict[str, Any]:
    """Return what the last plan has left."""
    found: dict[str, Any] = json.loads((plans(project) / "plans.json").read_text())
    return found


def serials(project: Project) -> dict[str, int]:
    """Return the serial number of each stack's state in S3."""
    s3, found = project.client("s3"), {}
    for stack in STACKS:
        key = f"{project.environment['ENV']}/{stack}.tfstate"
        found[stack] = json.loads(s3.get_object(Bucket=project.state_bucket, Key=key)["Body"].read())[
            "serial"
        ]
    return found


def test_nothing_to_do_is_status_0(deployed: Project) -> None:
    """A plan of what is deployed ends with 0, says so in its report, and has nothing to apply."""
    done = run(deployed, "plan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing to do" in (plans(deployed) / "report.md").read_text()
    assert json.loads((plans(deployed) / "gitlab.json").read_text()) == {
        "create": 0,
        "update": 0,
        "delete": 0,
    }
    before = serials(deployed)
    applied = run(deployed, "apply")
    assert applied.returncode == 0, applied.stderr
    assert "nothing to apply\n" in applied.stdout
    assert serials(deployed) == before


def test_what_was_reviewed_is_applied_from_another_checkout(deployed: Project, tmp_path: Path) -> None:
    """A pipeline's later job, which has only the plan's files, applies exactly them; then nothing is left."""
    other = tmp_path / "checkout"
    with deployed.changed({"cluster.node_groups.main.max_size": 12}):
        planned = run(deployed, "plan")
        assert planned.returncode == 3, planned.stdout + planned.stderr
        assert "at most 14 → 16 nodes" in (plans(deployed) / "report.md").read_text()
        assert json.loads((plans(deployed) / "gitlab.json").read_text()) == {
            "create": 0,
            "update": 2,
            "delete": 0,
        }
        assert record(deployed)["exit_status"] == 3
        assert stat.S_IMODE(plans(deployed).stat().st_mode) == 0o700
        ignored = shutil.ignore_patterns("cdktf.out", ".work", "*.log")
        shutil.copytree(deployed.folder, other, symlinks=True, ignore=ignored)
        for stack in STACKS:
            mirror = deployed.stack_folder(stack) / "terraform.d"
            if mirror.exists():
                shutil.copytree(mirror, other / "cdktf.out" / "stacks" / stack / "terraform.d", symlinks=True)
        applied = run(replace(deployed, folder=other), "apply")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert "cluster: applying" in applied.stdout
        assert "network: applying" not in applied.stdout
        assert run(deployed, "plan").returncode == 0
        # The first checkout still has the files, of a state that is gone.
        assert not list((other / "plans").rglob("*.tfplan"))
    assert run(deployed, "plan").returncode == 2  # fewer nodes need no approval
    assert run(deployed, "apply").returncode == 0


TAGGED = {"aws.tags": {"team": "ci"}}


@pytest.fixture(scope="module")
def tagged_plan(deployed: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a plan with one small change in each stack."""
    kept = tmp_path_factory.mktemp("plans") / "local"
    with deployed.changed(TAGGED):
        assert run(deployed, "plan").returncode == 2
        shutil.copytree(plans(deployed), kept)
    return kept


@pytest.fixture
def planned(deployed: Project, tagged_plan: Path) -> Iterator[Project]:
    """A plan that was made and not applied."""
    with deployed.changed(TAGGED):
        shutil.copytree(tagged_plan, plans(deployed), dirs_exist_ok=True)
        yield deployed


def refused(project: Project, because: str) -> None:
    """See that apply refuses, why, and that no state has changed."""
    before = serials(project)
    done = run(project, "apply")
    assert done.returncode == 1
    assert because in done.stderr
    assert "Plan again: make plan ENV=local" in done.stderr
    assert serials(project) == before


def test_a_plan_of_other_settings_is_stale(planned: Project) -> None:
    """Settings that were edited after the plan are not applied, and neither is the plan."""
    with planned.changed({"aws.tags": {"team": "other"}}):
        refused(planned, "the settings or the code give another configuration of network than was planned")


def test_a_plan_file_that_was_edited_is_refused(planned: Project) -> None:
    """Only the very file that the report was made from is applied."""
    with (plans(planned) / "network.tfplan").open("ab") as file:
        file.write(b"x")
    refused(planned, "network.tfplan is not the file that was planned")


def test_a_plan_of_another_state_is_stale(planned: Project) -> None:
    """If another apply changed a state after the plan, even of the last stack, nothing is applied."""
    state = json.loads(planned.terraform("workloads", "state", "pull").stdout)
    state["serial"] += 1
    file = planned.folder / "another.tfstate"
    file.write_text(json.dumps(state))
    assert planned.terraform("workloads", "state", "push", str(file)).returncode == 0
    refused(planned, "the state of workloads has changed")


def test_a_stack_that_can_not_be_planned_is_an_error(deployed: Project) -> None:
    """The others are planned all the same, the report has Terraform's message, and nothing can be applied."""
    maximum = "runners.default.build.cpu_request_overwrite_max_allowed"
    with deployed.changed({maximum: "500"}):
        done = run(deployed, "plan")
        assert done.returncode == 1
        report = (plans(deployed) / "report.md").read_text()
        assert "could not be planned" in report
        assert maximum in report.replace("\\", "")
        assert [name for name, item in record(deployed)["stacks"].items() if item["plan_sha256"]] == [
            "network",
            "cluster",
        ]
        refused(deployed, "not every stack could be planned")


def test_states_that_can_not_be_reached_are_told_once(deployed: Project) -> None:
    """Without credentials or network no stack can be planned: one message, and no report."""
    away = deployed.another("away", {"aws.endpoint_url": "http://127.0.0.1:1", "cluster.name": "away"})
    done = run(away, "plan")
    (deployed.folder / "environments" / "away.yaml").unlink()
    assert done.returncode == 1
    assert done.stderr.startswith("AWS could not be asked: ")
    assert done.stderr.count("\n") == 1
    assert not plans(away).exists()


def test_without_a_plan_there_is_nothing_to_apply(deployed: Project) -> None:
    """`apply` names the command that makes a plan."""
    shutil.rmtree(plans(deployed), ignore_errors=True)
    done = run(deployed, "apply")
    assert done.returncode == 1
    assert done.stderr.endswith("plans/local: there is no plan to apply. Plan first: make plan ENV=local\n")


@pytest.fixture
def fresh(deployed: Project) -> Iterator[Project]:
    """A second environment, of which nothing is deployed."""
    environment = deployed.another("fresh", {"cluster.name": "fresh"})
    yield environment
    done = environment.terraform("network", "destroy", "-auto-approve", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    (deployed.folder / "environments" / "fresh.yaml").unlink()


def test_a_new_environment_is_deployed_plan_by_plan(fresh: Project) -> None:
    """A stack that waits is no error; an interrupt leaves no lock; a preview is not applied."""
    done = run(fresh, "plan")
    assert done.returncode == 3, done.stdout + done.stderr
    report = (plans(fresh) / "report.md").read_text()
    assert "not planned: network is not deployed yet" in report
    assert "not planned: cluster is not deployed yet" in report

    apply = subprocess.Popen(
        [".venv/bin/python", "-m", "deployment", "apply"],
        cwd=fresh.folder,
        env=fresh.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
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
    keys = fresh.client("s3").list_objects_v2(Bucket=fresh.state_bucket, Prefix="fresh/")["Contents"]
    assert [item["Key"] for item in keys] == ["fresh/network.tfstate"]

    assert run(fresh, "apply").returncode == 1  # its plan is stale now
    assert run(fresh, "plan").returncode == 3
    applied = run(fresh, "apply")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    for stack in ("cluster", "workloads"):
        assert f"{stack}: not applied, since a stack before it had to be applied first" in applied.stdout

    environment = fresh.folder / "environments" / "fresh.yaml"
    settings = YAML(typ="safe").load(environment.read_text())
    settings["network"]["availability_zones"].append(ANOTHER_ZONE)
    YAML(typ="safe").dump(settings, environment)
    # The cluster has node groups in a zone whose subnets are not there yet.
    assert run(fresh, "plan").returncode == 2
    report = (plans(fresh) / "report.md").read_text()
    assert "subnet\\_ids of network changes; apply that first" in report
    assert "Invalid index" in report  # Terraform's message, folded

    settings["protect_running_jobs"] = False  # then each group spans all zones
    YAML(typ="safe").dump(settings, environment)
    assert run(fresh, "plan").returncode == 3
    stacks = record(fresh)["stacks"]
    assert (stacks["cluster"]["preview"], stacks["cluster"]["has_changes"]) == (True, True)
    assert "plan again after that is applied" in (plans(fresh) / "report.md").read_text()
    applied = run(fresh, "apply")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "cluster: applying" not in applied.stdout
    assert run(fresh, "plan").returncode == 3
    assert record(fresh)["stacks"]["cluster"]["preview"] is False
