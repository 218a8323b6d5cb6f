"""Write a review as Markdown for a merge request (GitLab Flavored Markdown).

Whatever comes from a plan stands in code: nothing in it can be taken for Markdown, a mention or a
quick action.
"""

import difflib
import html
import itertools
import json
import operator
import re
from collections.abc import Iterator, Sequence
from typing import Any

from plan_review.findings import TITLES, Danger, Finding
from plan_review.plan import Change
from plan_review.review import ACTIONS, CHANGES, ERROR, NOTHING, PlannedStack, Review, rest
from plan_review.values import Difference, Sensitive, Unknown

# A comment of GitLab's holds a million characters; a reader's patience, fewer.
LONGEST_VALUE = 200
LONGEST_LINE = 500
LONGEST_TEXT = 60
LONGEST_POLICY = 400
MOST_ATTRIBUTES = 50
MOST_RESOURCES = 300
# From so many lines on, finding what differs takes too long.
LONGEST_COMPARED = 5000

RED, ORANGE = "🔴", "🟠"

_SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "forget": "forget", "no-op": "="}
_VERDICTS = {
    NOTHING: "✅ Nothing to do.",
    ERROR: "❌ Not every stack could be planned.",
    CHANGES: "Changes, none of which needs an explicit approval.",
}


def write(review: Review) -> str:
    """Return the whole report."""
    return "\n".join([*_head(review), *_findings(review), *_rest(review), *_drift(review)]).rstrip() + "\n"


def _head(review: Review) -> Iterator[str]:
    yield f"# {_escaped(review.title)}"
    yield ""
    approvals = sum(item.needs_approval for item in review.findings)
    others = len(review.findings) - approvals
    verdict = [_VERDICTS[review.exit_status]] if review.exit_status in _VERDICTS else []
    if approvals:
        noun = "change needs" if approvals == 1 else "changes need"
        verdict.append(f"{RED} **{approvals} {noun} an explicit approval**.")
    if others:
        verdict.append(f"{ORANGE} {others} {'more ' if approvals else ''}to look at.")
    yield " ".join(verdict)
    yield ""
    shown = [
        action for action in ACTIONS if action in _ALWAYS or any(s.totals[action] for s in review.stacks)
    ]
    yield f"| stack | {' | '.join(shown)} | |"
    yield f"| --- | {' | '.join('--:' for _ in shown)} | --- |"
    for stack in review.stacks:
        numbers = [str(stack.totals[action]) if stack.plan else "-" for action in shown]
        name = _code(stack.name).replace("|", r"\|")
        yield f"| {name} | {' | '.join(numbers)} | {_escaped(_note(stack))} |"
    yield ""


_ALWAYS = ("create", "update", "replace", "delete")


def _note(stack: PlannedStack) -> str:
    notes = [stack.note.splitlines()[0] if stack.note else ""]
    if stack.plan and not stack.has_changes:
        notes.append("no changes")
    elif stack.plan and not stack.plan.changes:
        notes.append("only outputs")
    if stack.plan and not stack.plan.complete:
        notes.append("incomplete: Terraform deferred a part")
    return ". ".join(note for note in notes if note)


def _findings(review: Review) -> Iterator[str]:
    for stack in review.stacks:
        if stack.failed:
            yield f"## {RED} {_code(stack.name)} could not be planned"
            yield ""
            yield from _message(stack.note.splitlines())
    for mark, danger, found in sorted(_sections(review), key=lambda section: section[0] != RED):
        yield f"## {mark} {TITLES[danger]}"
        yield ""
        for name, finding in found[:MOST_RESOURCES]:
            yield from _finding(finding, name if len(review.stacks) > 1 else "")
        if len(found) > MOST_RESOURCES:
            approvals = sum(finding.needs_approval for _, finding in found[MOST_RESOURCES:])
            yield f"… and {len(found) - MOST_RESOURCES} more, of which {approvals} need an explicit approval"
            yield ""


def _sections(review: Review) -> Iterator[tuple[str, Danger, list[tuple[str, Finding]]]]:
    for danger in Danger:
        found = review.of(danger)
        if found:
            yield RED if found[0][1].needs_approval else ORANGE, danger, found


def _finding(finding: Finding, stack: str) -> Iterator[str]:
    mark = RED if finding.needs_approval else ORANGE
    where = f" ({_code(stack)})" if stack else ""
    subject = f" **{_code(finding.address)}**{where}" if finding.address else where
    # A check's message is not ours.
    text = _code(" ".join(finding.text.split())) if finding.danger == Danger.CHECK else finding.text
    yield f"{mark}{subject} {text}"
    yield ""
    if finding.differences:
        forces = finding.danger == Danger.DESTRUCTION
        yield from _attributes(finding.differences, "forces the replacement" if forces else "")
    if finding.diff:
        yield from _fenced(_cut(finding.diff, LONGEST_POLICY), "diff")


