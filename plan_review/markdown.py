"""Write a review as Markdown for a merge request (GitLab Flavored Markdown) or for a terminal.

Every string of a plan is written as code, or escaped within a sentence, so that GitLab never takes it for
Markdown, a mention or a quick action.
"""

import difflib
import html
import itertools
import json
import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plan_review import money
from plan_review.drift import split_drift
from plan_review.exit_status import ExitStatus
from plan_review.findings import TITLES, Category, Finding
from plan_review.parts import find_wholes
from plan_review.plan import Change
from plan_review.review import ACTIONS, PlannedStack, Review, other_changes
from plan_review.values import Difference, Sensitive, Unknown, escape_invisible
from prices.table import PriceTable

# Limits that keep the report readable.
MAX_VALUE_LENGTH = 200
MAX_LINE_LENGTH = 500
MAX_TEXT_LINES = 60
MAX_POLICY_LINES = 400
MAX_ATTRIBUTES = 50
MAX_RESOURCES = 300
MAX_CREATED = 10
# Limits of the summary, which is read in a minute.
MAX_SUMMARY_LINES = 10
MAX_SUMMARY_ADDRESSES = 3
MAX_SUMMARY_VALUES = 2
MAX_SUMMARY_VALUE_LENGTH = 60
# Longer texts take too long to compare.
MAX_COMPARED_LINES = 5000

RED, ORANGE = "🔴", "🟠"

_SYMBOLS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "forget": "forget", "no-op": "="}
_VERDICTS = {
    ExitStatus.NO_CHANGES: "✅ Nothing to do.",
    ExitStatus.ERROR: "❌ Not every stack could be planned.",
    ExitStatus.CHANGES: "Changes, none of which needs an explicit approval.",
}
_ALWAYS_COUNTED = ("create", "update", "replace", "delete")


def write(review: Review, *, prices: PriceTable | None = None, folded: bool = True) -> str:
    """Return the whole report.

    Args:
        review: The review.
        prices: The prices of the cost; by default this project's table.
        folded: Whether less important parts are folded, for GitLab; a terminal gets headings instead.

    """
    cost = money.estimate(
        (stack.plan for stack in review.stacks if stack.plan),
        prices,
        unplanned=[stack.name for stack in review.stacks if not stack.plan],
    )
    cost_line = money.write_line(cost)
    parts = [
        *_list_findings(review),
        *_list_accepted(review),
        *_list_other_changes(review),
        *_list_drift(review),
    ]
    lines = [*_write_head(review), *_write_failures(review)]
    if cost_line:
        lines += [cost_line, ""]
        parts.append(_Part("", "cost a month, floor to ceiling", [*money.write_table(cost, _format_code)]))
    write_part = _write_folded if folded else _write_headed
    lines += _write_summary(review)
    for part in parts:
        lines += write_part(part)
    return "\n".join(lines).rstrip() + "\n"


@dataclass(frozen=True)
class _Part:
    """A part of the report that is folded in a merge request.

    Attributes:
        stack: The stack that it is about; empty if it is about all of them.
        title: Its title, without strings of a plan.
        lines: Its lines.

    """

    stack: str
    title: str
    lines: Sequence[str]


@dataclass(frozen=True)
class _Entry:
    """A resource in a list. Entries that differ only in the subject are written once.

    Attributes:
        subject: The resource's address, as code; may be empty.
        before: The words before the subject.
        after: The words after the subject.
        body: The lines below.

    """

    subject: str
    before: str
    after: str
    body: tuple[str, ...]


