"""Run the reviewers on the plans of the corpus.

Each one is asked as its documentation says that a pipeline does, and stops a plan by its own words: ours
with exit status 3, pyrrho with 1 (a finding of level high or critical, the default of --fail-on), readtheplan
with 2 (tier dangerous or irreversible). Below that they mention a change: ours with a finding that needs no
approval, pyrrho with any finding, readtheplan with tier review.
Checkov judges states. So a check counts if it fails on the planned state and did not fail on the state
before, as with its --baseline. All plans are in one run of it, since it takes seconds to start.
No reviewer gets to the network.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stacks.settings.load import PROJECT
from tools.compare_reviewers.plans import Case

ENVIRONMENT = PROJECT / ".work" / "reviewers"
_NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing answers
_OFFLINE = os.environ | {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), _NOWHERE),
    "NO_PROXY": "",
    "no_proxy": "",
    "BC_SKIP_MAPPING": "TRUE",
    "LOG_LEVEL": "ERROR",
}


class Told(StrEnum):
    """How much a reviewer says of a plan."""

    STOPPED = "stopped"
    MENTIONED = "mentioned"
    SILENT = "silent"


@dataclass(frozen=True)
class Run:
    """The answers of one reviewer, in the order of the cases, and the seconds that they took."""

    name: str
    answers: Sequence[Told]
    seconds: float


def run_all(cases: Sequence[Case], folder: Path) -> list[Run]:
    """Let each reviewer read each case.

    Args:
        cases: The cases.
        folder: An empty folder for the plans.

    """
    files = []
    for part in ("before", "plan"):
        (folder / part).mkdir()
    for number, case in enumerate(cases):
        name = f"{number:03}.json"
        (folder / "before" / name).write_text(json.dumps(case.before), encoding="utf-8")
        (folder / "plan" / name).write_text(json.dumps(case.plan), encoding="utf-8")
        files.append(folder / "plan" / name)
    runs = []
    for name, ask in (("plan_review", _ask_ours), ("pyrrho", _ask_pyrrho), ("readtheplan", _ask_readtheplan)):
        started = time.monotonic()
        answers = [ask(file) for file in files]
        runs.append(Run(name, answers, time.monotonic() - started))
    return [*runs, _run_checkov(cases, folder)]


def _execute(command: Sequence[str | Path], accepted: Sequence[int]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(  # noqa: S603 # the commands below
        command, env=_OFFLINE, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=900
    )
    if done.returncode not in accepted:
        sys.exit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stderr}")
    return done


def _ask_ours(file: Path) -> Told:
    done = _execute([sys.executable, "-m", "plan_review", file], (0, 2, 3))
    if done.returncode == 3:  # noqa: PLR2004 # an approval is needed
        return Told.STOPPED
    return Told.MENTIONED if " to look at." in done.stdout else Told.SILENT


def _ask_pyrrho(file: Path) -> Told:
    done = _execute([ENVIRONMENT / "bin" / "pyrrho", "--format", "json", file], (0, 1))
    if done.returncode == 1:
        return Told.STOPPED
    return Told.MENTIONED if json.loads(done.stdout)["findings"] else Told.SILENT


def _ask_readtheplan(file: Path) -> Told:
    command: list[str | Path] = [
        ENVIRONMENT / "bin" / "readtheplan",
        "analyze",
        "--format",
        "json",
        "--fail-on",
        "dangerous",
        file,
    ]
    done = _execute(command, (0, 2))
    if done.returncode:
        return Told.STOPPED
    tiers = json.loads(done.stdout)["risks"]
    return Told.MENTIONED if tiers.get("review") else Told.SILENT


def _run_checkov(cases: Sequence[Case], folder: Path) -> Run:
    started = time.monotonic()
    before, after = (_read_failed_checks(folder / part) for part in ("before", "plan"))
    names = [f"{number:03}.json" for number in range(len(cases))]
    answers = [
        Told.STOPPED if after.get(name, set()) - before.get(name, set()) else Told.SILENT for name in names
    ]
    return Run("checkov", answers, (time.monotonic() - started) / 2)


def _read_failed_checks(folder: Path) -> dict[str, set[tuple[str, str]]]:
    """Return the checks that fail in each plan of a folder, each with its resource."""
    command: list[str | Path] = [
        ENVIRONMENT / "bin" / "checkov",
        "-d",
        folder,
        "--framework",
        "terraform_plan",
        "-o",
        "json",
    ]
    done = _execute([*command, "--compact", "--quiet", "--skip-download", "--skip-results-upload"], (0, 1))
    found: dict[str, set[tuple[str, str]]] = {}
    for check in json.loads(done.stdout)["results"]["failed_checks"]:
        name = Path(check["file_path"]).name
        found.setdefault(name, set()).add((check["check_id"], check["resource"]))
    return found