def _attributes(items: Sequence[Difference], remark: str) -> Iterator[str]:
    remark = f" *{remark}*" if remark else ""
    blocks: list[Difference] = []
    for item in items[:MOST_ATTRIBUTES]:
        if _is_text(item.before) or _is_text(item.after):
            blocks.append(item)
        else:
            yield f"- {_code(item.path) if item.path else 'value'}: {_change(item)}{remark}"
    if len(items) > MOST_ATTRIBUTES:
        yield f"- … and {len(items) - MOST_ATTRIBUTES} more"
    yield ""
    for item in blocks:
        yield f"{_code(item.path)}{remark}:"
        yield ""
        yield from _fenced(_cut(_text_diff(item), LONGEST_TEXT), "diff")


def _change(item: Difference) -> str:
    if item.before is None:
        return f"added {_value(item.after)}"
    if item.after is None:
        return f"removed {_value(item.before)}"
    before, after = _plain(item.before), _plain(item.after)
    # Of two long values, that part is shown in which they differ.
    start = 0
    if max(len(before), len(after)) > LONGEST_VALUE:
        alike = itertools.takewhile(bool, map(operator.eq, before, after))
        start = max(len(list(alike)) - LONGEST_VALUE // 4, 0)
    return f"{_shortened(before, start)} → {_shortened(after, start)}"


def _value(value: Any) -> str:
    return _shortened(_plain(value), 0)


def _shortened(text: str, start: int) -> str:
    end = start + LONGEST_VALUE
    return _code(("…" if start else "") + text[start:end] + ("…" if text[end:] else ""))


def _plain(value: Any) -> str:
    if isinstance(value, str | Sensitive | Unknown):
        return str(value) or '""'
    return json.dumps(value, ensure_ascii=False, default=str)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value.splitlines()) > 1


def _text_diff(item: Difference) -> list[str]:
    before, after = ([] if side is None else _plain(side).splitlines() for side in (item.before, item.after))
    if max(len(before), len(after)) > LONGEST_COMPARED:
        return [f"- {len(before)} lines", f"+ {len(after)} lines, too many to compare here"]
    lines = difflib.unified_diff(before, after, lineterm="", n=2)
    return [line for line in list(lines)[2:] if not line.startswith("@@")]


def _cut(lines: Sequence[str], most: int) -> list[str]:
    long = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…" for line in lines]
    return long if len(long) <= most else [*long[:most], f"… and {len(long) - most} lines"]


def _rest(review: Review) -> Iterator[str]:
    for stack in review.stacks:
        changes = rest(stack)
        complaint = stack.note.splitlines()[1:]
        if complaint and not stack.failed:
            yield from _folded(stack.name, "Terraform's message", _message(complaint))
        if changes:
            noun = "change" if len(changes) == 1 else "changes"
            yield from _folded(stack.name, f"{len(changes)} other {noun}", _listed(changes))


def _drift(review: Review) -> Iterator[str]:
    for stack in review.stacks:
        drifted = [change for change in stack.plan.drift if change.differences] if stack.plan else []
        if drifted:
            yield from _folded(
                stack.name,
                "not as the last apply left it: changed elsewhere, or filled in after a creation",
                _listed([(item, item.differences if item.action == "update" else []) for item in drifted]),
            )


def _folded(stack: str, title: str, lines: Iterator[str]) -> Iterator[str]:
    # GitLab reads no Markdown in this line.
    yield f"<details><summary><code>{html.escape(_visible(stack))}</code>: {title}</summary>"
    yield ""
    yield from lines
    yield ""
    yield "</details>"
    yield ""


def _listed(changes: Sequence[tuple[Change, Sequence[Difference]]]) -> Iterator[str]:
    for change, items in changes[:MOST_RESOURCES]:
        remarks = [f"moved from {_code(change.previous_address)}"] if change.previous_address else []
        remarks += ["imported"] if change.importing else []
        sign = _SIGNS.get(change.action, change.action)
        yield " ".join([f"**{sign}**", _code(change.address), *remarks])
        yield ""
        if items:
            yield from _attributes(items, "")
    if len(changes) > MOST_RESOURCES:
        yield f"… and {len(changes) - MOST_RESOURCES} more"


def _message(lines: Sequence[str]) -> Iterator[str]:
    # Indented: no line of Terraform's can be taken for a quick action.
    yield from _fenced([f"  {line}" for line in lines], "")


def _visible(text: str) -> str:
    """Return a text with what can't be seen, or turns text around, written as Python writes it."""
    return "".join(
        sign if sign.isprintable() or sign == "\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def _code(text: str) -> str:
    """Return a text as a code span that nothing in it can end."""
    flat = _visible(text) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    space = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{space}{flat}{space}{fence}"


def _fenced(lines: Sequence[str], language: str) -> Iterator[str]:
    lines = [_visible(line) for line in lines]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{language}"
    yield from lines
    yield fence
    yield ""


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|@#~!%&$])", r"\\\1", _visible(text))
