"""Print the objects that a rehearsal has recorded."""

import sys
from pathlib import Path
from textwrap import indent
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import walk_tree

from local_aws.rehearsal.record import NOTE, read

HIDDEN = "(hidden: .venv/bin/python -m local_aws show --reveal)"


def show(record: Path, *, reveal: bool) -> None:
    """Print every recorded object; the data of Secrets is masked unless `reveal`."""
    objects = read(record)
    print(f"{NOTE}: {record}" if any(objects.values()) else f"{NOTE}: nothing is recorded in {record}")
    for kind, entries in sorted(objects.items()):
        for key, entry in sorted(entries.items()):
            print(f"\n{kind} {key}")
            shown = _select_fields(entry, reveal=reveal)
            walk_tree(shown)  # a string of several lines becomes a block
            YAML().dump(shown, sys.stdout, transform=lambda text: indent(text, "  "))


def _select_fields(entry: dict[str, Any], *, reveal: bool) -> dict[str, Any]:
    """Return a release's values, or the fields of a Kubernetes object that are set."""
    state = entry["state"]
    if "values" in entry:
        about = {name: state["metadata"][name] for name in ("chart", "version", "revision", "notes")}
        return {**about, "values": entry["values"]}
    shown: dict[str, Any] = _drop_unset({name: state[name] for name in state if name != "id"})
    if data := entry.get("data"):
        shown["data"] = data if reveal else dict.fromkeys(data, HIDDEN)
    return shown


def _drop_unset(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _drop_unset(item) for name, item in value.items() if item not in (None, [])}
    return [_drop_unset(item) for item in value] if isinstance(value, list) else value
