"""`python -m jobs`: would the jobs of a CI file, or of a day, run on an environment's fleets?

The command imports its own modules late, so that `--help` is printed at once.
"""
# ruff: noqa: PLC0415

import argparse
import json
from pathlib import Path
from typing import Any

from deployment.command_line import add_environment, run_command
from jobs.operators import add_commands, add_sizes, check_fleet, load_prices
from plan_review.exit_status import Parser
from stacks.errors import UserError

ALL_RUN, NOT_ALL_RUN = 0, 2

_EPILOG = """exit statuses:
  0  every job can run
  2  a job can't run, or it is unknown whether it can, or an include was not read
  1  the CI file, the settings or the command line can't be used
"""


def main() -> None:
    """Run the command; every expected error ends in one message and the exit status 1."""
    arguments = _parse_command_line()
    run_command(lambda: arguments.run(arguments))


def _parse_command_line() -> argparse.Namespace:
    parser = Parser(
        prog="python -m jobs",
        description="Say before a job runs whether it would run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "say for each job of a CI file which fleet takes it, whether it can run, and where"
    command = commands.add_parser(
        "explain",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. It needs no AWS and no GitLab.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", type=Path, metavar="FILE", help="the CI file, such as .gitlab-ci.yml")
    add_environment(command)
    command.add_argument("--fleet", metavar="NAME", help="the fleet that takes all jobs, whatever their tags")
    command.add_argument(
        "--variable",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a CI/CD variable of the project or of a predefined name; it wins over the file's. Repeatable",
    )
    add_sizes(command)
    command.add_argument(
        "--root",
        metavar="FOLDER",
        type=Path,
        help="the project's folder, for include: local; by default the nearest one with .git",
    )
    command.add_argument(
        "--allow-unread-includes",
        action="store_true",
        help="judge by the jobs that were read: an unread include does not change the exit status",
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    command.add_argument(
        "--code-quality",
        metavar="FILE",
        type=Path,
        help="also write GitLab's Code Quality report to this file (artifacts:reports:codequality)",
    )
    command.set_defaults(run=_run)
    add_commands(commands)
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> int:
    """Print the answers, and return the exit status."""
    from jobs.ci_file import find_root, read_pipeline
    from jobs.ci_yaml import CiFileError
    from jobs.code_quality import list_findings, list_mistakes
    from jobs.explain import Verdict, explain
    from jobs.instance_sizes import parse_sizes
    from jobs.report import as_document, print_table
    from stacks.settings.load import load_environment

    settings = load_environment(arguments.environment)
    check_fleet(arguments.fleet, settings)
    file, root = arguments.file, arguments.root or find_root(arguments.file)
    try:
        pipeline = read_pipeline(file, root=root, variables=_parse_variables(arguments.variable))
    except CiFileError as error:
        _write_report(arguments.code_quality, list_mistakes(error, file=file, root=root))
        raise
    sizes = parse_sizes(arguments.instance_type)
    answers = explain(pipeline.jobs, settings, fleet=arguments.fleet, sizes=sizes, prices=load_prices())
    _write_report(arguments.code_quality, list_findings(answers, pipeline.unread, file=file, root=root))
    name, environment = str(file), settings.environment
    if arguments.json:
        document = as_document(answers, pipeline.notes, file=name, environment=environment)
        print(json.dumps({**document, "unread_includes": len(pipeline.unread)}, indent=2))
    else:
        title = f"{name} in the environment {environment}"
        print_table(answers, pipeline.notes, title, unread=len(pipeline.unread))
    is_whole = not pipeline.unread or arguments.allow_unread_includes
    runs = is_whole and all(answer.verdict is Verdict.RUNS for answer in answers)
    return ALL_RUN if runs else NOT_ALL_RUN


def _write_report(path: Path | None, findings: list[dict[str, Any]]) -> None:
    if path is None:
        return
    try:
        path.write_text(json.dumps(findings, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--code-quality {path}: {error.strerror}") from None


def _parse_variables(texts: list[str]) -> dict[str, str]:
    variables = {}
    for text in texts:
        name, is_set, value = text.partition("=")
        if not name or not is_set:
            raise UserError(f"--variable {text}: must be NAME=VALUE")
        variables[name] = value
    return variables


if __name__ == "__main__":
    main()
