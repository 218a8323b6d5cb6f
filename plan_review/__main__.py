"""`python -m plan_review PLAN.json`: review the plan of any Terraform project."""

import argparse
import json
import sys
from pathlib import Path
from typing import NoReturn

from plan_review import markdown
from plan_review.plan import PlanError, read_plan
from plan_review.review import ERROR, PlannedStack, Review

_EPILOG = """exit status:
  0  nothing to do
  2  changes
  3  changes that need an explicit approval
  1  error

example:
  terraform plan -out=tfplan && terraform show -json tfplan | python -m plan_review -
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose own errors can't be taken for a plan with changes."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and end with 1."""
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"{self.prog}: {message}\n")


def main() -> None:
    """Write the report to standard output; the exit status says what it comes to."""
    parser = _Parser(
        prog="python -m plan_review",
        description="Review Terraform plans: a Markdown report, most dangerous first.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "plans",
        nargs="+",
        metavar="PLAN.json",
        help="what `terraform show -json <plan file>` prints; - is standard input",
    )
    parser.add_argument(
        "--gitlab-report", metavar="FILE", type=Path, help="also write GitLab's Terraform report to this file"
    )
    arguments = parser.parse_args()
    try:
        review = Review("Terraform plan", [_read(name) for name in arguments.plans])
        text = markdown.write(review)
        if arguments.gitlab_report:
            arguments.gitlab_report.write_text(json.dumps(review.gitlab_report) + "\n", encoding="utf-8")
        # Whatever the locale is: the report has signs of its own.
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
    except PlanError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or 'standard output'}: {error.strerror}")
    sys.exit(review.exit_status)


def _read(name: str) -> PlannedStack:
    try:
        if name == "-":
            return PlannedStack("standard input", read_plan(sys.stdin.buffer.read()))
        return PlannedStack(Path(name).stem, read_plan(Path(name).read_bytes()))
    except PlanError as error:
        message = f"{name}: {error}"
        raise PlanError(message) from None


if __name__ == "__main__":
    main()
