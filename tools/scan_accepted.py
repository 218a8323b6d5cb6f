"""The findings that the project accepts (tools/scan_accepted.yaml), and what is left of a scan after them."""

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from plan_review.yaml_text import ERRORS, load_yaml
from stacks.errors import UserError
from stacks.settings.load import MAX_MISTAKES
from stacks.settings.messages import escape_control_characters, shorten

ScanName = Literal["stacks", "plan", "charts", "python", "node"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=40)]

ACCEPTED_FILE = Path(__file__).with_name("scan_accepted.yaml")


@dataclass(frozen=True, order=True)
class Finding:
    """One weakness that a scan has found.

    Attributes:
        check: The rule of checkov, or the advisory.
        resource: The address of a resource, a Kubernetes object as `<kind>.<namespace>.<name>`, or a package.
        title: The rule or the advisory in words.

    """

    check: str
    resource: str
    title: str


class Acceptance(BaseModel, extra="forbid", frozen=True):
    """One entry of the file, whose head says what the fields mean."""

    scans: Annotated[tuple[ScanName, ...], Field(min_length=1)]
    check: Text
    resources: Annotated[tuple[Text, ...], Field(min_length=1)]
    reason: Reason


class _AcceptedFile(BaseModel, extra="forbid"):
    accepted: list[Acceptance]


def read_accepted(file: Path) -> list[Acceptance]:
    """Return the entries of the file.

    Raises:
        UserError: If the file is wrong, with one line for each mistake.

    """
    try:
        return _AcceptedFile.model_validate(load_yaml(file.read_bytes())).accepted
    except ValidationError as error:
        lines = (
            f"{file.name}: {'.'.join(shorten(str(part)) for part in item['loc'])}: "
            f"{_show(item['input'])}: {item['msg']}"
            for item in error.errors()[:MAX_MISTAKES]
        )
        raise UserError("\n".join(map(escape_control_characters, lines))) from None
    except ERRORS as error:
        reason = escape_control_characters(shorten(" ".join(str(error).split())))
        raise UserError(f"{file.name}: not YAML: {reason}") from None


def _show(value: object) -> str:
    # Aliases of YAML can repeat the parts of a list or a map without end.
    return shorten(value if isinstance(value, str) else reprlib.repr(value))


def judge(scans: Mapping[ScanName, Iterable[Finding]], accepted: Iterable[Acceptance]) -> Iterator[str]:
    """Yield a line for each finding that is not accepted, and for each resource that is accepted for nothing.

    A scan that was not done says nothing about its entries.
    """
    accepted = list(accepted)
    for scan, findings in scans.items():
        used = set()
        for finding in sorted(set(findings)):
            entries = {
                (entry.check, pattern)
                for entry in accepted
                if scan in entry.scans and entry.check == finding.check
                for pattern in entry.resources
                if fnmatchcase(finding.resource, pattern)
            }
            used |= entries
            if not entries:
                yield f"{scan}: {finding.check} {finding.resource}: {finding.title}"
        for entry in accepted:
            for pattern in entry.resources:
                if scan in entry.scans and (entry.check, pattern) not in used:
                    yield (
                        f"{scan}: {ACCEPTED_FILE.name} accepts {entry.check} {pattern}, which the scan "
                        "does not find. Remove it."
                    )
