"""What a set of plans comes to: totals, findings, and the status that a pipeline can gate on."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from plan_review import access, capacity, destruction, exposure, outputs, tokens, versions
from plan_review.findings import Danger, Finding
from plan_review.plan import Change, Plan
from plan_review.values import Difference

NOTHING, ERROR, CHANGES, APPROVAL = 0, 1, 2, 3
ACTIONS = ("create", "update", "replace", "delete", "import", "move", "forget")


@dataclass(frozen=True)
class PlannedStack:
    """One stack of a review.

    Attributes:
        name: The stack's name, or the plan file's.
        plan: Its plan; None if there is none.
        note: What a reader must know of the plan, or why there is none.
        failed: Whether planning it failed.

    """

    name: str
    plan: Plan | None
    note: str = ""
    failed: bool = False

    @cached_property
    def totals(self) -> dict[str, int]:
        """How many resources each action of `ACTIONS` is done to."""
        counted: Counter[str] = Counter()
        for change in self.plan.changes if self.plan else ():
            counted[change.action] += 1
            counted["import"] += change.importing
            counted["move"] += bool(change.previous_address)
        return {action: counted[action] for action in ACTIONS}

    @cached_property
    def has_changes(self) -> bool:
        """Whether applying the plan does anything."""
        return self.plan is not None and bool(self.plan.changes or self.plan.output_changes)

    @cached_property
    def findings(self) -> list[Finding]:
        """What deserves a human eye, in the order of the plan."""
        return list(_find(self.plan)) if self.plan else []


@dataclass(frozen=True)
class Review:
    """A review of the plans of one or several stacks."""

    title: str
    stacks: Sequence[PlannedStack] = field(default_factory=tuple)

    def of(self, danger: Danger) -> list[tuple[str, Finding]]:
        """Return the findings of one kind with their stacks' names, those that need an approval first."""
        found = [
            (stack.name, item) for stack in self.stacks for item in stack.findings if item.danger == danger
        ]
        return sorted(found, key=lambda pair: not pair[1].needs_approval)

    @property
    def findings(self) -> list[Finding]:
        """All findings."""
        return [item for stack in self.stacks for item in stack.findings]

    @property
    def exit_status(self) -> int:
        """0 nothing to do, 2 changes, 3 changes that need an explicit approval, 1 error."""
        if any(stack.failed for stack in self.stacks):
            return ERROR
        if not any(stack.has_changes for stack in self.stacks):
            return NOTHING
        return APPROVAL if any(item.needs_approval for item in self.findings) else CHANGES

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


def _find(plan: Plan) -> Iterator[Finding]:
    for change in plan.changes:
        for kind in (destruction, access, exposure, versions, tokens):
            yield from kind.find(change)
    yield from capacity.find(plan.resources)
    for output in plan.output_changes:
        yield from outputs.find(output)
    for message in plan.failed_checks:
        yield Finding(Danger.CHECK, needs_approval=False, address="", text=message)


def rest(stack: PlannedStack) -> list[tuple[Change, list[Difference]]]:
    """Return the changes of a stack, each with its attributes, without what a finding has shown."""
    found: defaultdict[str, list[Finding]] = defaultdict(list)
    for item in stack.findings:
        found[item.address].append(item)
    left = []
    for change in stack.plan.changes if stack.plan else ():
        findings = found[change.address]
        changed = change.differences if change.action in ("update", "replace") else []
        items = [
            item
            for item in changed
            if not capacity.shows(change, item.path)
            and not any(finding.shows(item.path) for finding in findings)
        ]
        is_seen = findings or (changed and not items)
        if items or not is_seen or change.previous_address or change.importing:
            left.append((change, items))
    return left
