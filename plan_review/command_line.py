"""What the command lines that review plans share: a pipeline gates on their exit status."""

import argparse
import sys
from typing import NoReturn

from plan_review.review import ERROR

EXIT_STATUSES = """\
  0  nothing to do
  2  changes
  3  changes that need an explicit approval
  1  error
"""


class Parser(argparse.ArgumentParser):
    """A parser whose own errors can't be taken for a plan with changes."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and end with 1."""
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"{self.prog}: {message}\n")
