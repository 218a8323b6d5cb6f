"""The promises of .gitlab-ci.yml to the people who review and apply plans."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stacks.settings.load import PROJECT
from tests.environments import Synthesized
from tests.trust_policies import trust_policies

FILE = PROJECT / ".gitlab-ci.yml"
PIPELINE: dict[str, Any] = YAML(typ="safe").load(FILE.read_text(encoding="utf-8"))
KEYWORDS = {"workflow", "stages", "variables", "default"}
SHELL = {"docker", "echo", "export", "printf"}  # these need no file of the project


def merge(base: Any, top: Any) -> Any:
    """Merge as GitLab's `extends` does: mappings key by key, anything else is replaced."""
    if not isinstance(base, dict) or not isinstance(top, dict):
        return top
    return base | {key: merge(base.get(key), value) for key, value in top.items()}


def read_job(name: str) -> dict[str, Any]:
    """Return a job merged with the jobs that it extends."""
    own = PIPELINE[name]
    base = read_job(own["extends"]) if "extends" in own else {}
    return {key: value for key, value in merge(base, own).items() if key != "extends"}


JOBS = {name: read_job(name) for name in PIPELINE if name not in KEYWORDS and not name.startswith(".")}
PLANNING = [name for name, found in JOBS.items() if "-m deployment plan" in str(found["script"])]
APPLYING = [name for name, found in JOBS.items() if "-m deployment apply" in str(found["script"])]


def find_jobs(name: str) -> list[str]:
    """Return the names of the jobs of one kind, such as all `review …`."""
    found = [item for item in JOBS if item.startswith(f"{name} ")]
    assert found
    return found


def split_conditions(rules: list[dict[str, Any]]) -> list[list[str]]:
    """Return the terms that `&&` joins, of each rule."""
    return [rule["if"].strip().split(" && ") for rule in rules]


MERGE_REQUEST = '$CI_PIPELINE_SOURCE == "merge_request_event"'
DEFAULT_BRANCH = "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"
SCHEDULE = '$CI_PIPELINE_SOURCE == "schedule"'
NO_SCHEDULE = '$CI_PIPELINE_SOURCE != "schedule"'
PROTECTED = '$CI_COMMIT_REF_PROTECTED == "true"'
PLAN_ROLE, APPLY_ROLE = "$AWS_PLAN_ROLE_ARN", "$AWS_APPLY_ROLE_ARN"


def test_an_apply_may_take_longer_than_the_update_of_a_node_group(example: Synthesized) -> None:
    """GitLab kills a job at its timeout, and the lock of the state then stays."""
    groups = example["cluster"]["resource"]["aws_eks_node_group"].values()
    minutes = {int(group["timeouts"]["update"].removesuffix("m")) for group in groups}
    for name in APPLYING:
        hours, unit = JOBS[name]["timeout"].split()
        assert unit == "hours"
        assert int(hours) * 60 > max(minutes)


def test_only_merge_requests_and_the_default_branch_have_a_pipeline() -> None:
    """A tag and a branch without a merge request have none, so that no commit has two pipelines."""
    assert split_conditions(PIPELINE["workflow"]["rules"]) == [[MERGE_REQUEST], [DEFAULT_BRANCH]]


@pytest.mark.parametrize("name", ["lint", "test"])
def test_every_pipeline_but_a_schedule_lints_and_tests(name: str) -> None:
    """The two jobs need no role, so that a fresh copy of the project has a pipeline."""
    assert split_conditions(JOBS[name]["rules"]) == [[NO_SCHEDULE]]


def test_a_schedule_reports_newer_versions_and_never_fails_by_it() -> None:
    """The job needs no role, and the drift of an environment alone decides about the pipeline."""
    job = JOBS["newer versions"]
    assert split_conditions(job["rules"]) == [[SCHEDULE]]
    assert job["allow_failure"] is True
    assert job["script"] == "make newer-versions"


@pytest.mark.parametrize(
    ("name", "conditions"),
    [
        ("review", [PLAN_ROLE, MERGE_REQUEST]),
        ("plan", [PLAN_ROLE, DEFAULT_BRANCH, NO_SCHEDULE]),
        ("apply", [PLAN_ROLE, APPLY_ROLE, DEFAULT_BRANCH, PROTECTED, NO_SCHEDULE]),
        ("drift", [PLAN_ROLE, DEFAULT_BRANCH, SCHEDULE]),
    ],
)
def test_each_job_with_a_role_has_its_conditions(name: str, conditions: list[str]) -> None:
    """A merge request only plans; a person applies, on the protected default branch; a schedule seeks drift.

    Without a role or without the environment's file the job does not exist.
    """
    for found in find_jobs(name):
        (rule,) = JOBS[found]["rules"]
        assert split_conditions([rule]) == [conditions]
        assert rule["exists"] == ["environments/$ENV.yaml"]
        assert rule.get("when") == ("manual" if name == "apply" else None)


