"""`python -m local_aws`: the emulated AWS of the local environment.

Each command imports its own modules, so that a mistake in the settings is reported within a second.
"""
# ruff: noqa: PLC0415

import argparse
import os
import sys
from typing import TYPE_CHECKING

from deployment.command_line import run_command
from stacks.errors import UserError

if TYPE_CHECKING:
    from stacks.settings import Settings

INTERRUPTED = "interrupted; `make demo` goes on from here, `make demo-down` undoes it"
KUBERNETES = ("rehearsal", "docker")

COMMANDS = {
    "start": "start the emulator in the background",
    "stop": "stop the emulator; everything on it is lost",
    "seed": "store a demo token for each runner fleet that has none",
    "demo": "start the emulator, deploy every stack to it, and sum up",
    "down": "destroy the deployed stacks and stop the emulator",
    "show": "print the objects that the rehearsal of workloads has recorded",
    "run": "run a command, such as terraform or aws, on the emulated AWS",
}


class NotLocalError(UserError):
    """The local environment would reach a real AWS account."""


def main() -> None:
    """Run one command; every expected error ends in one message and the exit status 1."""
    arguments = _parse_command_line()
    run_command(lambda: _run(arguments, _load_settings()), interrupted=INTERRUPTED)


def _parse_command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local_aws", description="The emulated AWS of the local environment."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if name in {"demo", "down", "run"}:
            command.add_argument(
                "--kubernetes",
                choices=KUBERNETES,
                default=os.environ.get("KUBERNETES") or "rehearsal",
                help="rehearsal: stand-in providers, without Docker. docker: a real cluster (not tested). "
                "Default: the environment variable KUBERNETES, else rehearsal",
            )
        if name in {"demo", "down"}:
            command.add_argument(
                "--verbose",
                action="store_true",
                default=os.environ.get("VERBOSE", "") not in {"", "0"},
                help="print everything that Terraform prints (also: VERBOSE=1)",
            )
        if name == "show":
            command.add_argument("--reveal", action="store_true", help="print the data of Secrets")
        if name == "run":
            command.add_argument(
                "program",
                nargs=argparse.REMAINDER,
                metavar="PROGRAM",
                help="the program and its arguments",
            )
    arguments = parser.parse_args()
    if getattr(arguments, "kubernetes", KUBERNETES[0]) not in KUBERNETES:
        parser.error(f"KUBERNETES={arguments.kubernetes}. Accepted: {', '.join(KUBERNETES)}")
    if arguments.command == "run" and not arguments.program:
        parser.error("run: name a program, as in `python -m local_aws run aws ssm describe-parameters`")
    return arguments


def _load_settings() -> "Settings":
    """Return the settings of the local environment; `ENV` does not count.

    Raises:
        SettingsError: If the file holds a mistake.
        NotLocalError: If the environment is not on an emulated AWS.

    """
    from stacks.settings.load import load_environment

    settings = load_environment("local")
    if not settings.aws.is_local:
        raise NotLocalError(
            "environments/local.yaml: aws.endpoint_url: missing. Accepted: the emulator's URL"
        )
    return settings


def _run(arguments: argparse.Namespace, settings: "Settings") -> int:
    from botocore.exceptions import BotoCoreError, ClientError

    from local_aws import demo, emulator
    from local_aws.providers import RECORD
    from local_aws.rehearsal.show import show

    try:
        match arguments.command:
            case "start":
                demo.start(settings)
            case "stop":
                print("stopped" if emulator.stop() else "no emulator of ours runs")
            case "seed":
                demo.seed(settings)
            case "demo":
                with demo.alone():
                    demo.up(settings, arguments.kubernetes, verbose=arguments.verbose)
            case "down":
                with demo.alone():
                    demo.down(settings, arguments.kubernetes, verbose=arguments.verbose)
            case "show":
                show(RECORD, reveal=arguments.reveal)
            case "run":
                return demo.run(settings, arguments.program, arguments.kubernetes)
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"the emulator refused: {error}")
    return 0


if __name__ == "__main__":
    main()
