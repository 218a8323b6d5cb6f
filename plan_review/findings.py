"""What a review finds: the kinds of danger, most dangerous first, and one finding of such a kind."""

from dataclasses import dataclass
from enum import IntEnum

from plan_review.values import Difference, is_within


class Danger(IntEnum):
    """The kinds, in the order in which a report has them."""

    DESTRUCTION = 1
    ACCESS = 2
    OPENING = 3
    VERSION = 4
    TOKEN = 5
    CAPACITY = 6
    OUTPUT = 7
    CHECK = 8


TITLES = {
    Danger.DESTRUCTION: "Deleted or replaced",
    Danger.ACCESS: "Access: IAM, cluster access, policies",
    Danger.OPENING: "Network and public access",
    Danger.VERSION: "Versions: Kubernetes, add-ons, charts, images",
    Danger.TOKEN: "Tokens and other secrets",
    Danger.CAPACITY: "The most nodes that there may be",
    Danger.OUTPUT: "Outputs that others read",
    Danger.CHECK: "Checks that fail",
}


@dataclass(frozen=True)
class Finding:
    """One thing that deserves a human eye.

    Attributes:
        danger: Its kind.
        needs_approval: Whether somebody must agree to it explicitly.
        address: The resource's address, or the output's name; empty if it is about several.
        text: What happens to it, as the rest of a sentence that begins with the address.
        differences: The attributes that cause the finding.
        diff: Lines of a diff, each with `+`, `-` or a space in front: statements of a policy.
        covers: Paths of other attributes that the finding shows, with all that is in them.

    """

    danger: Danger
    needs_approval: bool
    address: str
    text: str
    differences: tuple[Difference, ...] = ()
    diff: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()

    def shows(self, path: str) -> bool:
        """Return whether a reader of the finding has seen a resource's attribute."""
        return any(
            is_within(path, seen) for seen in (*self.covers, *(item.path for item in self.differences))
        )
