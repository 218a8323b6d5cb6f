"""The parts that commands share: the option that names the environment, and the end of a command.

plan_review and prices end their commands by themselves: other projects copy these two folders alone.
"""

import argparse
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from stacks.errors import UserError

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
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            # As a Ctrl-C: temporary files are removed, and Terraform ends in good order.
            signal.signal(number, signal.default_int_handler)
    try:
        status = command()
        sys.stdout.flush()
    except UserError as error:
        sys.exit(str(error))
    except BrokenPipeError:
        # Python writes the rest of its buffer at the end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename}: not found")
    except KeyboardInterrupt:
        sys.exit(interrupted)
    sys.exit(status)
