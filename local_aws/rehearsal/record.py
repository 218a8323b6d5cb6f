"""The record: a private file with the objects that a deployment would create in the cluster.

Document: {"note": ..., "objects": {resource type: {key: entry}}}. A key is `namespace/name`, or `name` for
an object without a namespace. The "state" of an entry is Terraform's. The entry of a Secret has its "data",
too, and the entry of a release its merged "values".
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NOTE = "Rehearsed, not deployed"

Objects = dict[str, dict[str, dict[str, Any]]]


def read(path: Path) -> Objects:
    """Return the objects of the record, by resource type and key."""
    return dict(json.loads(path.read_text())["objects"]) if path.exists() else {}


@contextmanager
def changing(path: Path) -> Iterator[Objects]:
    """Yield the objects to change; write all changes when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Terraform works on ten objects at a time
        objects = read(path)
        yield objects
        changed = _changed(path)
        changed.unlink(missing_ok=True)  # one that a killed run has left keeps its mode
        changed.touch(0o600)
        changed.write_text(json.dumps({"note": NOTE, "objects": objects}, indent=1))
        changed.replace(path)


def remove(path: Path) -> None:
    """Remove the record, and what a killed run has left of its next version."""
    path.unlink(missing_ok=True)
    _changed(path).unlink(missing_ok=True)


def _changed(path: Path) -> Path:
    return path.with_name(f".{path.name}.changed")
