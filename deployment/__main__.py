"""`python -m deployment`: the commands that serve a real account.

Each command imports its own modules, so that a mistake in the settings is reported within a second.
"""
# ruff: noqa: PLC0415

import argparse
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from deployment.command_line import add_environment, run_command
from plan_review.exit_status import EXIT_STATUS_HELP, Parser
from stacks import STACKS

if TYPE_CHECKING:
    from deployment.terraform import Stack
    from stacks.backend import Backend
    from stacks.settings import Settings

_EPILOG = f"""exit statuses of plan:
{EXIT_STATUS_HELP}exit statuses of the other commands:
  0  done, or nothing to do
  1  refused, failed, or a wrong command line
"""


def main() -> None:
    """Run one command; every expected error ends in one message and the exit status 1."""
    arguments = _parse_command_line()
    run_command(lambda: _run(arguments))


def _parse_command_line() -> argparse.Namespace:
    parser = Parser(
        prog="python -m deployment",
        description="Deploy an environment to its AWS account.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add_command(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_environment(command)
        return command

    def add_stacks(command: argparse.ArgumentParser, number: str | int, note: str = "") -> None:
        command.add_argument(
            "stacks",
            nargs=number,
            type=_parse_stack,
            metavar="STACK",
            help=f"one of {', '.join(STACKS)}{note}",
        )

    def add_question(command: argparse.ArgumentParser) -> None:
        command.add_argument("--yes", action="store_true", help="answer every question with yes")

    bootstrap = add_command("bootstrap", "create the state bucket of backend.tf.json, or complete it")
    bootstrap.add_argument("--dry-run", action="store_true", help="only say what would be done")
    bootstrap.add_argument(
        "--remove", action="store_true", help="remove the bucket, unless a state in it has resources"
    )
    add_command("validate", "check the settings and backend.tf.json, without AWS")
    add_command("plan", "plan every stack that can be planned, and write the report")
    apply = add_command("apply", "apply the plan files of the last plan, unless they are stale")
    apply.add_argument(
        "--require-approval",
        action="store_true",
        help="refuse changes that need an approval and have none in the record of approvals",
    )
    approve = add_command("approve", "approve the changes of the last plan that need it, for later applies")
    approve.add_argument("--refuse", action="store_true", help="refuse them instead")
    approve.add_argument("--digest", metavar="DIGEST", help="only if the report of the plan has this digest")
    approve.add_argument(
        "--valid-for",
        metavar="DAYS",
        type=_parse_days,
        help="days for which the approval counts, at most approvals.valid_days of the settings, the default",
    )
    add_question(approve)
    add_command("approvals", "show the record of approvals, and verify it")
    for name, text in (
        ("deploy", "plan and apply stacks, and ask before each apply; the record of approvals is not read"),
        ("destroy", "destroy stacks in the reverse order, after one question"),
    ):
        command = add_command(name, text)
        add_question(command)
        add_stacks(command, "*", "; without any, all of them")
    unlock = add_command("unlock", "remove the lock that a killed Terraform has left")
    add_question(unlock)
    add_stacks(unlock, 1)
    restore = add_command("restore", "restore an older version of a state that was lost or damaged")
    chosen = restore.add_mutually_exclusive_group()
    chosen.add_argument("--version-id", metavar="ID", help="the version in S3; without it, a question")
    chosen.add_argument(
        "--empty", action="store_true", help="write a state without resources, to deploy the stack anew"
    )
    add_question(restore)
    add_stacks(restore, 1)
    add_command("orphans", "list the AWS objects of the environment that are in no state, as after a kill")
    policy = add_command("consumer-policy", "print the IAM policy for reading the outputs of some stacks")
    add_stacks(policy, "+")
    return parser.parse_args()


def _parse_stack(name: str) -> str:
    # Not by `choices`: there argparse refuses an empty list.
    if name not in STACKS:
        raise argparse.ArgumentTypeError(
            f"invalid choice: {name!r} (choose from {', '.join(map(repr, STACKS))})"
        )
    return name


def _parse_days(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: a number of days, from 1 on, is expected")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    """Run a command, and return its exit status."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        NoCredentialsError,
    )

    from plan_review.plan import PlanError
    from stacks.settings.load import load_environment

    settings = load_environment(arguments.environment)
    try:
        return _run_with_settings(arguments, settings)
    except PlanError as error:
        sys.exit(str(error))
    except NoCredentialsError:
        sys.exit("no AWS credentials found: choose some, for example with AWS_PROFILE")
    except ClientError as error:
        sys.exit(f"AWS refused: {error}")
    except EndpointConnectionError as error:
        advice = ". `make demo` starts the emulated AWS" if settings.aws.is_local else ""
        sys.exit(f"AWS could not be asked: {str(error).rstrip('.')}{advice}")
    except BotoCoreError as error:
        sys.exit(f"AWS could not be asked: {error}")


def _run_with_settings(arguments: argparse.Namespace, settings: "Settings") -> int:
    from stacks.backend import read_backend
    from stacks.settings.load import PROJECT

    backend = read_backend(PROJECT / "backend.tf.json")
    match arguments.command:
        case "validate":
            print(f"environments/{settings.environment}.yaml and backend.tf.json are valid")
        case "bootstrap":
            from deployment import state_bucket

            act = state_bucket.remove_state_bucket if arguments.remove else state_bucket.create_state_bucket
            act(settings.aws, backend, dry_run=arguments.dry_run)
        case "consumer-policy":
            from deployment.consumer_policy import consumer_policy

            print(json.dumps(consumer_policy(settings.environment, backend, arguments.stacks), indent=2))
        case "unlock":
            from deployment.questions import require_terminal
            from deployment.unlock import unlock

            require_terminal("unlock", assume_yes=arguments.yes)
            unlock(settings, backend, arguments.stacks[0], assume_yes=arguments.yes)
        case "restore":
            from deployment.questions import require_terminal
            from deployment.restore import restore

            is_chosen = arguments.version_id or arguments.empty
            require_terminal("restore", assume_yes=arguments.yes and is_chosen)
            restore(
                settings,
                backend,
                arguments.stacks[0],
                version_id=arguments.version_id,
                is_empty=arguments.empty,
                assume_yes=arguments.yes,
            )
        case "orphans":
            from deployment.orphans import show_orphans

            show_orphans(settings, backend)
        case "approve":
            from deployment.approve import approve
            from deployment.aws import refuse_other_account
            from deployment.questions import require_terminal

            require_terminal("approve", assume_yes=arguments.yes)
            refuse_other_account(settings.aws)
            approve(
                settings,
                backend,
                refuse=arguments.refuse,
                digest=arguments.digest,
                valid_for=arguments.valid_for,
                assume_yes=arguments.yes,
            )
        case "approvals":
            from deployment.approve import show_approvals
            from deployment.aws import refuse_other_account

            refuse_other_account(settings.aws)
            show_approvals(settings, backend)
        case _:
            return _run_terraform_command(arguments, settings, backend)
    return 0


def _run_terraform_command(arguments: argparse.Namespace, settings: "Settings", backend: "Backend") -> int:
    """Run a command that needs the synthesized stacks, and return its exit status."""
    from botocore.exceptions import BotoCoreError, ClientError

    from deployment import aws, locks, states, tokens
    from deployment.apply import ApplyError
    from deployment.questions import require_terminal
    from deployment.terraform import TerraformError, synthesize

    if arguments.command == "deploy":
        advice = " `make plan` and `make apply` ask no questions, and apply only the plan that was reviewed."
        require_terminal("deploy", assume_yes=arguments.yes, advice=advice)
    if arguments.command == "destroy":
        require_terminal("destroy", assume_yes=arguments.yes)
    aws.refuse_other_account(settings.aws)
    if arguments.command == "plan" or (
        arguments.command == "deploy" and "workloads" in (arguments.stacks or STACKS)
    ):
        tokens.refuse_missing_tokens(settings)
    worked_on = getattr(arguments, "stacks", None) or STACKS
    stacks = synthesize(settings.environment)
    for stack in stacks:
        stack.wait()  # a Terraform of a killed command may hold the lock
    states.refuse_damaged_states(settings, backend, worked_on)
    try:
        return _run_terraform_on(stacks, arguments, settings, backend)
    except (TerraformError, ApplyError) as error:
        # Terraform frees its own locks. One that is left is somebody else's, or our Terraform was killed.
        held: list[str] = []
        with suppress(BotoCoreError, ClientError):
            s3 = aws.create_client("s3", settings.aws, region=backend.region)
            held = locks.describe_locks(s3, settings, backend, worked_on)
        raise TerraformError("\n".join([str(error), *held])) from None


def _run_terraform_on(
    stacks: "list[Stack]", arguments: argparse.Namespace, settings: "Settings", backend: "Backend"
) -> int:
    match arguments.command:
        case "plan":
            from deployment.plan import plan

            return plan(stacks, settings)
        case "apply":
            from deployment.apply import apply

            apply(stacks, settings, backend, require_approval=arguments.require_approval)
        case "deploy":
            from deployment.deploy import deploy

            deploy(stacks, arguments.stacks, settings, assume_yes=arguments.yes)
        case "destroy":
            from deployment.deploy import destroy

            destroy(stacks, arguments.stacks, settings, assume_yes=arguments.yes)
    return 0


if __name__ == "__main__":
    main()
