"""The commands of `python -m jobs` for those who run the fleets: all-maxima, replay, convert, generate.

The commands import their own modules late, so that `--help` is printed at once.
"""
# ruff: noqa: PLC0415

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployment.command_line import add_environment
from stacks.errors import UserError

if TYPE_CHECKING:
    from prices.table import PriceTable
    from stacks.settings import Settings

MAX_GENERATED = 1_000_000
MAX_NODE_START = 3600  # an hour
MAX_ID = 2**63 - 1  # of a runner: GitLab's IDs are 64-bit integers


def add_commands(commands: Any) -> None:
    """Add the commands to those of `python -m jobs`; `arguments.run` is the function of the chosen one."""
    maxima = _add(
        commands, "all-maxima", "show whether each fleet's biggest job fits on each node group", _show_maxima
    )
    add_sizes(maxima)
    maxima.add_argument(
        "--picture", metavar="FILE", type=Path, help="draw the answers to FILE, which ends with .svg or .png"
    )
    maxima.add_argument("--json", action="store_true", help="print JSON instead of a table")

    replay = _add(
        commands, "replay", "say how long a log of jobs would wait, and what its nodes would cost", _replay
    )
    replay.add_argument(
        "file", type=Path, metavar="FILE", help="CSV with the columns start,seconds,CPU,memory,fleet"
    )
    replay.add_argument(
        "--against",
        metavar="NAME",
        action="append",
        default=[],
        help="another environment, or the path of another settings file, to compare with. Repeatable",
    )
    replay.add_argument(
        "--node-start",
        metavar="TYPE=SECONDS",
        action="append",
        default=[],
        help="seconds until a new node takes jobs, for ON_DEMAND or SPOT, such as SPOT=180. Repeatable; by "
        "default the middle of the settings' waiting_times",
    )
    add_sizes(replay)
    replay.add_argument("--json", action="store_true", help="print JSON instead of tables")

    convert = _add(commands, "convert", "print what GitLab's API says of jobs as a log for replay", _convert)
    convert.add_argument(
        "files", type=Path, metavar="FILE", nargs="+", help="an answer of GET /projects/:id/jobs, as JSON"
    )
    convert.add_argument("--fleet", metavar="NAME", help="the fleet of all jobs, whatever their tags")
    convert.add_argument(
        "--runner",
        metavar="ID=FLEET",
        action="append",
        default=[],
        help="the fleet of a runner's jobs, by the runner's ID in GitLab; jobs of others are left out. "
        "Repeatable. Without --fleet and --runner the tags decide",
    )
    convert.add_argument(
        "--ci-file", metavar="FILE", type=Path, help="take the jobs' CPU and memory from this CI file"
    )

    generate = _add(commands, "generate", "print a made-up day of jobs as a log for replay", _generate)
    generate.add_argument("--jobs", metavar="N", default="2000", help="number of jobs; by default 2000")
    generate.add_argument(
        "--seed", metavar="N", default="1", help="another number gives another day; by default 1"
    )


def _add(
    commands: Any, name: str, text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}. It needs no AWS and no GitLab."
    )
    add_environment(command)
    command.set_defaults(run=run)
    return command


def add_sizes(command: argparse.ArgumentParser) -> None:
    """Add the option for sizes of instance types."""
    command.add_argument(
        "--instance-type",
        metavar="TYPE=VCPUS:MIB",
        action="append",
        default=[],
        help="size of an instance type, such as m7i.48xlarge=192:786432. Repeatable",
    )


def _show_maxima(arguments: argparse.Namespace) -> int:
    """Print the biggest jobs; the exit status is 2 if one fits nowhere."""
    from jobs.instance_sizes import parse_sizes
    from jobs.maxima import find_maxima
    from jobs.maxima_report import as_document, draw_maxima, print_maxima
    from stacks.settings.load import load_environment

    maxima = find_maxima(load_environment(arguments.environment), parse_sizes(arguments.instance_type))
    if arguments.picture:
        draw_maxima(maxima, arguments.picture)
    if arguments.json:
        print(json.dumps(as_document(maxima), indent=2))
    else:
        print_maxima(maxima)
    return 2 if maxima.without_room else 0


