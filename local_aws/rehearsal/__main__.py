"""Command line of the rehearsal: serve the stand-in providers, show what a rehearsal recorded."""

import argparse
import signal
import sys
from pathlib import Path
from textwrap import indent
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import walk_tree

from local_aws.rehearsal.record import NOTE, read
from local_aws.rehearsal.session import running

_EPILOG = """\
`serve` prints the value for TF_REATTACH_PROVIDERS, then waits. In another terminal,
TF_REATTACH_PROVIDERS='<that line>' terraform init, plan, apply, ... then use the stand-ins.

REHEARSAL_CHARTS=FOLDER before `serve`: with helm on PATH, releases of the unpacked charts in FOLDER are
rendered by it, and fail as Helm would.
"""


def serve(record: Path) -> None:
    """Serve until SIGTERM or SIGINT; one line of JSON on stdout says that Terraform may come."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with running(record) as environment:
        print(environment["TF_REATTACH_PROVIDERS"], flush=True)
        signal.sigwait(signals)


def show(record: Path, *, reveal: bool) -> None:
    """Print what is recorded; what Secrets hold stays masked unless `reveal`."""
    objects = read(record)
    print(f"{NOTE}: {record}" if any(objects.values()) else f"{NOTE}: nothing is recorded in {record}")
    for kind, entries in sorted(objects.items()):
        for key, entry in sorted(entries.items()):
            print(f"\n{kind} {key}")
            shown = _shown(entry, reveal=reveal)
            walk_tree(shown)  # a text of several lines becomes a block
            YAML().dump(shown, sys.stdout, transform=lambda text: indent(text, "  "))


def _shown(entry: dict[str, Any], *, reveal: bool) -> dict[str, Any]:
    """What a reader wants to know of an entry: a release's values, or what is set of a Kubernetes object."""
    state = entry["state"]
    if "values" in entry:
        about = {name: state["metadata"][name] for name in ("chart", "version", "revision", "notes")}
        return {**about, "values": entry["values"]}
    shown: dict[str, Any] = _set({name: state[name] for name in state if name != "id"})
    for field in ("data", "binary_data"):
        if entry.get(field):
            shown[field] = entry[field] if reveal else dict.fromkeys(entry[field], "(hidden: --reveal)")
    return shown


def _set(value: Any) -> Any:
    """The value without what is not set."""
    if isinstance(value, dict):
        return {name: _set(each) for name, each in value.items() if each not in (None, [])}
    return [_set(each) for each in value] if isinstance(value, list) else value


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="python -m local_aws.rehearsal",
        description=f"Rehearse Terraform's helm and kubernetes resources without Kubernetes. {NOTE}.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve stand-ins for hashicorp/helm and hashicorp/kubernetes")
    showing = commands.add_parser("show", help="print what a rehearsal recorded")
    showing.add_argument("--reveal", action="store_true", help="print what Secrets hold as it is")
    for command in (serving, showing):
        command.add_argument("--record", type=Path, required=True, help="the file in the cluster's place")
    arguments = parser.parse_args()
    if arguments.command == "serve":
        serve(arguments.record)
    else:
        show(arguments.record, reveal=arguments.reveal)


if __name__ == "__main__":
    main()
