"""One finding of a review, and the categories of findings, most dangerous first."""

from dataclasses import dataclass
from enum import IntEnum

from plan_review.values import Difference, is_within


class Category(IntEnum):
    """The categories, in the order of the report."""

    REFUSAL = 0
    DESTRUCTION = 1
    ACTION = 2
    ESCALATION = 3
    ACCESS = 4
    EXPOSURE = 5
    SAFETY = 6
    AUDIT = 7
    VERSION = 8
    TOKEN = 9
    CAPACITY = 10
    WORKLOAD = 11
    OUTPUT = 12
    CHECK = 13
    DEFERRED = 14


TITLES = {
    Category.REFUSAL: "The apply will fail",
    Category.DESTRUCTION: "Deleted or replaced",
    Category.ACTION: "Actions that the apply runs",
    Category.ESCALATION: "Ways to more rights",
    Category.ACCESS: "Access: IAM, cluster access, policies",
    Category.EXPOSURE: "Network and public access",
    Category.SAFETY: "Safety net: deletion protection, backups, encryption",
    Category.AUDIT: "Logs and audit trails",
    Category.VERSION: "Versions: Kubernetes, add-ons, charts, images",
    Category.TOKEN: "Tokens and other secrets",
    Category.CAPACITY: "Number of nodes",
    Category.WORKLOAD: "Jobs: concurrency, privileges, protection from eviction",
    Category.OUTPUT: "Outputs that other projects read",
    Category.CHECK: "Failed checks",
    Category.DEFERRED: "Deferred to a later plan",
}


@dataclass(frozen=True)
class Finding:
    """One change that a reviewer should see.

    Attributes:
        category: Its category.
        needs_approval: Whether somebody must approve it explicitly.
        address: The resource's address, or the output's name; empty if the finding is about several.
        text: The rest of a sentence that begins with the address.
        differences: The attributes that cause the finding.
        diff: Lines of a diff, each of which begins with `+`, `-` or a space: statements of a policy.
        covers: Further attributes that the finding shows, each as address and path.
        created: Addresses of resources of the same type that the plan creates.

    """

    category: Category
    needs_approval: bool
    address: str
    text: str
    differences: tuple[Difference, ...] = ()
    diff: tuple[str, ...] = ()
    covers: tuple[tuple[str, str], ...] = ()
    created: tuple[str, ...] = ()

    def shows(self, address: str, path: str) -> bool:
        """Return whether the finding shows an attribute of a resource."""
        own = ((self.address, item.path) for item in self.differences)
        return any(address == other and is_within(path, seen) for other, seen in (*own, *self.covers))
