"""`python -m local_aws`: the emulated AWS of the local environment."""

import argparse
import sys

from botocore.exceptions import BotoCoreError, ClientError

from deployment.state_bucket import BootstrapError
from local_aws import demo, emulator
from local_aws.cdktf_runner import DeploymentError
from local_aws.emulator import EmulatorError
from stacks.backend import BackendError
from stacks.settings.load import SettingsError

COMMANDS = {
    "start": "start the emulator in the background",
    "stop": "stop the emulator; what was deployed on it is gone",
    "seed": "store a demo token for each runner fleet",
    "demo": "start, seed and deploy every stack, and sum up",
    "down": "destroy the deployed stacks and stop the emulator",
    "run": "run a cdktf or terraform command with the providers that this machine has",
}


def main() -> None:
    """Run one command; exit with 1 and one message if it can't be done."""
    parser = argparse.ArgumentParser(prog="python -m local_aws", description=(__doc__ or "").strip())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "run":
            command.add_argument("program", nargs=argparse.REMAINDER, help="the command and its arguments")
    arguments = parser.parse_args()
    try:
        sys.exit(_run(arguments))
    except (BackendError, BootstrapError, DeploymentError, EmulatorError, SettingsError) as error:
        sys.exit(str(error))
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"the emulator refused: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; `make demo` goes on from here, `make demo-down` undoes it")


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "start":
            demo.start(demo.load_local_settings())
        case "stop":
            print("stopped" if emulator.stop() else "no emulator of ours runs")
        case "seed":
            demo.seed(demo.load_local_settings())
        case "demo":
            demo.up()
        case "down":
            demo.down()
        case "run":
            return demo.run(arguments.program)
    return 0


if __name__ == "__main__":
    main()
