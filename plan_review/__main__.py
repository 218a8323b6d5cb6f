"""`python -m plan_review PLAN.json`: review the plan of any Terraform project."""

import argparse
import datetime as dt
import gc
import json
import os
import sys
from pathlib import Path

from plan_review import markdown
from plan_review.accepted import Accepted, read_accepted
from plan_review.exit_status import EXIT_STATUS_HELP, Parser
from plan_review.plan import PlanError, read_plan
from plan_review.review import PlannedStack, Review

_EPILOG = f"""exit status:
{EXIT_STATUS_HELP}
example:
  terraform plan -out=tfplan && terraform show -json tfplan | python -m plan_review -
"""


def main() -> None:
    """Write the report to standard output, and end with the exit status of the review."""
    parser = Parser(
        prog="python -m plan_review",
        description="Review Terraform plans: a Markdown report, most dangerous first.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "plans",
        nargs="+",
        metavar="PLAN.json",
        help="output of `terraform show -json <plan file>`; - is standard input",
    )
    parser.add_argument(
        "--gitlab-report", metavar="FILE", type=Path, help="also write GitLab's Terraform report to this file"
    )
    parser.add_argument(
        "--accepted", metavar="FILE", type=Path, help="YAML file with the findings that the project accepts"
    )
    arguments = parser.parse_args()
    try:
        accepted = Accepted()
        if arguments.accepted:
            today = dt.datetime.now(dt.UTC).date()
            text = arguments.accepted.read_bytes()
            accepted = read_accepted(text, str(arguments.accepted), today)
        stacks = [_read(name) for name in arguments.plans]
        review = Review("Terraform plan", stacks, accepted=accepted)
        text = markdown.write(review)
        if arguments.gitlab_report:
            arguments.gitlab_report.write_text(json.dumps(review.gitlab_report) + "\n", encoding="utf-8")
        # As UTF-8 in any locale: the report has characters beyond ASCII.
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
    except PlanError as error:
        sys.exit(str(error))
    except RecursionError:
        sys.exit(f"{', '.join(arguments.plans)}: values are nested too deeply for a plan")
    except BrokenPipeError:
        # Python writes the rest of its buffer at the end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as a program that SIGPIPE ends
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except OSError as error:
        sys.exit(f"{error.filename or 'standard output'}: {error.strerror}")
    sys.exit(review.exit_status)


def _read(name: str) -> PlannedStack:
    try:
        if name == "-":
            return PlannedStack("standard input", read_plan(sys.stdin.buffer.read()))
        return PlannedStack(Path(name).stem, read_plan(Path(name).read_bytes()))
    except PlanError as error:
        raise PlanError(f"{name}: {error}") from None


if __name__ == "__main__":
    gc.disable()  # a large plan is many objects, all of which are needed to the end
    main()