def _write_head(review: Review) -> Iterator[str]:
    yield f"# {_escape_markdown(review.title)}"
    yield ""
    approvals = sum(item.needs_approval for item in review.findings)
    others = len(review.findings) - approvals
    verdict = [_VERDICTS[review.exit_status]] if review.exit_status in _VERDICTS else []
    if approvals:
        noun = "change needs" if approvals == 1 else "changes need"
        verdict.append(f"{RED} **{approvals} {noun} an explicit approval**.")
    if others:
        verdict.append(f"{ORANGE} {others} {'more ' if approvals else ''}to look at.")
    accepted = len(review.accepted_findings)
    if accepted:
        verdict.append(f"{accepted} accepted.")
    yield " ".join(verdict)
    yield ""
    if review.digest:
        yield f"Digest of what needs an approval: {_format_code(review.digest)}"
        yield ""
    if review.facts:
        yield ", ".join(f"{name} {_format_code(value)}" for name, value in review.facts.items())
        yield ""
    counted = [
        action
        for action in ACTIONS
        if action in _ALWAYS_COUNTED or any(stack.totals[action] for stack in review.stacks)
    ]
    yield f"| stack | {' | '.join(counted)} | |"
    yield f"| --- | {' | '.join('--:' for _ in counted)} | --- |"
    for stack in review.stacks:
        numbers = [str(stack.totals[action]) if stack.plan else "-" for action in counted]
        name = _format_code(stack.name).replace("|", r"\|")
        yield f"| {name} | {' | '.join(numbers)} | {_escape_markdown(_describe_stack(stack))} |"
    yield ""


def _describe_stack(stack: PlannedStack) -> str:
    notes = [stack.note.splitlines()[0] if stack.note else ""]
    if stack.plan and not stack.has_changes:
        notes.append("no changes")
    elif stack.plan and stack.plan.resources and all(c.action == "create" for c in stack.plan.resources):
        notes.append("first deployment")
    elif stack.plan and not stack.plan.changes:
        notes.append("only actions" if stack.plan.actions else "only outputs")
    if stack.plan and not stack.plan.complete:
        notes.append("incomplete: Terraform deferred a part")
    return ". ".join(note for note in notes if note)


def _write_failures(review: Review) -> Iterator[str]:
    for stack in review.stacks:
        if stack.failed:
            yield f"## {RED} {_format_code(stack.name)} could not be planned"
            yield ""
            yield from _write_message(stack.note.splitlines())


def _write_summary(review: Review) -> Iterator[str]:
    """Write a few lines for each stack, most dangerous first."""
    for stack in review.stacks:
        groups = _group_findings(stack, [item for item in stack.findings if not review.accepted.find(item)])
        if not groups:
            continue
        yield f"**{_format_code(stack.name)}**"
        yield ""
        shown = len(groups) if len(groups) <= MAX_SUMMARY_LINES else MAX_SUMMARY_LINES - 1
        for words, found in groups[:shown]:
            icon = RED if any(item.needs_approval for item in found) else ORANGE
            yield f"- {icon} {_summarize(words, found)}"
        if len(groups) > shown:
            yield f"- … and {len(groups) - shown} more, below"
        yield ""


@dataclass(frozen=True)
class _Whole:
    """A created resource that is one line with its parts."""

    address: str


def _group_findings(
    stack: PlannedStack, found: Sequence[Finding]
) -> list[tuple[_Whole | tuple[str, str], list[Finding]]]:
    """Return the findings that are one line each: equal ones, or those of a resource with its parts."""
    wholes = find_wholes(stack.plan.changes if stack.plan else ())
    with_parts = set(wholes.values())
    groups: dict[_Whole | tuple[str, str], list[Finding]] = {}
    for item in sorted(found, key=lambda item: (not item.needs_approval, item.category)):
        whole = wholes.get(item.address, item.address)
        is_part = item.category == Category.ACCESS and whole in with_parts
        groups.setdefault(_Whole(whole) if is_part else _write_line(item), []).append(item)
    return list(groups.items())


def _summarize(words: _Whole | tuple[str, str], found: Sequence[Finding]) -> str:
    """Return one line for findings that belong together."""
    addresses = list(dict.fromkeys(item.address for item in found if item.address))
    if isinstance(words, _Whole):
        parts = [address for address in addresses if address != words.address]
        belongs = f", with what belongs to it: {_list_some(parts)}" if parts else ""
        return f"{_get_short_title(Category.ACCESS)}: {_format_code(words.address)} is created{belongs}"
    title, text = words
    subject = f"{_list_some(addresses)}: each" if len(addresses) > 1 else _list_some(addresses)
    return " ".join(filter(None, (f"{title}:", subject, text)))


