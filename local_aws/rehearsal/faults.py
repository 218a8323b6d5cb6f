"""Faults: operations that the stand-ins carry out only half, and then report as failed.

A file beside the record orders them: {resource type: {key: operation}}. For the record of the demo it is
`.work/rehearsal-faults.json`. The operation is create, read, update or delete; the key is that of the record.
The fault lasts until the file no longer has it. provider.py has what each operation leaves behind.
"""

import json
from pathlib import Path

from local_aws.rehearsal.planning import RefusedError


class Faults:
    """The faults of one record."""

    def __init__(self, record: Path) -> None:
        self._file = record.with_name(f"{record.stem}-faults.json")

    def ordered(self, kind: str, key: str, operation: str) -> bool:
        """Say whether this operation on the object is to fail."""
        faults = json.loads(self._file.read_text()) if self._file.exists() else {}
        return bool(faults.get(kind, {}).get(key) == operation)

    def error(self, kind: str, key: str, operation: str) -> RefusedError:
        """Return the error that Terraform reports."""
        return RefusedError(f"{operation} of {kind} {key} failed half-way", f"{self._file.name} orders it.")
