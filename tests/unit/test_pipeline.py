"""The promises of .gitlab-ci.yml to the people who review and apply plans."""

import json
import os
import re
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
APPROVING = [name for name, found in JOBS.items() if "-m deployment approve" in str(found["script"])]
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
PLAN_ROLE, APPROVE_ROLE, APPLY_ROLE = "$AWS_PLAN_ROLE_ARN", "$AWS_APPROVE_ROLE_ARN", "$AWS_APPLY_ROLE_ARN"


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


def test_a_schedule_scans() -> None:
    """Advisories appear while the project does not change. Elsewhere a person may start the scan."""
    on_schedule, by_hand = JOBS["scan"]["rules"]
    assert on_schedule == {"if": SCHEDULE}
    assert by_hand == {"when": "manual", "allow_failure": True}
    assert JOBS["scan"]["script"][-1] == 'make scan REQUIRE="stacks plan python node"'


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
        ("approve", [PLAN_ROLE, APPROVE_ROLE, DEFAULT_BRANCH, PROTECTED, NO_SCHEDULE]),
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
        assert rule.get("when") == ("manual" if name in ("approve", "apply") else None)


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
    assert APPROVING
    assert APPLYING
    for name in PLANNING + APPROVING + APPLYING:
        assert JOBS[name]["resource_group"] == "$ENV", name
        assert JOBS[name]["interruptible"] is False, name


def test_each_step_has_a_role_of_its_own() -> None:
    """Who may apply need not be able to approve; jobs that only check have no role."""
    for name, found in JOBS.items():
        roles = {PLAN_ROLE: name in PLANNING, APPROVE_ROLE: name in APPROVING, APPLY_ROLE: name in APPLYING}
        role = next((arn for arn, holder in roles.items() if holder), None)
        assert found.get("variables", {}).get("AWS_ROLE_ARN") == role, name
        assert ("id_tokens" in found) is (role is not None), name


def test_jobs_with_credentials_use_no_cache() -> None:
    """Every branch's job can write to a cache; no job with a role reads one."""
    assert "cache" not in PIPELINE["default"]
    assert all("cache" not in JOBS[name] for name in PLANNING + APPROVING + APPLYING)


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
    assert artifacts["reports"] == {
        "terraform": f"plans/{environment}/gitlab.json",
        "codequality": f"plans/{environment}/code-quality.json",
    }
    # GitLab compares it with that of the default branch.
    on_default_branch = JOBS[f"plan {environment}"]["artifacts"]["reports"]
    assert on_default_branch == {"codequality": f"plans/{environment}/code-quality.json"}


@pytest.mark.parametrize("token", ["", "glpat-1"])
def test_a_merge_request_gets_a_comment_if_there_is_a_token(tmp_path: Path, token: str) -> None:
    """The comment is of the environment; without a token the job prints nothing and goes on."""
    (name, *_) = find_jobs("review")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euc", "\n".join(JOBS[name]["after_script"])],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "ENV": "prod", "GITLAB_TOKEN": token},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = "-m plan_review comment plans/prod/report.md --name prod\n" if token else ""
    assert done.stdout == expected


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
    assert JOBS[name]["script"].endswith("deployment apply --require-approval")


@pytest.mark.parametrize("name", find_jobs("approve"))
def test_an_approval_is_of_the_plan_of_the_pipeline(name: str) -> None:
    """The job has an environment of its own, so that GitLab can let others run it than those who apply.

    The pipeline does not wait for it: most plans need no approval.
    """
    environment = JOBS[name]["variables"]["ENV"]
    assert JOBS[name]["needs"] == [f"plan {environment}"]
    assert JOBS[name]["environment"] == {"name": "approve/$ENV"}
    assert JOBS[name]["rules"][0]["allow_failure"] is True


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


@pytest.mark.parametrize("name", [*PLANNING, *APPROVING, *APPLYING])
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
