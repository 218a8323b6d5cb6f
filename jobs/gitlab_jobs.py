"""Jobs as GitLab's API lists them (GitLab, "Jobs API", "List project jobs"), turned into a log for a replay.

A job's start is the moment when it could have run: `started_at` less `queued_duration`. `duration` is the
time on the runner. The API does not tell what a job asked for: it comes from a CI file, by the job's name.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from jobs.ci_file import Job
from jobs.ci_yaml import plain
from jobs.explain import takes
from jobs.job_log import MAX_SECONDS, Row
from jobs.pod import variable_name
from jobs.quantities import parse_quantity
from stacks.errors import UserError
from stacks.resources import RESOURCES
from stacks.settings import Settings
from stacks.settings.messages import shorten

MAX_BYTES = 50_000_000
LAST_TIME = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
# GitLab, "CI/CD YAML syntax reference", parallel: the end of the names of equal copies. The jobs of a matrix
# have names of their own, such as `build: [a, 1]`; `find_requests` has them, too.
_COPY = re.compile(r" \d+/\d+$")
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Conversion:
    """The rows of a log, and how many jobs were left out, by reason."""

    rows: tuple[Row, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class FleetChoice:
    """How a job's fleet is found: one for all, by the runner's ID, or else by the job's tags."""

    settings: Settings
    fleet: str | None = None
    by_runner: Mapping[int, str] | None = None

    def find(self, job: Mapping[str, Any]) -> tuple[str | None, str]:
        """Return the fleet, or None and the reason why there is none."""
        if self.fleet:
            return self.fleet, ""
        runner = job.get("runner")
        if self.by_runner:
            number = runner.get("id") if isinstance(runner, dict) else None
            fleet = self.by_runner.get(number) if isinstance(number, int) else None
            return fleet, f"of the runner {number}, which --runner does not name"
        tags = job.get("tag_list")
        tags = [str(tag) for tag in tags] if isinstance(tags, list) else []
        fleets = [name for name, runner in self.settings.runners.items() if takes(runner.tags, tags)]
        shown = shorten(", ".join(tags)) or "none"
        if len(fleets) > 1:
            return (
                None,
                f"with the tags {shown}, which {' and '.join(fleets)} have: name the runners with --runner",
            )
        return (fleets[0] if fleets else None), f"with the tags {shown}, which no fleet's `tags` have"


def convert(
    paths: Sequence[Path], choice: FleetChoice, requests: Mapping[str, tuple[str, str]] | None = None
) -> Conversion:
    """Return the log of the jobs in these files, pages of the API's answer; a job in two pages counts once.

    Raises:
        UserError: If a file is not such an answer.

    """
    rows: list[Row] = []
    left_out: Counter[str] = Counter()
    seen: set[int] = set()
    for path in paths:
        for job in _read_jobs(path):
            if job["id"] in seen:
                continue
            seen.add(job["id"])
            if not job.get("started_at"):
                left_out[f"that no runner has started ({shorten(str(job.get('status')))})"] += 1
                continue
            if job.get("duration") is None or not job.get("finished_at"):
                left_out["that have not ended"] += 1
                continue
            fleet, reason = choice.find(job)
            if fleet is None:
                left_out[reason] += 1
                continue
            name = str(job.get("name"))
            own = (requests or {}).get(name) or (requests or {}).get(_COPY.sub("", name))
            cpu, memory = own or ("", "")
            rows.append(_make_row(job, fleet, cpu, memory, path))
    return Conversion(tuple(sorted(rows, key=lambda row: row.start)), dict(left_out))


def _make_row(job: Mapping[str, Any], fleet: str, cpu: str, memory: str, path: Path) -> Row:
    try:
        started = datetime.fromisoformat(job["started_at"]).timestamp()
    except (TypeError, ValueError, OverflowError):
        started = -1
    if not MAX_SECONDS <= started <= LAST_TIME:
        raise _refuse(path, job, "started_at", "a time of 1971 to 9998 such as 2026-11-25T09:30:00.000Z")
    for key in ("duration", "queued_duration"):
        value = job.get(key)
        is_number = isinstance(value, int | float) and 0 <= value <= MAX_SECONDS
        if not is_number and (key == "duration" or value is not None):
            raise _refuse(path, job, key, f"a number of seconds from 0 to {MAX_SECONDS}")
    return Row(started - (job.get("queued_duration") or 0), job["duration"], cpu, memory, fleet)


def _refuse(path: Path, job: Mapping[str, Any], key: str, accepted: str) -> UserError:
    return UserError(f"{path}: job {job['id']}: {key}: {str(job.get(key))[:60]!r}: must be {accepted}")


def _read_jobs(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the jobs of a file: one or several JSON lists, or an object on each line."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(
                f"{path}: has {size // 1_000_000} MB. Accepted: files of up to {MAX_BYTES // 1_000_000} MB; "
                "save each page to a file of its own, and name them all"
            )
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: can't be read as JSON: it is not UTF-8") from None
    decoder, place = json.JSONDecoder(), 0
    accepted = "Accepted: the answer of GitLab's API to GET /projects/:id/jobs"
    if not text.strip():
        raise UserError(f"{path}: is empty. {accepted}")
    while (place := _SPACE.match(text, place).end()) < len(text):  # type: ignore[union-attr] # it always matches
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            other = (
                "nested too deep" if isinstance(error, RecursionError) else "a number with too many digits"
            )
            reason = error.msg if isinstance(error, json.JSONDecodeError) else other
            line = text.count("\n", 0, error.pos) + 1 if isinstance(error, json.JSONDecodeError) else 1
            raise UserError(f"{path}:{line}: not valid JSON: {reason}. {accepted}") from None
        if isinstance(value, dict) and "id" not in value and "message" in value:
            raise UserError(
                f"{path}: is an error of GitLab: {plain(str(value['message'])[:100])}. {accepted}"
            )
        for job in value if isinstance(value, list) else [value]:
            if not isinstance(job, dict) or not isinstance(job.get("id"), int):
                raise UserError(f"{path}: {plain(str(job)[:60])}: is not a job with an id. {accepted}")
            yield job


def find_requests(jobs: Sequence[Job]) -> dict[str, tuple[str, str]]:
    """Return CPU and memory that each job of a CI file asks for; of several cases the largest.

    A value that is not known, or no quantity, is left out: the fleet's own request counts.
    """
    found: dict[str, tuple[str, str]] = {}
    for job in jobs:
        texts = [job.variables.get(variable_name("build", resource, "request")) for resource in RESOURCES[:2]]
        cpu, memory = ((text and text.text) or "" for text in texts)
        before = found.get(job.name, ("", ""))
        found[job.name] = (_larger(before[0], cpu), _larger(before[1], memory))
    return found


def _larger(one: str, other: str) -> str:
    amounts = {text: amount for text in (one, other) if (amount := parse_quantity(text)) is not None}
    return max(amounts, key=lambda text: amounts.get(text, Decimal(0)), default="")
