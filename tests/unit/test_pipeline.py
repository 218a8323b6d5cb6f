"""What .gitlab-ci.yml promises to those who review and apply plans."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stacks.settings.load import PROJECT
from tests.trust_policies import trust_policies

FILE = PROJECT / ".gitlab-ci.yml"
PIPELINE: dict[str, Any] = YAML(typ="safe").load(FILE.read_text(encoding="utf-8"))
KEYWORDS = {"workflow", "stages", "variables", "default"}
SHELL = {"docker", "echo", "export", "printf"}  # needs no file of the project
ROLES = {
    "AWS_PLAN_ROLE_ARN": "arn:aws:iam::123456789012:role/plan",
    "AWS_APPLY_ROLE_ARN": "arn:aws:iam::123456789012:role/apply",
}
DEFAULT_BRANCH = {
    "CI_COMMIT_BRANCH": "main",
    "CI_COMMIT_REF_PROTECTED": "true",
    "CI_PIPELINE_SOURCE": "push",
}
MERGE_REQUEST = {"CI_PIPELINE_SOURCE": "merge_request_event"}


def merged(base: Any, top: Any) -> Any:
    """Merge as GitLab's `extends` does: mappings key by key, anything else is replaced."""
    if not isinstance(base, dict) or not isinstance(top, dict):
        return top
    return base | {key: merged(base.get(key), value) for key, value in top.items()}


def job(name: str) -> dict[str, Any]:
    """Return a job with what it extends."""
    own = PIPELINE[name]
    base = job(own["extends"]) if "extends" in own else {}
    return {key: value for key, value in merged(base, own).items() if key != "extends"}


JOBS = {name: job(name) for name in PIPELINE if name not in KEYWORDS and not name.startswith(".")}
PLANNING = [name for name, found in JOBS.items() if "plans.py plan" in str(found["script"])]
APPLYING = [name for name, found in JOBS.items() if "plans.py apply" in str(found["script"])]


def kind(name: str) -> list[str]:
    """Return the names of the jobs of one kind, such as all `review …`."""
    found = [item for item in JOBS if item.startswith(f"{name} ")]
    assert found
    return found


def holds(condition: str, variables: Mapping[str, str]) -> bool:
    """Evaluate the part of GitLab's `rules:if` that the pipeline uses: `$A`, `==`, `!=` and `&&`."""

    def value(text: str) -> str:
        return text[1:-1] if text.startswith('"') else variables.get(text.removeprefix("$"), "")

    def term(text: str) -> bool:
        found = re.fullmatch(r'(\$\w+)(?: (==|!=) (\$\w+|"[^"]*"))?', text)
        assert found, f"beyond this test: {text}"
        left, operator, right = found.groups()
        return bool(value(left)) if operator is None else (value(left) == value(right)) is (operator == "==")

    return all(term(text) for text in condition.strip().split(" && "))


def first_rule(
    rules: list[dict[str, Any]], variables: Mapping[str, str], files: set[str]
) -> dict[str, Any] | None:
    """Return the first rule that matches, or None; `changes` is taken for true, as on a new branch."""
    for rule in rules:
        exists = {path.replace("$ENV", variables.get("ENV", "")) for path in rule.get("exists", [])}
        if holds(rule["if"], variables) and (not exists or exists & files):
            return rule
    return None


def jobs_of(variables: Mapping[str, str], files: set[str]) -> dict[str, str]:
    """Return the jobs of a pipeline, and when each runs."""
    variables = {"CI_DEFAULT_BRANCH": "main", **variables}
    if first_rule(PIPELINE["workflow"]["rules"], variables, files) is None:
        return {}
    rules = {
        name: first_rule(found["rules"], {**variables, **found.get("variables", {})}, files)
        for name, found in JOBS.items()
    }
    return {name: rule.get("when", "on_success") for name, rule in rules.items() if rule is not None}


CHECKED = {"lint": "on_success", "test": "on_success"}
PLANNED = {**CHECKED, "plan prod": "on_success", "apply prod": "manual"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param(MERGE_REQUEST, {**CHECKED, "review prod": "on_success"}, id="merge request"),
        pytest.param(DEFAULT_BRANCH, PLANNED, id="default branch"),
        pytest.param(
            {**DEFAULT_BRANCH, "CI_COMMIT_REF_PROTECTED": "false"},
            {**CHECKED, "plan prod": "on_success"},
            id="default branch, not protected",
        ),
        pytest.param({**DEFAULT_BRANCH, "CI_PIPELINE_SOURCE": "web"}, PLANNED, id="by hand"),
        pytest.param(
            {**DEFAULT_BRANCH, "CI_PIPELINE_SOURCE": "schedule"},
            {"drift prod": "on_success"},
            id="schedule",
        ),
        pytest.param({**DEFAULT_BRANCH, "CI_COMMIT_BRANCH": "topic"}, {}, id="another branch"),
        pytest.param({"CI_COMMIT_TAG": "v1", "CI_PIPELINE_SOURCE": "push"}, {}, id="tag"),
    ],
)
def test_each_pipeline_has_its_jobs(variables: dict[str, str], expected: dict[str, str]) -> None:
    """A merge request only plans, a person applies, on the protected default branch; schedules seek drift."""
    assert jobs_of({**ROLES, **variables}, {"environments/prod.yaml"}) == expected


@pytest.mark.parametrize("variables", [MERGE_REQUEST, DEFAULT_BRANCH], ids=["merge request", "branch"])
def test_without_a_role_it_lints_and_tests(variables: dict[str, str]) -> None:
    """A fresh copy of the project has a pipeline that needs no AWS."""
    assert jobs_of(variables, {"environments/prod.yaml"}) == CHECKED