def _write_line(finding: Finding) -> tuple[str, str]:
    """Return the category and the sentence of a finding without its address, short enough for one line."""
    text = _write_text(finding, MAX_VALUE_LENGTH)
    more = [_shorten(item) for item in finding.differences[:MAX_SUMMARY_VALUES]]
    more += ["…"] if len(finding.differences) > MAX_SUMMARY_VALUES else []
    changed = Counter(line[0] for line in finding.diff if line[0] in "+-")
    more += (
        [" ".join(f"{sign}{changed[sign]}" for sign in "+-" if changed[sign]) + " lines"] if changed else []
    )
    return _get_short_title(finding.category), text + (f" ({', '.join(more)})" if more else "")


def _shorten(item: Difference) -> str:
    before, after = (
        "" if side is None else _format_code(_cut_text(_format_plain(side), MAX_SUMMARY_VALUE_LENGTH))
        for side in (item.before, item.after)
    )
    path = _format_code(_cut_text(item.path, MAX_SUMMARY_VALUE_LENGTH)) if item.path else "value"
    return f"{path} {before} → {after}" if before and after else f"{path} {after or f'{before} removed'}"


def _list_some(addresses: Sequence[str]) -> str:
    shown = ", ".join(map(_format_code, addresses[:MAX_SUMMARY_ADDRESSES]))
    more = len(addresses) - MAX_SUMMARY_ADDRESSES
    return f"{shown} and {more} more" if more > 0 else shown


def _get_short_title(category: Category) -> str:
    return TITLES[category].partition(":")[0]


def _cut_text(text: str, most: int = MAX_VALUE_LENGTH) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _list_findings(review: Review) -> Iterator[_Part]:
    sections = [(category, review.findings_of(category)) for category in Category]
    # A stable sort: sections that need an approval come first.
    for category, found in sorted(sections, key=lambda section: not _needs_approval(section[1])):
        if not found:
            continue
        several = len(review.stacks) > 1
        lines = [
            *_write_entries(
                _build_finding_entry(finding, name if several else "")
                for name, finding in found[:MAX_RESOURCES]
            )
        ]
        if len(found) > MAX_RESOURCES:
            approvals = sum(finding.needs_approval for _, finding in found[MAX_RESOURCES:])
            lines.append(
                f"… and {len(found) - MAX_RESOURCES} more, of which {approvals} need an explicit approval"
            )
        yield _Part(
            "", f"{RED if _needs_approval(found) else ORANGE} {TITLES[category]} ({len(found)})", lines
        )


def _list_accepted(review: Review) -> Iterator[_Part]:
    """Yield the accepted findings, and the entries that are of no use."""
    found = review.accepted_findings
    used = {id(entry) for _, _, entry in found}
    expired = review.accepted.expired
    unused = [item for item in review.accepted.entries if id(item) not in used and item not in expired]
    if not found and not expired and not unused:
        return
    lines: list[str] = []
    several = len(review.stacks) > 1
    for name, finding, entry in found[:MAX_RESOURCES]:
        written = _build_finding_entry(finding, name if several else "")
        reason = f"accepted until {entry.until}: {_format_code(entry.reason)}"
        lines += _write_entries([replace(written, before="✓", after=f"{written.after}; {reason}")])
    if len(found) > MAX_RESOURCES:
        lines += [f"… and {len(found) - MAX_RESOURCES} more", ""]
    remarks = [(item, f"expired on {item.until}, and no longer counts") for item in expired]
    remarks += [(item, "is not used: no finding of these plans matches it") for item in unused]
    for entry, remark in remarks:
        where = f"{_format_code(entry.address)}, {entry.category.name.lower()}"
        lines.append(f"- The entry for {where} {remark}: {_format_code(entry.reason)}")
    useless = [
        f"{len(items)} {word}" for items, word in ((expired, "expired"), (unused, "not used")) if items
    ]
    yield _Part("", f"Accepted findings ({', '.join([str(len(found)), *useless])})", lines)


def _needs_approval(found: Sequence[tuple[str, Finding]]) -> bool:
    return any(finding.needs_approval for _, finding in found)