def test_the_image_is_built_on_the_default_branch_alone() -> None:
    """No merge request replaces the image of later applies; a person may have it built again."""
    pushed, by_hand = JOBS["build image"]["rules"]
    assert all(DEFAULT_BRANCH in terms for terms in split_conditions([pushed, by_hand]))
    assert '$CI_PIPELINE_SOURCE == "push"' in pushed["if"]
    assert pushed["changes"] == [".gitlab/Dockerfile"]
    assert '$CI_PIPELINE_SOURCE == "web"' in by_hand["if"]
    assert by_hand["when"] == "manual"


def test_gitlab_accepts_the_file(tmp_path: Path) -> None:
    """It is valid by GitLab's published schema, as written and with every `extends` resolved.

    The schema in check-jsonschema does not look into jobs whose names begin with a dot.
    """
    spelt_out = tmp_path / "spelt-out.yml"
    keywords = {name: PIPELINE[name] for name in KEYWORDS}
    spelt_out.write_text(json.dumps(keywords | JOBS), encoding="utf-8")
    schema = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(FILE), str(spelt_out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_key_is_stored() -> None:
    """Credentials come from tokens: no file of the pipeline names a variable for an AWS key."""
    files = [FILE, *(PROJECT / ".gitlab").iterdir(), *(PROJECT / ".ci").iterdir()]
    for path in files:
        assert not re.search(r"ACCESS_KEY|SESSION_TOKEN|AWS_PROFILE", path.read_text(encoding="utf-8")), path


def test_every_command_exists() -> None:
    """Each command of a job is a target of the Makefile, a file of the project, or a command of the shell."""
    scripts = [JOBS[name].get(part, []) for name in JOBS for part in ("before_script", "script")]
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for line in {line for part in scripts for line in ([part] if isinstance(part, str) else part)}:
        command, *arguments = line.split()
        if command == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE), line
        elif command == ".venv/bin/python":
            help_of_command = [sys.executable, *arguments, "--help"]
            assert (
                subprocess.run(help_of_command, cwd=PROJECT, capture_output=True, check=False).returncode == 0
            )
        elif command not in SHELL:
            assert os.access(PROJECT / command, os.X_OK), line


def test_one_job_at_a_time_works_on_an_environment() -> None:
    """A job that plans or applies waits for the others of the environment, and is never cancelled."""
    assert PLANNING
    assert APPLYING
    for name in PLANNING + APPLYING:
        assert JOBS[name]["resource_group"] == "$ENV", name
        assert JOBS[name]["interruptible"] is False, name


def test_only_apply_gets_the_role_that_changes() -> None:
    """Every other job with credentials has the role for plans, and jobs that only check have none."""
    for name, found in JOBS.items():
        roles = {"$AWS_PLAN_ROLE_ARN": name in PLANNING, "$AWS_APPLY_ROLE_ARN": name in APPLYING}
        role = next((arn for arn, holder in roles.items() if holder), None)
        assert found.get("variables", {}).get("AWS_ROLE_ARN") == role, name
        assert ("id_tokens" in found) is (role is not None), name


def test_jobs_with_credentials_use_no_cache() -> None:
    """Every branch's job can write to a cache; no job with a role reads one."""
    assert "cache" not in PIPELINE["default"]
    assert all("cache" not in JOBS[name] for name in PLANNING + APPLYING)


@pytest.mark.parametrize("name", PLANNING)
def test_a_plan_is_kept_whatever_its_status(name: str) -> None:
    """GitLab counts 2 and 3 as failures, and then the report is needed; only members see it."""
    artifacts = JOBS[name]["artifacts"]
    assert artifacts["when"] == "always"
    assert artifacts["access"] == "developer"


@pytest.mark.parametrize("name", find_jobs("review"))
def test_a_merge_request_shows_report_and_widget(name: str) -> None:
    """The report is linked, which GitLab does for literal paths only, and no plan file is kept."""
    environment = JOBS[name]["variables"]["ENV"]
    artifacts = JOBS[name]["artifacts"]
    assert name == f"review {environment}"
    assert artifacts["paths"] == [f"plans/{environment}/report.md"]
    assert artifacts["expose_as"]
    assert artifacts["reports"] == {"terraform": f"plans/{environment}/gitlab.json"}


@pytest.mark.parametrize("name", find_jobs("apply"))
def test_apply_takes_the_plan_of_its_own_pipeline(name: str) -> None:
    """It gets the plan files from the plan job alone, and only after lint and tests have passed."""
    environment = JOBS[name]["variables"]["ENV"]
    plan = JOBS[f"plan {environment}"]
    assert plan["variables"]["ENV"] == environment
    assert plan["artifacts"]["paths"] == [f"plans/{environment}/"]
    checks = [{"job": check, "artifacts": False} for check in ("lint", "test")]
    assert JOBS[name]["needs"] == [f"plan {environment}", *checks]
    assert JOBS[name]["environment"] == {"name": "$ENV"}
    assert JOBS[name]["script"][0] == ".ci/approved"


