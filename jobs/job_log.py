"""A log of jobs as CSV: when each was queued, how long it ran, what it asked for, and its fleet.

The columns are start, seconds, CPU, memory and fleet, in any order; others are ignored. An empty CPU or
memory is the fleet's own request. `python -m jobs convert` and `python -m jobs generate` write such files.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import TextIO

import numpy as np

from jobs.quantities import parse_quantity
from jobs.simulation import Integers
from stacks.errors import UserError
from stacks.resources import MIB

COLUMNS = ("start", "seconds", "CPU", "memory", "fleet")
MAX_BYTES = 50_000_000  # about a million jobs
MAX_MISTAKES = 10
MAX_SECONDS = (
    31 * 24 * 3600
)  # GitLab, "Configure how jobs run", "Set a limit for how long jobs can run": 1 month
OWN_REQUEST = -1

_OWN = "or empty for the fleet's own request"
_ACCEPTED = {
    "start": "an ISO 8601 time such as 2026-11-25T09:30:00Z, or seconds since 1970",
    "seconds": f"a number from 0 to {MAX_SECONDS}",
    "CPU": f"a Kubernetes quantity of at most 1000000 such as 500m or 2, {_OWN}",
    "memory": f"a Kubernetes quantity of 1Mi or more such as 512Mi or 4Gi, {_OWN}",
}


class JobLogError(UserError):
    """A log of jobs can't be used."""


@dataclass(frozen=True)
class JobLog:
    """Jobs in the order of their starts.

    `starts` and `seconds` are milliseconds; `cpu` (millicpu) and `memory` (bytes) may be `OWN_REQUEST`;
    `fleets` are positions in `names`, and `places` has the first file and line of each name.
    """

    starts: Integers
    durations: Integers
    cpu: Integers
    memory: Integers
    fleets: Integers
    names: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One job to write; the start is in seconds since 1970, and an empty text is the fleet's own request."""

    start: float
    seconds: float
    cpu: str
    memory: str
    fleet: str


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """A value that is not accepted, with its column."""


def write_log(rows: Iterable[Row], file: TextIO) -> None:
    """Write jobs as CSV."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        start = datetime.fromtimestamp(row.start, UTC).isoformat(timespec="milliseconds")
        writer.writerow([start.replace("+00:00", "Z"), f"{row.seconds:g}", row.cpu, row.memory, row.fleet])


def read_log(path: Path) -> JobLog:
    """Read a log of jobs.

    Raises:
        JobLogError: If the file can't be read, or with one line for each of the first mistakes.

    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise JobLogError(
                f"{path}: has {size // 1_000_000} MB. Accepted: up to {MAX_BYTES // 1_000_000} MB, about a "
                "million jobs: replay fewer days"
            )
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _Reader(path).read(file)
    except OSError as error:
        raise JobLogError(f"{path}: can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise JobLogError(f"{path}: can't be read as CSV: {reason}") from None


class _Reader:
    """Reads the rows of one file; texts that come again are parsed once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cpu: dict[str, int] = {"": OWN_REQUEST}
        self._memory: dict[str, int] = {"": OWN_REQUEST}
        self._names: dict[str, int] = {}
        self._places: list[str] = []

    def read(self, file: TextIO) -> JobLog:
        rows = csv.reader(file, strict=True)
        columns = self._find_columns(next(rows, None))
        found: list[tuple[int, int, int, int, int]] = []
        mistakes = []
        for row in rows:
            if not row:
                continue
            try:
                found.append(self._parse(row, columns, rows.line_num))
            except _Refused as refused:
                mistakes.append(f"{self._path}:{rows.line_num}: {refused}")
                if len(mistakes) == MAX_MISTAKES:
                    break
        if mistakes:
            raise JobLogError("\n".join(mistakes))
        if not found:
            raise JobLogError(
                f"{self._path}: has no jobs. Accepted: a row for each job below {','.join(COLUMNS)}"
            )
        table = np.array(found, np.int64)
        table = table[table[:, 0].argsort(kind="stable")]
        starts, durations, cpu, memory, fleets = table.T.copy()
        return JobLog(starts, durations, cpu, memory, fleets, tuple(self._names), tuple(self._places))

    def _find_columns(self, header: list[str] | None) -> list[int]:
        if header is None:
            raise JobLogError(f"{self._path}: is empty. Accepted: CSV with the columns {','.join(COLUMNS)}")
        names = [name.strip().casefold() for name in header]
        missing = [column for column in COLUMNS if column.casefold() not in names]
        if missing:
            shown = ",".join(header)[:100]
            raise JobLogError(
                f"{self._path}:1: {shown!r}: has no column {' and no column '.join(missing)}. "
                f"Accepted: a first line with {','.join(COLUMNS)}"
            )
        return [names.index(column.casefold()) for column in COLUMNS]

    def _parse(self, row: list[str], columns: list[int], line: int) -> tuple[int, int, int, int, int]:
        try:
            start, seconds, cpu, memory, fleet = (row[column].strip() for column in columns)
        except IndexError:
            raise _Refused(
                f"has {len(row)} values. Accepted: a value for each column of the first line"
            ) from None
        if fleet not in self._names:
            if not fleet:
                raise _Refused("fleet: '': must be the name of a fleet")
            self._names[fleet] = len(self._names)
            self._places.append(f"{self._path}:{line}")
        if cpu not in self._cpu:
            self._cpu[cpu] = _parse_amount("CPU", cpu, Decimal("0.001"), least=0)
        if memory not in self._memory:
            self._memory[memory] = _parse_amount("memory", memory, Decimal(1), least=int(MIB))
        return (
            _parse_time(start),
            _parse_seconds(seconds),
            self._cpu[cpu],
            self._memory[memory],
            self._names[fleet],
        )


def _refuse(column: str, value: str) -> _Refused:
    return _Refused(f"{column}: {value[:60]!r}: must be {_ACCEPTED[column]}")


def _parse_time(text: str) -> int:
    try:
        if text[4:5] == "-":
            time = datetime.fromisoformat(text)
            return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
        seconds = float(text)
        datetime.fromtimestamp(seconds, UTC)
        return round(seconds * 1000)
    except (ValueError, OverflowError, OSError):
        raise _refuse("start", text) from None


def _parse_seconds(text: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        raise _refuse("seconds", text) from None
    if not 0 <= seconds <= MAX_SECONDS:  # also NaN
        raise _refuse("seconds", text)
    return round(seconds * 1000)


def _parse_amount(column: str, text: str, unit: Decimal, *, least: int) -> int:
    amount = parse_quantity(text)
    # Kubernetes rounds up to 1m and to one byte.
    if amount is None or not least <= amount <= 10**15 or (column == "CPU" and amount > 10**6):
        raise _refuse(column, text)
    return ceil(amount / unit)
