"""The file and line that a finding is shown at in a merge request, and its name there.

A plan does not say where a resource is written. So the command that makes the review passes the places.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from plan_review.accepted import Acceptance
from plan_review.digest import combine, identify
from plan_review.findings import TITLES, Finding
from plan_review.review import Review
from plan_review.values import escape_invisible

MAX_TEXT_LENGTH = 1000


@dataclass(frozen=True)
class Location:
    """A place in a file of the repository.

    Attributes:
        path: The file's path in the repository.
        line: The line, from 1.

    """

    path: str
    line: int = 1


Locate = Callable[[str, Finding], Location]
"""(stack, finding) -> the place"""


@dataclass(frozen=True)
class Located:
    """A finding at its place.

    Attributes:
        stack: The stack's name.
        finding: The finding.
        location: Its place.
        fingerprint: A name that stays the same in the next plan, and that no other finding has.
        acceptance: The entry that accepts the finding, if there is one.

    """

    stack: str
    finding: Finding
    location: Location
    fingerprint: str
    acceptance: Acceptance | None

    @property
    def text(self) -> str:
        """The finding in one line."""
        finding = self.finding
        title = TITLES[finding.category].partition(":")[0]
        words = " ".join(f"{finding.address} {finding.text}".split())
        approval = " Needs an approval." if finding.needs_approval else ""
        text = escape_invisible(f"{title}: {self.stack}: {words}")
        return (text if len(text) <= MAX_TEXT_LENGTH else f"{text[:MAX_TEXT_LENGTH]}…") + f".{approval}"


def locate_findings(review: Review, locate: Locate) -> Iterator[Located]:
    """Yield each finding of a review at its place, with the accepted ones."""
    seen: Counter[str] = Counter()
    for stack in review.stacks:
        for finding in stack.findings:
            location = locate(stack.name, finding)
            # The path tells environments apart; the number tells equal findings apart, such as two checks.
            name = combine([location.path, identify(stack.name, finding)])
            seen[name] += 1
            fingerprint = name if seen[name] == 1 else combine([name, str(seen[name])])
            yield Located(stack.name, finding, location, fingerprint, review.accepted.find(finding))
