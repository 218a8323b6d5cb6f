"""The answers as a table for people and as JSON for programs."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.ci_yaml import plain
from jobs.explain import Answer, Verdict
from stacks.resources import RESOURCES

WIDTH = 100
SHORT_SECONDS = 100  # shorter times are written in seconds
_STYLES = {Verdict.RUNS: "green", Verdict.CANNOT: "bold red", Verdict.UNKNOWN: "yellow"}


def print_table(answers: Sequence[Answer], notes: Sequence[str], title: str, *, unread: int = 0) -> None:
    """Print one line for each job, and below it what to change; `unread` is the number of unread includes."""
    console = Console(width=WIDTH, highlight=False)
    table = Table(title=Text(plain(title)), box=None, pad_edge=False, title_justify="left")
    table.add_column("job", overflow="fold", max_width=30)
    table.add_column("fleet", overflow="fold", max_width=14)
    table.add_column("CPU", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("fits on", overflow="fold", max_width=14)
    table.add_column("new node", overflow="fold", max_width=14)
    table.add_column("wait", justify="right", no_wrap=True)
    table.add_column("USD/h", justify="right", no_wrap=True)
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
            write_wait(answer),
            write_cost(answer),
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
    for line in _explain_columns(answers):
        console.print(Text(f"\n{line}"))
    if notes:
        console.print()
    for note in notes:
        console.print(Text(f"note: {plain(note)}"))
    missing = f", {unread} {'include' if unread == 1 else 'includes'} not read" if unread else ""
    console.print(Text(f"\n{write_summary(answers)}{missing}"))


def write_wait(answer: Answer) -> str:
    """Return the time until a job runs on a new node, in minutes if it is long."""
    if answer.wait is None:
        return "-"
    shortest, longest = answer.wait.shortest, answer.wait.longest
    if longest < SHORT_SECONDS:
        return f"{shortest}-{longest} s"
    return f"{shortest // 60}-{-(-longest // 60)} min"


def write_cost(answer: Answer) -> str:
    """Return the cost of an hour of a job, from its share of the node to the whole node."""
    return f"{answer.cost.share:.2f}-{answer.cost.alone:.2f}" if answer.cost else "-"


def _explain_columns(answers: Sequence[Answer]) -> Iterator[str]:
    dates = sorted({answer.cost.date for answer in answers if answer.cost})
    waits = "wait: until the job runs on a new node, if no node has room (waiting_times in the settings)."
    cost = (
        "USD/h: from the job's share of the node, the larger one of CPU and memory, to the whole node, if it "
        f"is alone there. On-Demand prices of {dates[-1] if dates else '-'}; Spot costs less."
    )
    text = f"{waits if any(answer.wait for answer in answers) else ''} {cost if dates else ''}".strip()
    yield from ["\n".join(wrap(text, WIDTH))] if text else []


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
        "waits_seconds": [answer.wait.shortest, answer.wait.longest] if answer.wait else None,
        "usd_an_hour": {
            "share": f"{answer.cost.share:.4f}",
            "alone": f"{answer.cost.alone:.4f}",
            "prices_of": answer.cost.date,
        }
        if answer.cost
        else None,
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
