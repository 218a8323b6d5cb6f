"""The CI/CD component templates/can-run.yml, and the Code Quality report that it leaves."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from jobs.__main__ import main
from stacks.settings.load import PROJECT

HEADER, PIPELINE = YAML(typ="safe").load_all((PROJECT / "templates" / "can-run.yml").read_text())
INPUTS: dict[str, dict[str, str]] = HEADER["spec"]["inputs"]
GIVEN = {"project": "platform/cicd", "environment": "example"}

CI_FILE = """\
include: /ci/builds.yml
.tagged: {tags: [eks]}
fits: {extends: .tagged, script: x}
"""
BUILDS = """\
big:
  extends: .tagged
  script: x
  variables:
    KUBERNETES_CPU_REQUEST: "20"
small: {extends: .tagged, script: x, variables: {KUBERNETES_CPU_REQUEST: $SIZE}}
"""


def interpolate(value: Any, inputs: dict[str, str]) -> Any:
    """Return a value as GitLab reads it, with the inputs in place."""
    if isinstance(value, dict):
        return {interpolate(key, inputs): interpolate(part, inputs) for key, part in value.items()}
    if isinstance(value, list):
        return [interpolate(part, inputs) for part in value]
    if isinstance(value, str):
        return re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda found: inputs[found[1]], value)
    return value


def include(**inputs: str) -> Any:
    """Return the component as a project that includes it has it."""
    defaults = {name: entry["default"] for name, entry in INPUTS.items() if "default" in entry}
    return interpolate(PIPELINE, defaults | GIVEN | inputs)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of a project whose CI file includes another one."""
    folder = tmp_path / "shop"
    (folder / "ci").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".gitlab-ci.yml").write_text(CI_FILE)
    (folder / "ci" / "builds.yml").write_text(BUILDS)
    return folder


def test_gitlab_accepts_the_component(tmp_path: Path) -> None:
    """Header and jobs are valid by GitLab's published schema, and every input has a description."""
    for name, document in {"header": HEADER, "jobs": include()}.items():
        (tmp_path / f"{name}.yml").write_text(json.dumps(document))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci"]
    done = subprocess.run([*command, *tmp_path.glob("*.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(entry["description"].endswith(".") for entry in INPUTS.values())
    assert {name for name, entry in INPUTS.items() if "default" not in entry} == set(GIVEN)
    used = re.findall(r"\$\[\[ inputs\.(\w+) \]\]", json.dumps(PIPELINE))
    assert set(used) == set(INPUTS)


def _write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_component_runs_as_the_runner_runs_it(project: Path, tmp_path: Path) -> None:
    """One shell runs all lines; git, venv and pip are stand-ins, the check is the real one."""
    programs, record = tmp_path / "bin", tmp_path / "record"
    programs.mkdir()
    _write_program(programs / "pip", f'echo pip "$@" >> {record}')
    _write_program(
        programs / "git", f'echo git "$@" >> {record}; for last; do :; done; ln -s {PROJECT} "$last"'
    )
    _write_program(programs / "real-python", f'exec {sys.executable} "$@"')
    links = f'ln -s {programs}/real-python "$4/bin/python"; ln -s {programs}/pip "$4/bin"'
    _write_program(programs / "python", f'mkdir -p "$4/bin"; {links}')
    (project / "jobs").mkdir()  # the project's own code, which is not the check
    (project / "jobs" / "__main__.py").write_text("")
    (job,) = include(options="--variable SIZE=4").values()
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
        "CI_PROJECT_DIR": str(project),
        "CI_SERVER_URL": "https://gitlab.example.com",
        "CI_JOB_TOKEN": "glcbt-the-jobs-token",
        **{name: str(value) for name, value in job["variables"].items()},
    }
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(job["script"])],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "2 can run, 1 cannot run" in done.stdout
    git, pip = record.read_text().splitlines()
    assert " clone --quiet --depth 1 --branch main https://gitlab.example.com/platform/cicd.git " in git
    assert "glcbt" not in git
    assert pip.endswith("/constraints.txt pydantic rich ruamel.yaml")
    (finding,) = json.loads((project / job["artifacts"]["reports"]["codequality"]).read_text())
    assert finding["location"] == {"path": "ci/builds.yml", "lines": {"begin": 5}}


Report = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def report(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """Return the Code Quality report of a CI file, and check the exit status."""

    def run(text: str, status: int, *options: str) -> list[dict[str, Any]]:
        (project / ".gitlab-ci.yml").write_text(text)
        monkeypatch.chdir(project)
        path = tmp_path / "quality.json"
        command = [
            "jobs",
            "explain",
            ".gitlab-ci.yml",
            "--environment",
            "example",
            "--code-quality",
            str(path),
            *options,
        ]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == status or (status == 1 and isinstance(ended.value.code, str))
        found: list[dict[str, Any]] = json.loads(path.read_text())
        return found

    return run


def test_each_problem_is_on_its_line(report: Report) -> None:
    """The variable's line, the tags' line, or the job's; what is unknown is only an information."""
    text = """\
big:
  tags: [eks]
  script: x
  variables:
    KUBERNETES_MEMORY_REQUEST: 8GB
stranger:
  script: x
  tags: [gpu]
unknown:
  script: x
  tags: [$WHERE]
fits: {tags: [eks], script: x}
"""
    found = report(text, 2)
    places = [(item["severity"], item["location"]["lines"]["begin"]) for item in found]
    assert places == [("major", 5), ("major", 8), ("info", 9)]
    assert {item["location"]["path"] for item in found} == {".gitlab-ci.yml"}
    first = found[0]["description"]
    assert first.startswith('big on default cannot run: runner: KUBERNETES_MEMORY_REQUEST: "8GB" is not')
    assert first.endswith('→ .gitlab-ci.yml:5: KUBERNETES_MEMORY_REQUEST: "8G"')
    moved = report(f"# a line more\n{text}", 2)
    assert [item["fingerprint"] for item in moved] == [item["fingerprint"] for item in found]
    assert [item["location"]["lines"]["begin"] for item in moved] == [6, 9, 10]


def test_an_include_that_was_not_read_is_a_finding(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its jobs are unknown: status 2, unless the caller allows it. The component itself does not count."""
    job = "job: {tags: [eks], script: x}\n"
    text = f"{job}include:\n  - component: $CI_SERVER_FQDN/a/can-run@v1\n  - https://example.com/a.yml\n"
    (found,) = report(text, 2)
    assert (found["severity"], found["location"]["lines"]["begin"]) == ("info", 2)
    assert "include remote: https://example.com/a.yml: not read" in found["description"]
    assert "1 can run, 1 include not read" in capsys.readouterr().out
    assert report(text, 0, "--allow-unread-includes") == [found]
    assert report(f"{job}include: [{{component: $CI_SERVER_FQDN/a/can-run@v1}}]", 0) == []
    assert report(f"{job}include: [{{project: a/b, file: templates/can-run.yml}}]", 0) == []


def test_a_file_that_gitlab_refuses_is_a_finding(report: Report) -> None:
    """The exit status is 1, and the report has the line of the mistake."""
    (found,) = report("job:\n  script: x\n  scrpt: y\n", 1)
    assert (found["severity"], found["location"]["lines"]["begin"]) == ("blocker", 3)
    assert "job.scrpt: unknown key. Did you mean script?" in found["description"]


def test_a_file_whose_jobs_run_has_an_empty_report(report: Report) -> None:
    """GitLab compares it with the report of the target branch."""
    assert report("job: {tags: [eks], script: x}", 0) == []
