"""`python -m deployment`: the commands that serve a real account.

Each command imports its own modules, so that a mistake in the settings is reported within a second.
"""
# ruff: noqa: PLC0415

import argparse
import json
import os
import sys

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from plan_review.command_line import EXIT_STATUSES, Parser
from plan_review.plan import PlanError
from stacks import STACKS
from stacks.backend import read_backend
from stacks.errors import UserError
from stacks.settings import Settings
from stacks.settings.load import PROJECT, load_environment

BROKEN_PIPE = 141  # the exit status of a program that SIGPIPE ends

_EPILOG = f"""exit statuses of plan:
{EXIT_STATUSES}exit statuses of the other commands:
  0  done, or nothing to do
  1  refused, failed, or a wrong command line
"""


def main() -> None:
    """Run one command; every expected error ends in one message and the exit status 1."""
    arguments = _parse_command_line()
    try:
        settings = load_environment(arguments.environment)
        status = _run(arguments, settings)
        sys.stdout.flush()
    except (UserError, PlanError) as error:
        sys.exit(str(error))
    except NoCredentialsError:
        sys.exit("no AWS credentials found: choose some, for example with AWS_PROFILE")
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"AWS refused: {error}")
    except BrokenPipeError:
        # Python writes the rest of its buffer at the end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename}: not found")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    sys.exit(status)


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
        command.add_argument(
            "--environment",
            metavar="NAME",
            default=os.environ.get("ENV"),
            help="file name under environments/; without this option, the environment variable ENV names "
            "it; without both, it is local",
        )
        return command

    bootstrap = add_command("bootstrap", "create the state bucket of backend.tf.json, or complete it")
    bootstrap.add_argument("--dry-run", action="store_true", help="only say what would be done")
    bootstrap.add_argument(
        "--remove", action="store_true", help="remove the bucket, unless a state in it has resources"
    )
    add_command("plan", "plan every stack that can be planned, and write the report")
    add_command("apply", "apply the plan files of the last plan, unless they are stale")
    policy = add_command("consumer-policy", "print the IAM policy for reading the outputs of some stacks")
    policy.add_argument(
        "stacks", nargs="+", choices=STACKS, metavar="STACK", help=f"any of {', '.join(STACKS)}"
    )
    return parser.parse_args()


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run a command, and return its exit status. Only this command's modules are imported."""
    backend = read_backend(PROJECT / "backend.tf.json")
    match arguments.command:
        case "bootstrap":
            from deployment import state_bucket

            act = state_bucket.remove_state_bucket if arguments.remove else state_bucket.create_state_bucket
            act(settings.aws, backend, dry_run=arguments.dry_run)
        case "consumer-policy":
            from deployment.consumer_policy import consumer_policy

            print(json.dumps(consumer_policy(settings.environment, backend, arguments.stacks), indent=2))
        case "plan":
            from deployment.plan import plan
            from deployment.terraform import synthesize

            return plan(synthesize(settings.environment), settings.environment)
        case "apply":
            from deployment.apply import apply
            from deployment.terraform import synthesize

            apply(synthesize(settings.environment), settings.environment)
    return 0


if __name__ == "__main__":
    main()
