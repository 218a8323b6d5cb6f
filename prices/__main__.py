"""`python -m prices`: show the prices that this project knows, and read current ones from AWS."""

import argparse
import datetime as dt
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from prices.table import TABLE, PriceError, known_prices, read_table, write_table


class Parser(argparse.ArgumentParser):
    """A parser that ends with 1 on a wrong command line, as the project's other commands do."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and end with 1."""
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: {message}\n")


def main() -> None:
    """Run the command; an expected error ends in one message and the exit status 1."""
    parser = Parser(prog="python -m prices", description="Prices of AWS, with date and source.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="show the prices of instance types or services in a region")
    show.add_argument("items", nargs="*", metavar="ITEM", help="such as m5.2xlarge or gp3; without one: all")
    show.add_argument("--region", required=True, help="code of the region, such as eu-central-1")
    show.add_argument(
        "--spot",
        action="store_true",
        help="also ask EC2 for the Spot prices of the last day; needs credentials",
    )
    refresh = commands.add_parser(
        "update", help="read current prices from AWS's price list into the table; needs credentials"
    )
    refresh.add_argument(
        "--region",
        action="append",
        metavar="REGION",
        help="repeatable; without it, the regions in the table",
    )
    refresh.add_argument(
        "--instance-type",
        action="append",
        default=[],
        metavar="TYPE",
        help="repeatable; also those in the table",
    )
    refresh.add_argument(
        "--table", type=Path, default=TABLE, help="the table to update; by default this project's"
    )
    arguments = parser.parse_args()
    try:
        status = _update(arguments) if arguments.command == "update" else _show(arguments)
        sys.stdout.flush()
    except PriceError as error:
        sys.exit(str(error))
    except BrokenPipeError:
        # Python writes the rest of its buffer at the end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as a program that SIGPIPE ends
    except KeyboardInterrupt:
        sys.exit("interrupted")
    sys.exit(status)


def _show(arguments: argparse.Namespace) -> int:
    known = known_prices()
    region = arguments.region
    if not arguments.items and region not in known.regions:
        raise PriceError(
            f"--region {region}: no price known there (table of {known.date}). Accepted: one of "
            f"{', '.join(known.regions)}; `python -m prices update --region {region}` adds it"
        )
    items = arguments.items or sorted(item for where, item in known.rows if where in (region, "*"))
    missing = False
    for item in items:
        price = known.find(item, region)
        if price is None:
            print(known.describe_missing(item, region))
            missing = True
        else:
            print(f"{item} in {region}: ${price.usd:f} / {price.unit} ({price.date}: {price.source})")
        if arguments.spot and "." in item:
            print(_describe_spot(item, region))
    return 1 if missing else 0


def _describe_spot(instance_type: str, region: str) -> str:
    from prices.aws import read_spot  # noqa: PLC0415 - boto3 takes long

    now = dt.datetime.now(dt.UTC)
    found = read_spot(_client("ec2", region), instance_type, now - dt.timedelta(days=1))
    if not found:
        return f"{instance_type} Spot in {region}: EC2 names no price"
    low, high = found
    return f"{instance_type} Spot in {region}: ${low:f} to ${high:f} / hour (EC2, {now:%Y-%m-%d})"


def _update(arguments: argparse.Namespace) -> int:
    from prices.aws import API_REGION, types_of, update  # noqa: PLC0415 - boto3 takes long

    known = read_table(arguments.table)
    regions = arguments.region or known.regions
    types = {*types_of(known), *arguments.instance_type}
    today = dt.datetime.now(dt.UTC).date()
    current = update(_client("pricing", API_REGION), known, regions, types, today)
    write_table(current, arguments.table)
    changed = sum(row != known.rows.get(place) for place, row in current.rows.items())
    print(f"{arguments.table}: {changed} prices of {today}, {len(current.rows)} in all")
    return 0


def _client(service: str, region: str) -> Any:
    import boto3  # noqa: PLC0415 - takes long
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        return boto3.client(service, region_name=region)
    except (BotoCoreError, ValueError) as error:
        raise PriceError(f"no connection to {service} in {region}: {error}") from None


if __name__ == "__main__":
    main()
