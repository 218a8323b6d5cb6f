"""Exit statuses of the commands that review plans, and a parser that keeps to them."""

import argparse
import sys
from enum import IntEnum
from typing import NoReturn


class ExitStatus(IntEnum):
    """The result of a review. A pipeline decides by it."""

    NO_CHANGES = 0
    ERROR = 1
    CHANGES = 2
    APPROVAL = 3


EXIT_STATUS_HELP = """\
  0  nothing to do
  2  changes
  3  changes that need an explicit approval
  1  error
"""


class Parser(argparse.ArgumentParser):
    """A parser that ends with 1 on a wrong command line; argparse's own 2 would mean changes."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and end with 1."""
        self.print_usage(sys.stderr)
        self.exit(ExitStatus.ERROR, f"{self.prog}: {message}\n")
