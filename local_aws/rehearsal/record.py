"""Intent: the record, one private file that holds what would be in the cluster.

Document: {"note": ..., "objects": {resource type: {key: entry}}}. A key is `namespace/name`, or `name` for
what has no namespace. An entry's "state" is what Terraform sees. Beside it stands the "data" of a Secret, or
the merged "values" of a release.
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
    """What the record at `path` holds: objects by resource type, then by `namespace/name` (or `name`)."""
    return dict(json.loads(path.read_text())["objects"]) if path.exists() else {}


@contextmanager
def changing(path: Path) -> Iterator[Objects]:
    """Objects to change; saved, all or nothing, when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Terraform works on ten objects at a time
        objects = read(path)
        yield objects
        changed = path.with_name(f".{path.name}.changed")
        changed.touch(0o600)
        changed.write_text(json.dumps({"note": NOTE, "objects": objects}, indent=1))
        changed.replace(path)
