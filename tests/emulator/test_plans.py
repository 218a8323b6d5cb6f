"""`python -m deployment plan` and `apply`: the plan that was reviewed is the plan that is applied."""

import json
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stacks import STACKS
from tests.emulator.project import Project


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
    done = deployed.deployment("plan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing to do" in (deployed.plans / "report.md").read_text()
    assert json.loads((deployed.plans / "gitlab.json").read_text()) == {
        "create": 0,
        "update": 0,
        "delete": 0,
    }
    before = serials(deployed)
    applied = deployed.deployment("apply")
    assert applied.returncode == 0, applied.stderr
    assert "nothing to apply\n" in applied.stdout
    assert serials(deployed) == before


def test_what_was_reviewed_is_applied_from_another_checkout(deployed: Project, tmp_path: Path) -> None:
    """A pipeline's later job, which has only the plan's files, applies exactly them, once approved."""
    other = tmp_path / "checkout"
    with deployed.changed({"cluster.node_groups.main.max_size": 12}):
        planned = deployed.deployment("plan")
        assert planned.returncode == 3, planned.stdout + planned.stderr
        assert "at most 14 → 16 nodes" in (deployed.plans / "report.md").read_text()
        assert json.loads((deployed.plans / "gitlab.json").read_text()) == {
            "create": 0,
            "update": 2,
            "delete": 0,
        }
        assert deployed.plans_record()["exit_status"] == 3
        issues = json.loads((deployed.plans / "code-quality.json").read_text())
        assert {item["location"]["path"] for item in issues} == {"environments/local.yaml"}
        sarif = json.loads((deployed.plans / "findings.sarif").read_text())
        assert len(sarif["runs"][0]["results"]) == len(issues) == 3
        assert stat.S_IMODE(deployed.plans.stat().st_mode) == 0o700
        ignored = shutil.ignore_patterns("cdktf.out", ".work", "*.log")
        shutil.copytree(deployed.folder, other, symlinks=True, ignore=ignored)
        for stack in STACKS:
            mirror = deployed.stack_folder(stack) / "terraform.d"
            if mirror.exists():
                shutil.copytree(mirror, other / "cdktf.out" / "stacks" / stack / "terraform.d", symlinks=True)
        later = replace(deployed, folder=other)
        # Without its findings, the record of the plan would need no approval. The plan file has them.
        record = later.plans_record()
        for item in record["stacks"].values():
            item["dangers"] = {}
        (later.plans / "plans.json").write_text(json.dumps(record))
        unapproved = later.deployment("apply", "--require-approval")
        assert unapproved.returncode == 1
        assert "1 change(s) need an approval: s3://" in unapproved.stderr
        # The approval is given where another plan has the same findings.
        approved = deployed.deployment("approve", "--yes")
        assert approved.returncode == 0, approved.stdout + approved.stderr
        assert "cluster: at most 14 → 16 nodes" in approved.stdout
        assert "unchanged, number of entries: 1\n" in deployed.deployment("approvals").stdout
        applied = later.deployment("apply", "--require-approval")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert "arn:aws:iam::000000000000:root, entry 1\n" in applied.stdout
        assert "cluster: applying" in applied.stdout
        assert "network: applying" not in applied.stdout
        assert deployed.planned_changes("cluster") == {}
        # The first checkout still has the files, of a state that is gone.
        assert not list((other / "plans").rglob("*.tfplan"))
    assert deployed.deployment("plan").returncode == 2  # fewer nodes need no approval
    assert deployed.deployment("apply").returncode == 0


def scale(project: Project, group: str, number: int) -> None:
    """Set the number of nodes of a group, as the autoscaler does."""
    project.client("eks").update_nodegroup_config(
        clusterName=project.settings.cluster.name,
        nodegroupName=group,
        scalingConfig={"desiredSize": number},
    )


def read_scaling(project: Project, group: str) -> dict[str, int]:
    """Return the sizes of a group in EKS."""
    found: dict[str, int] = project.client("eks").describe_nodegroup(
        clusterName=project.settings.cluster.name, nodegroupName=group
    )["nodegroup"]["scalingConfig"]
    return found


def test_an_apply_never_takes_nodes_from_running_jobs(deployed: Project) -> None:
    """A plan with new sizes is refused once a group has more nodes; a new plan keeps their number."""
    sizes = read_scaling(deployed, "main-a")
    with deployed.changed({"cluster.node_groups.main.max_size": 12}):
        assert deployed.deployment("plan").returncode == 3
        assert "sets the group main-a to 1 node(s)" in (deployed.plans / "report.md").read_text()
        scale(deployed, "main-a", 4)
        refused(deployed, "the node group main-a has 4 node(s) now, the plan would set 1")
        assert read_scaling(deployed, "main-a") == sizes | {"desiredSize": 4}
        assert deployed.deployment("plan").returncode == 3
        assert deployed.deployment("apply").returncode == 0
        assert read_scaling(deployed, "main-a") == sizes | {"maxSize": 6, "desiredSize": 4}
        scale(deployed, "main-a", 1)
    assert deployed.deployment("deploy", "--yes", "cluster").returncode == 0
    assert read_scaling(deployed, "main-a") == sizes


TAGGED = {"aws.tags": {"team": "ci"}}


@pytest.fixture(scope="module")
def tagged_plan(deployed: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a plan with one small change in each stack."""
    kept = tmp_path_factory.mktemp("plans") / "local"
    with deployed.changed(TAGGED):
        assert deployed.deployment("plan").returncode == 2
        shutil.copytree(deployed.plans, kept)
    return kept


@pytest.fixture
def planned(deployed: Project, tagged_plan: Path) -> Iterator[Project]:
    """A plan that was made and not applied."""
    with deployed.changed(TAGGED):
        shutil.copytree(tagged_plan, deployed.plans, dirs_exist_ok=True)
        yield deployed


def refused(project: Project, because: str) -> None:
    """See that apply refuses, why, and that no state has changed."""
    before = serials(project)
    done = project.deployment("apply")
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
    with (planned.plans / "network.tfplan").open("ab") as file:
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
        done = deployed.deployment("plan")
        assert done.returncode == 1
        report = (deployed.plans / "report.md").read_text()
        assert "could not be planned" in report
        assert maximum in report.replace("\\", "")
        assert "apply with" not in report
        assert [name for name, item in deployed.plans_record()["stacks"].items() if item["plan_sha256"]] == [
            "network",
            "cluster",
        ]
        refused(deployed, "not every stack could be planned")


def test_states_that_can_not_be_reached_are_told_once(deployed: Project) -> None:
    """Without credentials or network no stack can be planned: one message, and no report."""
    away = deployed.another("away", {"aws.endpoint_url": "http://127.0.0.1:1", "cluster.name": "away"})
    done = away.deployment("plan")
    (deployed.folder / "environments" / "away.yaml").unlink()
    assert done.returncode == 1
    assert done.stderr.startswith("AWS could not be asked: ")
    assert done.stderr.endswith(". `make demo` starts the emulated AWS\n")
    assert done.stderr.count("\n") == 1
    assert not away.plans.exists()


def test_without_a_plan_there_is_nothing_to_apply(deployed: Project) -> None:
    """`apply` names the command that makes a plan."""
    shutil.rmtree(deployed.plans, ignore_errors=True)
    done = deployed.deployment("apply")
    assert done.returncode == 1
    assert done.stderr.endswith("plans/local: there is no plan to apply. Plan first: make plan ENV=local\n")
