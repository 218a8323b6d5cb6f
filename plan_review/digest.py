"""Names of findings by their content, so that an approval can belong to findings and not to one plan.

The same change has the same name in every later plan: serials, times and the order of the plan are not in
it. A finding whose stack, resource, sentence or values differ has another name. If a value is unknown or
sensitive, the name has the configuration in its place.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from plan_review.findings import Finding
from plan_review.values import UNKNOWN, Sensitive, Unknown, parse_json

# Another way to write a finding down needs another number here: old approvals then no longer count.
_FORMAT = 1


# How the report writes values that the name of a finding can't have.
_HIDDEN = (str(UNKNOWN).rstrip(")"), str(Sensitive(None)))


def identify(stack: str, finding: Finding, configuration: str = "") -> str:
    """Return the SHA-256 of a finding's content.

    A sensitive value counts as the word that the report shows for it: a checksum of a short secret could be
    reversed by trying values.

    Args:
        stack: The stack's name.
        finding: The finding.
        configuration: Checksum of the configuration; it counts if a value is unknown or sensitive.

    """
    content = {
        "format": _FORMAT,
        "stack": stack,
        "category": finding.category.name,
        "address": finding.address,
        "text": finding.text,
        "differences": sorted(_write([item.path, item.before, item.after]) for item in finding.differences),
        "diff": finding.diff,
        "created": sorted(finding.created),
    }
    written = _write(content)
    if configuration and any(word in written for word in _HIDDEN):
        written = _write(content | {"configuration": configuration})
    return hashlib.sha256(written.encode()).hexdigest()


def combine(names: Iterable[str]) -> str:
    """Return one digest of several findings' names, in any order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def _write(value: Any) -> str:
    """Return canonical JSON."""
    return json.dumps(_spell_out(value), sort_keys=True, separators=(",", ":"))


def _spell_out(value: Any) -> Any:
    """Return a value without classes of our own; JSON in a string counts by what it says."""
    if isinstance(value, Sensitive | Unknown):
        return {type(value).__name__: str(value)}
    value = parse_json(value)
    if isinstance(value, dict):
        return {key: _spell_out(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_spell_out(part) for part in value]
    return value