@pytest.mark.parametrize("variables", [MERGE_REQUEST, DEFAULT_BRANCH], ids=["merge request", "branch"])
def test_without_its_file_an_environment_has_no_job(variables: dict[str, str]) -> None:
    """Roles alone plan nothing: there must be an environment of that name."""
    files = {f"environments/{path.name}" for path in (PROJECT / "environments").iterdir()}
    assert jobs_of({**ROLES, **variables}, files) == CHECKED


def test_the_image_is_built_on_the_default_branch_alone() -> None:
    """No merge request replaces the image that later applies; a person may have it built anew."""
    registry = {"CI_REGISTRY_IMAGE": "group/project"}
    built = {
        source: jobs_of({**DEFAULT_BRANCH, **registry, "CI_PIPELINE_SOURCE": source}, set()).get(
            "build image"
        )
        for source in ("push", "web", "schedule")
    }
    assert built == {"push": "on_success", "web": "manual", "schedule": None}
    assert "build image" not in jobs_of({**MERGE_REQUEST, **registry}, set())


def test_gitlab_accepts_the_file(tmp_path: Path) -> None:
    """It is valid by the schema that GitLab publishes, as written and with each job spelt out.

    The schema, in the copy that check-jsonschema brings, looks into no job whose name begins with a dot.
    """
    spelt_out = tmp_path / "spelt-out.yml"
    keywords = {name: PIPELINE[name] for name in KEYWORDS}
    spelt_out.write_text(json.dumps(keywords | JOBS), encoding="utf-8")
    schema = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(FILE), str(spelt_out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_key_is_stored() -> None:
    """Credentials come from tokens: no file of the pipeline knows a variable for an AWS key."""
    files = [FILE, *(PROJECT / ".gitlab").iterdir(), *(PROJECT / ".ci").iterdir()]
    for path in files:
        assert not re.search(r"ACCESS_KEY|SESSION_TOKEN|AWS_PROFILE", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("name", JOBS)
def test_every_command_is_there(name: str) -> None:
    """Each command of a job is a target of the Makefile, a file of the project, or the shell's."""
    scripts = [JOBS[name].get(part, []) for part in ("before_script", "script")]
    commands = [line for part in scripts for line in ([part] if isinstance(part, str) else part)]
    assert commands
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for line in commands:
        command, *arguments = line.split()
        if command == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE), line
        elif command == ".venv/bin/python":
            assert (PROJECT / arguments[0]).is_file(), line
        elif command not in SHELL:
            assert os.access(PROJECT / command, os.X_OK), line


def test_one_job_at_a_time_works_on_an_environment() -> None:
    """Whoever plans or applies waits for the others of the environment, and is never cancelled on the way."""
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
    """What any branch's job could have written is never run with a role."""
    assert "cache" not in PIPELINE["default"]
    assert all("cache" not in JOBS[name] for name in PLANNING + APPLYING)


@pytest.mark.parametrize("name", PLANNING)
def test_a_plan_is_kept_whatever_its_status(name: str) -> None:
    """Exit statuses 2 and 3 count as failures, and the report is needed just then; members alone see it."""
    artifacts = JOBS[name]["artifacts"]
    assert artifacts["when"] == "always"
    assert artifacts["access"] == "developer"


@pytest.mark.parametrize("name", kind("review"))
def test_a_merge_request_shows_report_and_widget(name: str) -> None:
    """The report is linked, which GitLab does for literal paths only, and no plan file is kept."""
    environment = JOBS[name]["variables"]["ENV"]
    artifacts = JOBS[name]["artifacts"]
    assert name == f"review {environment}"
    assert artifacts["paths"] == [f"plans/{environment}/report.md"]
    assert artifacts["expose_as"]
    assert artifacts["reports"] == {"terraform": f"plans/{environment}/gitlab.json"}


@pytest.mark.parametrize("name", kind("apply"))
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


@pytest.mark.parametrize("name", [*kind("review"), *kind("plan")])
def test_changes_are_a_warning(name: str) -> None:
    """A plan with changes does not stop the pipeline; an error does."""
    assert JOBS[name]["allow_failure"] == {"exit_codes": [2, 3]}


@pytest.mark.parametrize("name", kind("drift"))
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
    """Ordinary plans need no more than the start of the job, others the number of this pipeline."""
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
    """No approval, one for another pipeline, a failed plan and none at all: one message, nothing applied."""
    done = approved(tmp_path, plans, pipeline)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize("name", [*PLANNING, *APPLYING])
def test_what_fails_is_no_plan_with_changes(name: str) -> None:
    """GNU make ends with 2 whatever fails in it, and 2 is what a plan with changes ends with."""
    script = JOBS[name]["script"]
    lines = [*JOBS[name]["before_script"], *([script] if isinstance(script, str) else script)]
    assert not [line for line in lines if line.startswith("make ") and "|| exit 1" not in line]


def test_the_token_is_in_a_private_file(tmp_path: Path) -> None:
    """Nobody else on the runner reads it, and no artifact holds it: it is outside of the project's folder."""
    project, temporary = tmp_path / "project", tmp_path / "temporary"
    project.mkdir()
    temporary.mkdir()
    commands = [line for line in job(".aws")["before_script"] if not line.startswith("make setup")]
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


def test_documented_trust_is_of_the_tokens_that_jobs_show() -> None:
    """Both policies of docs/pipeline.md demand the audience of the jobs and one project; apply one branch."""
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
