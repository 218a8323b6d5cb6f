"""The answers as GitLab's Code Quality report: the author sees each of them on its line of the merge request.

GitLab, "Code Quality", "Code Quality report format". No cdktf import.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jobs.ci_yaml import CiFileError, Place, plain
from jobs.explain import Answer, Verdict


def list_findings(
    answers: Sequence[Answer], unread: Sequence[tuple[Place, str]], *, file: Path, root: Path
) -> list[dict[str, Any]]:
    """Return a finding for each problem of a job, for each unknown answer, and for each unread include.

    Args:
        answers: The answers.
        unread: The line and the text of each include that was not read.
        file: The CI file, as the command line names it.
        root: The project's folder, from which the report's paths begin.

    """
    found = [_finding(place, "info", text, file, root) for place, text in unread]
    for answer in answers:
        job = answer.job.name + (f" on {answer.fleet}" if answer.fleet else "")
        for place, severity, text, change in _describe(answer):
            finding = _finding(place, severity, f"{job} {answer.verdict}: {text}", file, root)
            finding["description"] += plain(change)
            found.append(finding)
    # Several cases of a job may have one reason.
    return list({finding["fingerprint"]: finding for finding in found}.values())


def list_mistakes(error: CiFileError, *, file: Path, root: Path) -> list[dict[str, Any]]:
    """Return a finding for each reason why GitLab refuses the file."""
    return [_finding(place, "blocker", text, file, root) for place, text in error.problems]


def _describe(answer: Answer) -> Iterator[tuple[Place, str, str, str]]:
    """Yield the place, the severity, the reason, and what to change."""
    if answer.verdict is Verdict.CANNOT:
        for problem in answer.problems:
            text = f"{problem.who}: {problem.text}"
            yield problem.place or answer.job.place, "major", text, f" → {problem.change}"
    elif answer.verdict is Verdict.UNKNOWN:
        for reason in answer.unknown:
            yield answer.job.place, "info", reason, ""


def _finding(place: Place | str, severity: str, text: str, file: Path, root: Path) -> dict[str, Any]:
    named = place.file if isinstance(place, Place) else place
    resolved, base = file.resolve(), root.resolve()
    # Names of included files begin at the project's folder already.
    if named == str(file) and resolved.is_relative_to(base):
        named = resolved.relative_to(base).as_posix()
    description = plain(text)
    # Without line numbers, so that GitLab knows the finding again when lines above it change.
    lasting = re.sub(r":\d+: ", ": ", description)
    digest = hashlib.sha256(f"{named}\0{lasting}".encode()).hexdigest()
    return {
        "description": description,
        "check_name": "can-run",
        "fingerprint": digest,
        "severity": severity,
        "location": {"path": named, "lines": {"begin": place.line if isinstance(place, Place) else 1}},
    }