def _replay(arguments: argparse.Namespace) -> int:
    """Print the replay of a log."""
    from jobs.instance_sizes import parse_sizes
    from jobs.job_log import read_log
    from jobs.replay import replay
    from jobs.replay_report import as_document, print_replays

    prices, sizes = load_prices(), parse_sizes(arguments.instance_type)
    node_starts = _parse_node_starts(arguments.node_start)
    first = _load(arguments.environment)
    environments = {first.environment: first, **{name: _load(name) for name in arguments.against}}
    replays = replay(
        read_log(arguments.file),
        environments,
        prices=prices,
        sizes=sizes,
        node_start_seconds=node_starts,
    )
    if arguments.json:
        print(json.dumps(as_document(replays, str(arguments.file)), indent=2))
    else:
        print_replays(replays, str(arguments.file))
    return 0


def load_prices() -> "PriceTable":
    """Return the table of prices; a mistake in it ends the command."""
    from prices.table import PriceError, known_prices

    try:
        return known_prices()
    except PriceError as error:
        raise UserError(str(error)) from None


def check_fleet(fleet: str | None, settings: "Settings") -> None:
    """Refuse a --fleet that the environment does not have."""
    if fleet and fleet not in settings.runners:
        raise UserError(f"--fleet {fleet}: must be one of {', '.join(settings.runners)}")


def _load(name: str | None) -> "Settings":
    """Read an environment by its name, or a settings file by its path."""
    from stacks.settings.load import load_environment, load_settings

    is_path = name is not None and ("/" in name or Path(name).is_file())
    return load_settings(Path(name)) if name and is_path else load_environment(name)


def _parse_node_starts(texts: list[str]) -> dict[str, int]:
    from jobs.quantities import parse_number

    seconds: dict[str, int] = {}
    for text in texts:
        kind, _, number = text.partition("=")
        parsed = parse_number(number, MAX_NODE_START)
        if kind not in ("ON_DEMAND", "SPOT") or parsed is None:
            raise UserError(
                f"--node-start {text}: must be ON_DEMAND or SPOT, and 0 to {MAX_NODE_START}, such as SPOT=180"
            )
        seconds[kind] = parsed
    return seconds


def _convert(arguments: argparse.Namespace) -> int:
    """Print a log, and to standard error what was left out."""
    from jobs.ci_file import read_pipeline
    from jobs.ci_yaml import plain
    from jobs.gitlab_jobs import FleetChoice, convert, find_requests
    from jobs.job_log import write_log
    from jobs.quantities import parse_number
    from jobs.replay import count_jobs
    from stacks.settings.load import load_environment

    settings = load_environment(arguments.environment)
    runners: dict[int, str] = {}
    for text in arguments.runner:
        number, _, fleet = text.partition("=")
        runner = parse_number(number, MAX_ID)
        if runner is None or fleet not in settings.runners:
            raise UserError(
                f"--runner {text}: must be ID=FLEET, with a fleet of {', '.join(settings.runners)}"
            )
        runners[runner] = fleet
    check_fleet(arguments.fleet, settings)
    requests = {}
    if arguments.ci_file:
        requests = find_requests(read_pipeline(arguments.ci_file, variables={}).jobs)
    choice = FleetChoice(settings, arguments.fleet, runners)
    conversion = convert(arguments.files, choice, requests)
    for reason, count in conversion.left_out.items():
        print(f"left out: {count_jobs(count)} {plain(reason)}", file=sys.stderr)
    if not conversion.rows:
        raise UserError(f"{', '.join(map(str, arguments.files))}: no job that a replay can use")
    write_log(conversion.rows, sys.stdout)
    return 0


def _generate(arguments: argparse.Namespace) -> int:
    """Print a made-up log."""
    from jobs.generate_log import generate
    from jobs.job_log import write_log
    from stacks.settings.load import load_environment

    count, seed = (_parse_generated(name, getattr(arguments, name)) for name in ("jobs", "seed"))
    write_log(generate(load_environment(arguments.environment), count=count, seed=seed), sys.stdout)
    return 0


def _parse_generated(name: str, text: str) -> int:
    from jobs.quantities import parse_number

    number = parse_number(text, MAX_GENERATED)
    if number is None:
        raise UserError(f"--{name} {text}: must be a number from 0 to {MAX_GENERATED}")
    return number
