"""Totals, findings and exit status of a set of plans."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from plan_review import (
    access,
    actions,
    capacity,
    created,
    deferred,
    destruction,
    escalation,
    exposure,
    outputs,
    rbac,
    refusals,
    safety,
    tokens,
    versions,
    workloads,
)
from plan_review.accepted import Acceptance, Accepted
from plan_review.digest import combine, identify
from plan_review.exit_status import ExitStatus
from plan_review.findings import Category, Finding
from plan_review.plan import Change, Plan
from plan_review.values import Difference, escape_invisible

_TELLING_DELETION = (Category.ACCESS, Category.WORKLOAD, Category.SAFETY, Category.AUDIT)
ACTIONS = ("create", "update", "replace", "delete", "import", "move", "forget")


@dataclass(frozen=True)
class PlannedStack:
    """One stack of a review.

    Attributes:
        name: The stack's name, or the plan file's.
        plan: Its plan; None if there is none.
        note: A remark on the plan, or the reason why there is none.
        failed: Whether planning it failed.

    """

    name: str
    plan: Plan | None
    note: str = ""
    failed: bool = False

    @cached_property
    def totals(self) -> dict[str, int]:
        """Number of resources for each action of `ACTIONS`."""
        counted: Counter[str] = Counter()
        for change in self.plan.changes if self.plan else ():
            counted[change.action] += 1
            counted["import"] += change.importing
            counted["move"] += bool(change.previous_address)
        return {action: counted[action] for action in ACTIONS}

    @cached_property
    def has_changes(self) -> bool:
        """Whether applying the plan does anything."""
        plan = self.plan
        return plan is not None and bool(plan.changes or plan.output_changes or plan.actions)

    @cached_property
    def findings(self) -> list[Finding]:
        """The changes that a reviewer should see, in the order of the plan."""
        return list(_find_all(self.plan)) if self.plan else []


@dataclass(frozen=True)
class Review:
    """A review of the plans of one or several stacks.

    Attributes:
        title: The title of the report.
        stacks: The stacks, in the order of the report.
        facts: Names and values that the report shows below the title, such as account, region and commit.
        accepted: The findings that the project accepts: they are not among the findings here.

    """

    title: str
    stacks: Sequence[PlannedStack] = field(default_factory=tuple)
    facts: Mapping[str, str] = field(default_factory=dict)
    accepted: Accepted = field(default_factory=Accepted)

    def findings_of(self, category: Category) -> list[tuple[str, Finding]]:
        """Return the findings of a category with their stacks' names, those that need an approval first."""
        found = [
            (stack.name, item)
            for stack in self.stacks
            for item in stack.findings
            if item.category == category and not self.accepted.find(item)
        ]
        return sorted(found, key=lambda pair: not pair[1].needs_approval)

    @property
    def findings(self) -> list[Finding]:
        """All findings that the project does not accept."""
        return [item for stack in self.stacks for item in stack.findings if not self.accepted.find(item)]

    @property
    def accepted_findings(self) -> list[tuple[str, Finding, Acceptance]]:
        """The findings that the project accepts, with their stacks' names and with the entries."""
        return [
            (stack.name, item, entry)
            for stack in self.stacks
            for item in stack.findings
            if (entry := self.accepted.find(item))
        ]

    @cached_property
    def dangers(self) -> dict[str, dict[str, str]]:
        """By stack: the digest of each finding that needs an approval, with the finding in words."""
        return {
            stack.name: {
                identify(
                    stack.name, item, stack.plan.configuration_sha256 if stack.plan else ""
                ): escape_invisible(f"{item.address} {item.text}".strip())
                for item in stack.findings
                if item.needs_approval and not self.accepted.find(item)
            }
            for stack in self.stacks
        }

    @cached_property
    def digest(self) -> str:
        """The digest of all findings that need an approval; empty if there are none."""
        names = [name for found in self.dangers.values() for name in found]
        return combine(names) if names else ""

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status of a command that writes the review."""
        if any(stack.failed for stack in self.stacks):
            return ExitStatus.ERROR
        if not any(stack.has_changes for stack in self.stacks):
            return ExitStatus.NO_CHANGES
        if any(item.needs_approval for item in self.findings):
            return ExitStatus.APPROVAL
        return ExitStatus.CHANGES

    @property
    def gitlab_report(self) -> dict[str, int]:
        """GitLab's Terraform report (`artifacts:reports:terraform`), of all stacks together.

        A replacement counts as a creation and a deletion, as in GitLab's own recipe ("Terraform
        integration in merge requests").
        """
        counted: Counter[str] = Counter()
        for stack in self.stacks:
            counted.update(stack.totals)
        return {
            "create": counted["create"] + counted["replace"],
            "update": counted["update"],
            "delete": counted["delete"] + counted["replace"],
        }


def _find_all(plan: Plan) -> Iterator[Finding]:
    for change in plan.changes:
        yield from _find_in_change(change, plan)
    yield from refusals.find(plan)
    yield from capacity.find(plan.resources)
    for action in plan.actions:
        yield from actions.find(action)
    for output in plan.output_changes:
        yield from outputs.find(output)
    for message in plan.failed_checks:
        yield Finding(Category.CHECK, needs_approval=False, address="", text=message)
    for item in plan.deferred:
        yield from deferred.find(item)


def _find_in_change(change: Change, plan: Plan) -> Iterator[Finding]:
    found = [
        finding
        for category in (escalation, rbac, access, exposure, versions, tokens, workloads)
        for finding in category.find(change)
    ]
    found += safety.find(change, plan.changes)
    # Such a finding says that the resource is deleted, and what that means.
    is_told = change.action == "delete" and any(finding.category in _TELLING_DELETION for finding in found)
    for finding in destruction.find(change, plan.changes):
        if finding.needs_approval or not is_told:
            yield finding
    yield from found


def other_changes(stack: PlannedStack) -> list[tuple[Change, list[Difference]]]:
    """Return the changes of a stack, each with the attributes that no finding shows."""
    by_address: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in stack.findings:
        for address in {finding.address, *(address for address, _ in finding.covers)}:
            by_address[address].append(finding)
    left = []
    for change in stack.plan.changes if stack.plan else ():
        findings = by_address[change.address]
        has_finding = any(finding.address == change.address for finding in findings)
        if change.action == "create" and not has_finding:
            findings = []  # a created resource is shown as a whole
        attributes = _list_attributes(change)
        items = [
            item
            for item in attributes
            if not any(finding.shows(change.address, item.path) for finding in findings)
        ]
        is_shown = has_finding or (attributes and not items)
        if items or not is_shown or change.previous_address or change.importing:
            left.append((change, items))
    return left


def _list_attributes(change: Change) -> list[Difference]:
    if change.action == "create":
        return created.list_attributes(change)
    if change.action not in ("update", "replace"):
        return []
    # `tags_all` repeats `tags`, with the provider's default tags.
    tags = {(item.path.removeprefix("tags"), str(item.after)) for item in change.differences}
    return [
        item
        for item in change.differences
        if (item.path.removeprefix("tags_all"), str(item.after)) not in tags
        or not item.path.startswith("tags_all")
    ]
