"""`python -m local_aws`: the emulated AWS of the local environment."""

import argparse
import sys

from botocore.exceptions import BotoCoreError, ClientError

from bootstrap import BootstrapError
from local_aws import demo, emulator
from local_aws.deployment import DeploymentError
from stacks.backend import BackendError
from stacks.settings.file import SettingsError

COMMANDS = {
    "start": "start the emulator in the background",
    "stop": "stop the emulator; what was deployed on it is gone",
    "seed": "store a demo token for each runner fleet",
    "demo": "start, seed and deploy every stack that can be deployed here",
    "down": "destroy the deployed stacks and stop the emulator",
}


def main() -> None:
    """Run one command; exit with 1 and one message if it can't be done."""
    parser = argparse.ArgumentParser(prog="python -m local_aws", description=(__doc__ or "").strip())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, description=text)
    command = parser.parse_args().command
    try:
        _run(command)
    except (
        BackendError,
        BootstrapError,
        DeploymentError,
        SettingsError,
        emulator.EmulatorError,
    ) as error:
        sys.exit(str(error))
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"the emulator refused: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; `make demo` goes on from here, `make demo-down` undoes it")


def _run(command: str) -> None:
    if command == "demo":
        demo.up()
    elif command == "down":
        demo.down()
    elif command == "seed":
        demo.seed(demo.load_local_settings())
    elif command == "stop":
        print("stopped" if emulator.stop() else "no emulator of ours runs")
    else:
        endpoint_url = str(demo.load_local_settings().aws.endpoint_url)
        started = emulator.start(endpoint_url)
        print(f"ministack {'listens' if started else 'listens already'} at {endpoint_url}")


if __name__ == "__main__":
    main()
