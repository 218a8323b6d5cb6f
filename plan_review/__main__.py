"""`python -m plan_review PLAN.json`: review the plan of any Terraform project.

`python -m plan_review comment REPORT.md` posts a report on a GitLab merge request.
"""

import argparse
import datetime as dt
import gc
import json
import os
import sys
from pathlib import Path

from plan_review import code_quality, markdown, sarif
from plan_review.accepted import Accepted, read_accepted
from plan_review.exit_status import EXIT_STATUS_HELP, Parser
from plan_review.findings import Finding
from plan_review.locations import Location
from plan_review.plan import PlanError, read_plan
from plan_review.review import PlannedStack, Review

_EPILOG = f"""exit status:
{EXIT_STATUS_HELP}
examples:
  terraform plan -out=tfplan && terraform show -json tfplan | python -m plan_review -
  python -m plan_review comment report.md   # one comment on the merge request of this GitLab job
"""


def main() -> None:
    """Write the report to standard output, and end with the exit status of the review."""
    if sys.argv[1:2] == ["comment"]:
        _comment(sys.argv[2:])
        return
    arguments = _parse_command_line()
    try:
        accepted = Accepted()
        if arguments.accepted:
            today = dt.datetime.now(dt.UTC).date()
            text = arguments.accepted.read_bytes()
            accepted = read_accepted(text, str(arguments.accepted), today)
        stacks = [_read(name) for name in arguments.plans]
        review = Review("Terraform plan", stacks, accepted=accepted)
        text = markdown.write(review)
        _write_files(review, arguments)
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


def _write_files(review: Review, arguments: argparse.Namespace) -> None:
    """Write the reports for which the command line names a file."""
    files = {"standard input" if name == "-" else Path(name).stem: name for name in arguments.plans}

    def locate(stack: str, _: Finding) -> Location:
        return Location(arguments.location or files[stack])

    for file, content in (
        (arguments.gitlab_report, lambda: review.gitlab_report),
        (arguments.sarif, lambda: sarif.build(review, locate)),
        (arguments.code_quality, lambda: code_quality.build(review, locate)),
    ):
        if file:
            file.write_text(json.dumps(content()) + "\n", encoding="utf-8")


def _parse_command_line() -> argparse.Namespace:
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
    parser.add_argument("--sarif", metavar="FILE", type=Path, help="also write the findings as SARIF 2.1.0")
    parser.add_argument(
        "--code-quality", metavar="FILE", type=Path, help="also write GitLab's Code Quality report"
    )
    parser.add_argument(
        "--location",
        metavar="PATH",
        help="file of the repository that these two reports show the findings at; by default the plan file",
    )
    parser.add_argument(
        "--accepted", metavar="FILE", type=Path, help="YAML file with the findings that the project accepts"
    )
    return parser.parse_args()


def _comment(arguments: list[str]) -> None:
    """Post a report as one comment, which a later report updates."""
    from plan_review import comment  # noqa: PLC0415 - a review needs no HTTP

    parser = Parser(
        prog="python -m plan_review comment",
        description="Post a report as one comment on the merge request of this GitLab job; a later report "
        "updates it. The variable GITLAB_TOKEN has a token of the scope api.",
    )
    parser.add_argument("report", metavar="REPORT.md", type=Path)
    parser.add_argument(
        "--name", default="plan", help="tells several comments apart, such as the environment (default: plan)"
    )
    options = parser.parse_args(arguments)
    try:
        print(comment.post(options.report.read_text(encoding="utf-8"), options.name))
    except comment.CommentError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except OSError as error:
        sys.exit(f"{options.report}: {error.strerror}")
    except UnicodeDecodeError:
        sys.exit(f"{options.report}: not UTF-8. Accepted: a report of this program")


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
