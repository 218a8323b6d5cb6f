"""The answers as a table for people and as JSON for programs."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.ci_yaml import plain
from jobs.explain import Answer, Verdict
from stacks.resources import RESOURCES

WIDTH = 100
_STYLES = {Verdict.RUNS: "green", Verdict.CANNOT: "bold red", Verdict.UNKNOWN: "yellow"}


def print_table(answers: Sequence[Answer], notes: Sequence[str], title: str) -> None:
    """Print one line for each job, and below it what to change."""
    console = Console(width=WIDTH, highlight=False)
    table = Table(title=Text(plain(title)), box=None, pad_edge=False, title_justify="left")
    table.add_column("job", overflow="fold", max_width=30)
    table.add_column("fleet", overflow="fold", max_width=14)
    table.add_column("CPU", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("fits on", overflow="fold", max_width=14)
    table.add_column("new node", overflow="fold", max_width=14)
    table.add_column("", no_wrap=True)
    for answer in answers:
        cpu, memory = (
            resource.write(amount)
            if (amount := answer.pod.requests(resource)) > 0 and not answer.unknown
            else "-"
            for resource in RESOURCES[:2]
        )
        table.add_row(
            Text(plain(_name(answer))),
            Text(answer.fleet or "-"),
            cpu,
            memory,
            Text(", ".join(answer.fits) or "-"),
            Text(" or ".join(answer.chosen) or "-"),
            Text(answer.verdict, style=_STYLES[answer.verdict]),
        )
    console.print(table)
    for answer in answers:
        lines = [
            *(
                line
                for problem in answer.problems
                for line in ((2, f"{problem.who}: {problem.text}"), (4, f"→ {problem.change}"))
            ),
            *((2, f"unknown: {reason}") for reason in answer.unknown),
            *((2, f"note: {note}") for note in answer.notes),
        ]
        if lines:
            fleet = f" on {answer.fleet}" if answer.fleet else ""
            console.print(Text(f"\n{plain(_name(answer))}{fleet}", style="bold"))
            for indent, line in lines:
                space = " " * indent
                for part in wrap(plain(line), WIDTH, initial_indent=space, subsequent_indent=space):
                    console.print(Text(part))
    if notes:
        console.print()
    for note in notes:
        console.print(Text(f"note: {plain(note)}"))
    console.print(Text(f"\n{write_summary(answers)}"))


def write_summary(answers: Sequence[Answer]) -> str:
    """Return how many answers there are of each kind."""
    counts = ((verdict, sum(answer.verdict is verdict for answer in answers)) for verdict in Verdict)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts if count) or "no jobs"


def as_document(answers: Sequence[Answer], notes: Sequence[str], *, file: str, environment: str) -> Any:
    """Return the answers as JSON's types; amounts are Kubernetes quantities."""
    return {
        "file": file,
        "environment": environment,
        "notes": [plain(note) for note in notes],
        "jobs": [_describe(answer) for answer in answers],
    }


def _describe(answer: Answer) -> dict[str, Any]:
    names = {resource.key: resource for resource in RESOURCES}
    return {
        "job": plain(answer.job.name),
        "case": answer.job.case,
        "parallel": answer.job.count,
        "place": str(answer.job.place),
        "tags": [plain(tag) for tag in answer.job.tags],
        "fleet": answer.fleet,
        "verdict": answer.verdict.value,
        "containers": [
            {
                "name": plain(container.name),
                "requests": {
                    names[key].name: names[key].write(value) for key, value in container.requests.items()
                },
                "limits": {
                    names[key].name: names[key].write(value) for key, value in container.limits.items()
                },
            }
            for container in answer.pod.containers
        ],
        "requests": {
            resource.name: resource.write(answer.pod.requests(resource))
            for resource in RESOURCES
            if answer.pod.requests(resource)
        },
        "fits_on": list(answer.fits),
        "new_node_of": list(answer.chosen),
        "problems": [
            {
                "who": problem.who,
                "text": plain(problem.text),
                "change": plain(problem.change),
                "nearest": problem.nearest,
            }
            for problem in answer.problems
        ],
        "unknown": [plain(reason) for reason in answer.unknown],
        "notes": [plain(note) for note in answer.notes],
    }


def _name(answer: Answer) -> str:
    count = f" ×{answer.job.count}" if answer.job.count > 1 else ""
    case = f" ({answer.job.case})" if answer.job.case else ""
    return f"{answer.job.name}{count}{case}"
