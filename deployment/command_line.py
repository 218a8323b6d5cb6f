"""The parts that commands share: the option that names the environment, and the end of a command.

plan_review and prices end their commands by themselves: other projects copy these two folders alone.
"""

import argparse
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from stacks.errors import UserError

STANDARD_ERROR = 2  # the highest number of a standard stream
BROKEN_PIPE = 141  # the exit status of a program that SIGPIPE ends


def add_environment(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the environment."""
    parser.add_argument(
        "--environment",
        metavar="NAME",
        default=os.environ.get("ENV"),
        help="file name under environments/; without this option, the environment variable ENV names it; "
        "without both, it is local",
    )


def run_command(command: Callable[[], int], *, interrupted: str = "interrupted") -> NoReturn:
    """Run a command, and end this program with its exit status; print no traceback for an expected error.

    A crash of this program, or of one that it starts, leaves no core file.

    The command imports the modules that take long: a Ctrl-C during their import ends in the message, too.

    Args:
        command: Returns the exit status.
        interrupted: The message after a Ctrl-C.

    """
    # A core file is a copy of a program's memory, and Terraform's has the runners' tokens. Terraform and its
    # providers inherit the limit.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _open_closed_streams()
    if not Path(os.environ.get("TMPDIR", "/")).is_dir():
        del os.environ["TMPDIR"]  # Python would use another folder, but Node.js and the providers would fail
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            # As a Ctrl-C: temporary files are removed, and Terraform ends in good order.
            signal.signal(number, signal.default_int_handler)
    status: int | str
    try:
        status = command()
        sys.stdout.flush()
    except UserError as error:
        status = str(error)
    except BrokenPipeError:
        status = BROKEN_PIPE
    except OSError as error:
        status = _describe(error)
    except KeyboardInterrupt:
        status = interrupted
    # From here a Ctrl-C may end this program at once: Python would print a traceback of its own end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        sys.stdout.flush()
    except OSError:
        # Python would try to write the rest of its buffer once more, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _open_closed_streams() -> None:
    """Open the standard streams that the caller has closed, as in `make show >&-`.

    Otherwise the next files that this program opens would take their numbers, and programs that it starts
    would write into these files.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        os.set_inheritable(number, True)  # noqa: FBT003 - Python's own signature
    os.close(number)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(STANDARD_ERROR, "w", encoding="utf-8")


def _describe(error: OSError) -> str:
    """Return one line on a file that is missing, a full disk or a folder that can't be written to."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename}: not found"
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
