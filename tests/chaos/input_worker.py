"""A process of its own that runs the project's programs on inputs, with a limit of time and of memory.

It reads a run as a line of JSON from standard input, and answers with a line of JSON. Every program is the
`main` that `python -m` runs; readers without a program of their own are called.
Not here: the inputs (input_cases.py), and what is right (test_bad_input.py).
"""

import importlib
import io
import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 10  # of processor time, since other tests run beside this one
MEMORY = 1024**3
_SHOWN = 3000  # characters of what a program prints


class TooSlow(BaseException):
    """A run has used all its processor time. No `except Exception` may end it."""


def _end_run(_number: int, _frame: FrameType | None) -> None:
    raise TooSlow


def main() -> None:
    """Serve runs until standard input ends."""
    project = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a program's own children write elsewhere
    signal.signal(signal.SIGPROF, _end_run)
    load = importlib.import_module("stacks.settings.load")
    load.PROJECT = project  # type: ignore[attr-defined] # all other modules take it from there
    if "synthesize" in sys.argv[2:]:
        _warm_up()
    else:
        importlib.import_module("main").main = read_settings  # type: ignore[attr-defined]
    importlib.import_module("numpy")  # its threads need no memory later
    limit = _read_status("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for line in sys.stdin:
        answers.write(json.dumps(_run(json.loads(line))) + "\n")
        answers.flush()


def _warm_up() -> None:
    """Start Node.js, which needs more address space than the limit leaves."""
    os.environ["ENV"] = "example"
    sys.argv = ["main.py"]
    importlib.import_module("main").main()


def read_settings() -> None:
    """Read what `main.py` reads, and build nothing."""
    load = importlib.import_module("stacks.settings.load")
    backend = importlib.import_module("stacks.backend")
    errors = importlib.import_module("stacks.errors")
    try:
        load.load_environment(os.environ.get("ENV"))
        backend.read_backend(load.PROJECT / "backend.tf.json")
    except errors.UserError as error:
        sys.exit(str(error))


def read_approvals(folder: str) -> None:
    """Read a record of approvals whose objects are the files of a folder."""
    approvals = importlib.import_module("deployment.approvals")
    load = importlib.import_module("stacks.settings.load")
    backend = importlib.import_module("stacks.backend")
    approvals.create_client = lambda *_, **__: _Objects(Path(folder))  # type: ignore[attr-defined]
    record = approvals.Approvals(
        load.load_environment("example"), backend.read_backend(load.PROJECT / "backend.tf.json")
    )
    for line in approvals.describe(record.read()):
        print(line)


class _Objects:
    """The calls of an S3 client that `Approvals.read` makes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_paginator(self, _name: str) -> "_Objects":
        return self

    def paginate(self, **_: str) -> list[Any]:
        return [{"Contents": [{"Key": f"example/approvals/{path.name}"} for path in self._folder.iterdir()]}]

    def get_object(self, **arguments: str) -> Any:
        return {"Body": (self._folder / Path(arguments["Key"]).name).open("rb")}


def read_plans_record(folder: str) -> None:
    """Read what the last plan has left."""
    importlib.import_module("deployment.apply").read_record(Path(folder))


def read_project_acceptances() -> None:
    """Read plan_review.yaml of the project."""
    today = importlib.import_module("datetime").date(2026, 11, 26)
    importlib.import_module("deployment.plan").read_project_accepted(today)


def read_scan_acceptances(file: str) -> None:
    """Read the findings of scans that the project accepts."""
    importlib.import_module("tools.scan_accepted").read_accepted(Path(file))


def read_prices(file: str) -> None:
    """Read a table of prices."""
    importlib.import_module("prices.table").read_table(Path(file))


def _run(run: dict[str, Any]) -> dict[str, Any]:
    """Run a program to its end, and return what it did."""
    module, _, name = run["program"].partition(":")
    program: Callable[..., None] = getattr(importlib.import_module(module), name)
    is_called = module == "tests.chaos.input_worker"
    environment, arguments = dict(os.environ), run["arguments"]
    os.environ.update(run["environment"])
    output, errors = (
        io.TextIOWrapper(io.BytesIO(), "utf-8", errors=mode) for mode in ("strict", "backslashreplace")
    )
    standard = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO()), output, errors
    sys.argv = [module.removesuffix(".__main__"), *arguments]
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
    before, start, clock = _read_status("VmRSS"), time.process_time(), time.monotonic()
    status: object = 0
    failure = ""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        try:
            program(*(arguments if is_called else ()))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        output.flush()
    except SystemExit as end:
        status = end.code
        signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            output.flush()
        except UnicodeError:
            failure = traceback.format_exc(limit=-6)
    except _expected_errors() as error:
        status = str(error) if is_called else None
        failure = "" if is_called else traceback.format_exc(limit=-6)
    except BaseException:  # noqa: BLE001 - a finding, whatever it is
        failure = traceback.format_exc(limit=-6)
    finally:
        sys.stdin, sys.stdout, sys.stderr = standard
        os.environ.clear()
        os.environ.update(environment)
    if isinstance(status, str):
        errors.write(status)
        status = 1
    errors.flush()
    said = errors.buffer.getvalue().decode("utf-8", "replace")
    return {
        "status": status or 0,
        "failure": failure,
        "said": said[:_SHOWN],
        "length": len(said),
        "lines": len(said.splitlines()),
        "longest": max(map(len, said.splitlines()), default=0),
        "unprintable": next((c for c in said if not c.isprintable() and c != "\n"), ""),
        "cpu_seconds": time.process_time() - start,
        "seconds": time.monotonic() - clock,
        "mib": (_read_status("VmHWM") - before) / 1024**2,
    }


def _expected_errors() -> tuple[type[BaseException], ...]:
    """Return the errors that a program turns into a message."""
    names = (
        ("stacks.errors", "UserError"),
        ("plan_review.plan", "PlanError"),
        ("prices.table", "PriceError"),
    )
    return tuple(getattr(importlib.import_module(module), name) for module, name in names)


def _read_status(name: str) -> int:
    """Return a size of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise LookupError(name)


if __name__ == "__main__":
    main()
