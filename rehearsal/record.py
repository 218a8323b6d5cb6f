"""Intent: the record, one private file that holds what would be in the cluster.

Document: {"note": ..., "revision": counter, "objects": {resource type: {key: {"state": ..., ...}}}}. A key is
`namespace/name`, or `name` for what has no namespace. "state" is what Terraform sees; beside it a Secret
holds its "data" (text by key) and "binary_data" (base64 by key), a release its merged "values" and its
rendered "manifest".
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NOTE = "Rehearsed, not deployed"

Objects = dict[str, dict[str, dict[str, Any]]]


class Record:
    """The file behind both stand-ins: Terraform works on ten objects at a time, in several processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def objects(self) -> Objects:
        """Everything recorded, by resource type and key."""
        objects: Objects = self._document()["objects"]
        return objects

    @contextmanager
    def changing(self) -> Iterator[tuple[Objects, int]]:
        """Objects to change and this change's revision; saved when the block ends without an error."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            document = self._document()
            document["revision"] += 1
            yield document["objects"], document["revision"]
            self._write(document)
        finally:
            os.close(lock)

    def _document(self) -> dict[str, Any]:
        with suppress(FileNotFoundError):
            document: dict[str, Any] = json.loads(self._path.read_text())
            return document
        return {"note": NOTE, "revision": 0, "objects": {}}

    def _write(self, document: dict[str, Any]) -> None:
        # mkstemp creates the file readable by its owner only; the rename makes the change all or nothing.
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(document, file, indent=1)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def read(path: Path) -> Objects:
    """What the record at `path` holds: objects by resource type, then by `namespace/name` (or `name`)."""
    return Record(path).objects()