def _build_finding_entry(finding: Finding, stack: str) -> _Entry:
    where = f"({_format_code(stack)}) " if stack else ""
    forces = finding.category == Category.DESTRUCTION and bool(finding.differences)
    body = [*_write_attributes(finding.differences, "forces the replacement" if forces else "")]
    if finding.diff:
        body += _write_fenced(_cut_lines(finding.diff, MAX_POLICY_LINES), "diff")
    if finding.created:
        shown = ", ".join(map(_format_code, finding.created[:MAX_CREATED]))
        more = ", …" if len(finding.created) > MAX_CREATED else ""
        body += [f"The plan creates, of the same type: {shown}{more}", ""]
    return _Entry(
        subject=f"**{_format_code(finding.address)}**" if finding.address else "",
        before=RED if finding.needs_approval else ORANGE,
        after=f"{where}{_write_text(finding)}",
        body=tuple(body),
    )


def _write_entries(entries: Iterable[_Entry]) -> Iterator[str]:
    """Write entries, those that differ only in the subject together."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for entry in entries:
        groups.setdefault((entry.before, entry.after, entry.body), []).append(entry.subject)
    for (before, after, body), subjects in groups.items():
        if len(subjects) == 1 or not subjects[0]:
            yield " ".join(filter(None, (before, subjects[0], after)))
        else:
            yield " ".join(filter(None, (before, f"each of these {len(subjects)}", after)))
            yield ""
            yield from (f"- {subject}" for subject in subjects)
        yield ""
        if body and len(subjects) > 1 and subjects[0]:
            yield "Each:"
            yield ""
        yield from body


def _write_attributes(items: Sequence[Difference], remark: str, *, created: bool = False) -> Iterator[str]:
    remark = f" *{remark}*" if remark else ""
    texts: list[Difference] = []
    short: dict[str, list[Difference]] = {}
    for item in items[:MAX_ATTRIBUTES]:
        if _has_lines(item.before) or _has_lines(item.after):
            texts.append(item)
        else:
            short.setdefault(item.path, []).append(item)
    for path, group in short.items():
        change = _format_value(group[0].after) if created else _format_changes(group)
        yield f"- {_format_code(path) if path else 'value'}: {change}{remark}"
    if len(items) > MAX_ATTRIBUTES:
        yield f"- … and {len(items) - MAX_ATTRIBUTES} more"
    if short:
        yield ""
    for item in texts:
        yield f"{_format_code(item.path)}{remark}:"
        yield ""
        yield from _write_fenced(_cut_lines(_diff_texts(item), MAX_TEXT_LINES), "diff")


def _format_changes(items: Sequence[Difference]) -> str:
    """Write the changes of one attribute: those of a list are several."""
    if len(items) == 1 and items[0].before is not None and items[0].after is not None:
        return _format_change(items[0])
    removed = ", ".join(_format_value(item.before) for item in items if item.before is not None)
    added = ", ".join(_format_value(item.after) for item in items if item.after is not None)
    if removed and added:
        return f"{removed} → {added}"
    return f"added {added}" if added else f"removed {removed}"


def _format_change(item: Difference) -> str:
    before, after = _format_plain(item.before), _format_plain(item.after)
    # Of two long values, the part in which they differ is shown.
    start = 0
    if max(len(before), len(after)) > MAX_VALUE_LENGTH:
        equal = itertools.takewhile(bool, map(operator.eq, before, after))
        start = max(len(list(equal)) - MAX_VALUE_LENGTH // 4, 0)
    return f"{_cut_value(before, start)} → {_cut_value(after, start)}"


def _format_value(value: Any) -> str:
    return _cut_value(_format_plain(value), 0)


def _cut_value(text: str, start: int) -> str:
    end = start + MAX_VALUE_LENGTH
    return _format_code(("…" if start else "") + text[start:end] + ("…" if text[end:] else ""))


def _format_plain(value: Any) -> str:
    if isinstance(value, str | Sensitive | Unknown):
        return str(value) or '""'
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _has_lines(value: Any) -> bool:
    return isinstance(value, str) and len(value.splitlines()) > 1


def _diff_texts(item: Difference) -> list[str]:
    before, after = (
        [] if side is None else _format_plain(side).splitlines() for side in (item.before, item.after)
    )
    if max(len(before), len(after)) > MAX_COMPARED_LINES:
        return [f"- {len(before)} lines", f"+ {len(after)} lines, too many to compare here"]
    lines = difflib.unified_diff(before, after, lineterm="", n=2)
    return [line for line in list(lines)[2:] if not line.startswith("@@")]


def _cut_lines(lines: Sequence[str], most: int) -> list[str]:
    cut = [line if len(line) <= MAX_LINE_LENGTH else f"{line[:MAX_LINE_LENGTH]}…" for line in lines]
    return cut if len(cut) <= most else [*cut[:most], f"… and {len(cut) - most} lines"]


def _list_other_changes(review: Review) -> Iterator[_Part]:
    for stack in review.stacks:
        message = stack.note.splitlines()[1:]
        if message and not stack.failed:
            yield _Part(stack.name, "Terraform's message", [*_write_message(message)])
        changes = other_changes(stack)
        if changes:
            noun = "change" if len(changes) == 1 else "changes"
            yield _Part(stack.name, f"{len(changes)} other {noun}", [*_write_changes(changes)])


def _list_drift(review: Review) -> Iterator[_Part]:
    for stack in review.stacks:
        drift, explained = split_drift(stack.plan) if stack.plan else ([], [])
        if drift:
            yield _Part(
                stack.name,
                "changed outside of Terraform since the last apply",
                [
                    *_write_changes(
                        [(item, item.differences if item.action == "update" else []) for item in drift]
                    )
                ],
            )
        if explained:
            names = ", ".join(
                f"{_format_code(change.address)} ({', '.join(map(_format_code, attributes))})"
                for change, attributes in explained[:MAX_RESOURCES]
            )
            yield _Part(
                stack.name,
                "filled in by AWS, as configured",
                [f"AWS shows here the values that other resources of the stack configure: {names}"],
            )


def _write_changes(changes: Sequence[tuple[Change, Sequence[Difference]]]) -> Iterator[str]:
    yield from _write_entries(_build_change_entry(*item) for item in changes[:MAX_RESOURCES])
    if len(changes) > MAX_RESOURCES:
        yield f"… and {len(changes) - MAX_RESOURCES} more"


def _build_change_entry(change: Change, items: Sequence[Difference]) -> _Entry:
    remarks = [f"moved from {_format_code(change.previous_address)}"] if change.previous_address else []
    if change.importing:
        remarks.append(f"imported: {_format_code(change.import_id)}" if change.import_id else "imported")
    return _Entry(
        subject=_format_code(change.address),
        before=f"**{_SYMBOLS.get(change.action, change.action)}**",
        after=" ".join(remarks),
        body=tuple(_write_attributes(items, "", created=change.action == "create")),
    )


def _write_folded(part: _Part) -> Iterator[str]:
    # GitLab reads no Markdown in this line.
    name = f"<code>{html.escape(escape_invisible(part.stack))}</code>: " if part.stack else ""
    yield f"<details><summary>{name}{part.title}</summary>"
    yield ""
    yield from part.lines
    yield ""
    yield "</details>"
    yield ""


def _write_headed(part: _Part) -> Iterator[str]:
    name = f"{_format_code(part.stack)}: " if part.stack else ""
    yield f"## {name}{part.title}"
    yield ""
    yield from part.lines
    yield ""


def _write_text(finding: Finding, most: int | None = None) -> str:
    """Return the sentence of a finding, in which only code spans are Markdown.

    The sentence may hold strings of the plan. GitLab makes a link of every address, so these are code, too.
    """
    text = " ".join(finding.text.split())
    text = text if most is None else _cut_text(text, most)
    if finding.category == Category.CHECK:  # the author of a check wrote its message
        return _format_code(text)
    pieces = re.split(r"(`[^`]+`|\S*(?:://|www\.)\S*)", text)
    return "".join(
        _format_code(piece.strip("`")) if index % 2 else _escape_markdown(piece)
        for index, piece in enumerate(pieces)
    )


def _write_message(lines: Sequence[str]) -> Iterator[str]:
    # Indented, so that GitLab takes no line for a quick action.
    yield from _write_fenced([f"  {line}" for line in lines], "")


def _format_code(text: str) -> str:
    """Return a string as a code span that no backtick in it can end."""
    flat = escape_invisible(text) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    space = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{space}{flat}{space}{fence}"


def _write_fenced(lines: Sequence[str], language: str) -> Iterator[str]:
    lines = [escape_invisible(line) for line in lines]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{language}"
    yield from lines
    yield fence
    yield ""


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|@#~!%&$])", r"\\\1", escape_invisible(text))
