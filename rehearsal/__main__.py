"""Command line of the rehearsal: serve the stand-in providers, show what a rehearsal recorded."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rehearsal.record import NOTE, read
from rehearsal.session import serve

_EPILOG = """\
try it:
  python -m rehearsal serve --record rehearsal.json
      prints the value for TF_REATTACH_PROVIDERS, then waits
  TF_REATTACH_PROVIDERS='<that line>' terraform apply
      in another terminal; `terraform init` installs nothing for the two providers
  python -m rehearsal show --record rehearsal.json

environment of serve:
  REHEARSAL_CHARTS  a folder of unpacked charts: releases of these charts are rendered by Helm, and fail as
                    Helm would
  REHEARSAL_HELM    the helm program to use; else the one on PATH
"""


def show(record: Path, *, reveal: bool) -> None:
    """Print what is recorded; Secrets' and write-only values stay masked unless `reveal`."""
    console = Console()
    table = Table(title=f"{NOTE}: {record.name}", title_justify="left", show_lines=True)
    for column in ("type", "object", "holds"):
        table.add_column(column, overflow="fold")
    for kind, entries in sorted(read(record).items()):
        for key, entry in sorted(entries.items()):
            table.add_row(kind, key, Text("\n".join(_lines(kind, entry, reveal=reveal))))
    console.print(table if table.row_count else f"{NOTE}: nothing is recorded in {record}")


def _lines(kind: str, entry: dict[str, Any], *, reveal: bool) -> list[str]:
    state = entry["state"]
    if kind == "helm_release":
        about = state["metadata"]
        # The state's copy of the values hides what was given as sensitive or write-only; the record's own has
        # all.
        values = json.dumps(entry["values"], indent=1) if reveal else about["values"]
        return [
            f"chart {about['chart']} {about['version']}, revision {about['revision']}",
            about["notes"],
            values,
        ]
    held = {**entry.get("data", {}), **entry.get("binary_data", {})}
    secrets = [f"{name} = {value if reveal else '(hidden: --reveal)'}" for name, value in held.items()]
    labels = [f"label {name}={value}" for name, value in (state["metadata"][0]["labels"] or {}).items()]
    rest = _short(
        {
            name: value
            for name, value in state.items()
            if name not in {"id", "metadata", "data", "binary_data", "timeouts"}
        }
    )
    return [*secrets, *labels, *(f"{name} {json.dumps(value)}" for name, value in rest.items())]


def _short(value: Any) -> Any:  # noqa: ANN401 - any Terraform value
    """The value without what is not set."""
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items() if each not in (None, [])}
    return [_short(each) for each in value] if isinstance(value, list) else value


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="python -m rehearsal",
        description="Rehearse Terraform's helm and kubernetes resources where there is no Kubernetes. "
        + NOTE
        + ".",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser(
        "serve", help="serve stand-ins for hashicorp/helm and hashicorp/kubernetes until stopped"
    )
    serving.add_argument("--exit-with-parent", action="store_true", help="also stop when stdin ends")
    showing = commands.add_parser("show", help="print what a rehearsal recorded")
    showing.add_argument(
        "--reveal", action="store_true", help="print Secrets and sensitive values as they are"
    )
    for command in (serving, showing):
        command.add_argument(
            "--record", type=Path, required=True, help="the private file that takes the cluster's place"
        )
    arguments = parser.parse_args()
    if arguments.command == "serve":
        serve(arguments.record.resolve(), exit_with_parent=arguments.exit_with_parent)
    else:
        show(arguments.record, reveal=arguments.reveal)


if __name__ == "__main__":
    main()