@pytest.mark.parametrize("name", [*find_jobs("review"), *find_jobs("plan")])
def test_changes_are_a_warning(name: str) -> None:
    """A plan with changes does not stop the pipeline; an error does."""
    assert JOBS[name]["allow_failure"] == {"exit_codes": [2, 3]}


@pytest.mark.parametrize("name", find_jobs("drift"))
def test_drift_is_red_and_has_a_report(name: str) -> None:
    """On a schedule every status but 0 fails the pipeline, so that GitLab notifies; the report says why."""
    environment = JOBS[name]["variables"]["ENV"]
    assert JOBS[name]["allow_failure"] is False
    assert JOBS[name]["artifacts"]["paths"] == [f"plans/{environment}/report.md"]


def approved(folder: Path, plans: str | None, pipeline: str | None) -> subprocess.CompletedProcess[str]:
    """Run .ci/approved in a project of its own, for pipeline 7 and the environment prod."""
    (folder / ".ci").mkdir()
    shutil.copy(PROJECT / ".ci" / "approved", folder / ".ci")
    if plans is not None:
        (folder / "plans" / "prod").mkdir(parents=True)
        (folder / "plans" / "prod" / "plans.json").write_text(plans)
    given = {"APPROVED_PIPELINE": pipeline} if pipeline is not None else {}
    return subprocess.run(
        [folder / ".ci" / "approved"],
        env={"PATH": os.environ["PATH"], "ENV": "prod", "CI_PIPELINE_ID": "7", **given},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("status", "pipeline"), [(0, None), (2, None), (3, "7")])
def test_a_plan_may_be_applied(tmp_path: Path, status: int, pipeline: str | None) -> None:
    """An ordinary plan needs no approval; a plan of status 3 needs the number of this pipeline."""
    done = approved(tmp_path, json.dumps({"exit_status": status}), pipeline)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("plans", "pipeline", "message"),
    [
        ('{"exit_status": 3}', None, "APPROVED_PIPELINE"),
        ('{"exit_status": 3}', "6", "APPROVED_PIPELINE"),
        ('{"exit_status": 1}', "7", "exit_status is 1"),
        ("{}", "7", "plans/prod/plans.json: can't be read"),
        ("[", "7", "plans/prod/plans.json: can't be read"),
        (None, "7", "plans/prod/plans.json: can't be read"),
    ],
)
def test_a_plan_is_refused(tmp_path: Path, plans: str | None, pipeline: str | None, message: str) -> None:
    """Without an approval of this pipeline or without a good plan: one message, nothing is applied."""
    done = approved(tmp_path, plans, pipeline)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize("name", [*PLANNING, *APPLYING])
def test_a_failed_command_does_not_look_like_a_plan_with_changes(name: str) -> None:
    """GNU make ends with 2 at any failure, and 2 is the status of a plan with changes."""
    script = JOBS[name]["script"]
    lines = [*JOBS[name]["before_script"], *([script] if isinstance(script, str) else script)]
    assert not [line for line in lines if line.startswith("make ") and "|| exit 1" not in line]


def test_the_token_is_in_a_private_file(tmp_path: Path) -> None:
    """Only the job's user can read the file. It is outside the project's folder: no artifact holds it."""
    project, temporary = tmp_path / "project", tmp_path / "temporary"
    project.mkdir()
    temporary.mkdir()
    commands = [line for line in read_job(".aws")["before_script"] if not line.startswith("make setup")]
    done = subprocess.run(
        ["bash", "-euc", "\n".join([*commands, "env"])],
        cwd=project,
        env={
            "PATH": os.environ["PATH"],
            "TMPDIR": str(temporary),
            "AWS_ID_TOKEN": "a.b.c",
            "CI_PROJECT_ID": "1",
            "CI_JOB_ID": "2",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    environment = dict(line.split("=", 1) for line in done.stdout.splitlines())
    file = Path(environment["AWS_WEB_IDENTITY_TOKEN_FILE"])
    assert file.parent == temporary
    assert file.read_text() == "a.b.c"
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    assert environment["AWS_ROLE_SESSION_NAME"] == "gitlab-1-2"
    assert not list(project.iterdir())


def test_documented_trust_policies_match_the_tokens_of_the_jobs() -> None:
    """Both policies of docs/pipeline.md require the jobs' audience and one project; apply one branch."""
    plan, apply = trust_policies()
    audiences = {found["id_tokens"]["AWS_ID_TOKEN"]["aud"] for found in JOBS.values() if "id_tokens" in found}
    for policy in (plan, apply):
        (statement,) = policy["Statement"]
        assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert {statement["Condition"]["StringEquals"]["gitlab.com:aud"]} == audiences
    subject = "project_path:group/project:ref_type:branch:ref:"
    assert plan["Statement"][0]["Condition"]["StringLike"] == {"gitlab.com:sub": f"{subject}*"}
    assert apply["Statement"][0]["Condition"]["StringEquals"]["gitlab.com:sub"] == f"{subject}main"
    assert "StringLike" not in apply["Statement"][0]["Condition"]
