"""Replays as tables for people and as JSON for programs."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.replay import PERCENTILES, FleetSummary, Replay, count_jobs
from jobs.report import WIDTH


def print_replays(replays: Sequence[Replay], file: str) -> None:
    """Print each environment's tables, and a comparison if there are several."""
    console = Console(width=WIDTH, highlight=False)
    for replay in replays:
        console.print(Text(f"{file} in the environment {replay.environment}", style="bold"))
        console.print(Text(f"{_write_time(replay.start)} to {_write_time(replay.end)} UTC\n"))
        console.print(_tabulate_fleets(replay))
        console.print()
        console.print(_tabulate_groups(replay))
        for line in _list_failures(replay):
            for part in wrap(line, WIDTH, subsequent_indent="  "):
                console.print(Text(part))
        console.print()
    if len(replays) > 1:
        console.print(_compare(replays))


def _tabulate_fleets(replay: Replay) -> Table:
    table = _make_table("fleet")
    for name in ("jobs", "ran", *(f"wait {name}" for name in PERCENTILES), "slot p99", "node p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for fleet in replay.fleets:
        waits = ["-"] * (len(PERCENTILES) + 2)
        if fleet.waits:
            waits = [write_seconds(fleet.waits.total[name]) for name in PERCENTILES]
            waits += [write_seconds(fleet.waits.slot["p99"]), write_seconds(fleet.waits.node["p99"])]
        table.add_row(Text(fleet.name), str(fleet.jobs), str(fleet.ran), *waits)
    return table


def _tabulate_groups(replay: Replay) -> Table:
    table = _make_table("node group")
    for name in ("most nodes", "added", "node hours", "CPU used", "memory used", "$ an hour", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in replay.groups:
        table.add_row(
            Text(group.name),
            f"{group.most} of {group.max_size}",
            str(group.added),
            f"{group.hours:.1f}",
            *(f"{share:.0%}" for share in group.used.values()),
            "unknown" if group.price is None else f"{group.price:.4f}",
            _write_cost(group.cost),
        )
    table.add_row(Text("all"), "", "", f"{replay.hours:.1f}", "", "", "", _write_cost(replay.cost))
    return table


def _make_table(first: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow="fold", max_width=20)
    return table


def _list_failures(replay: Replay) -> list[str]:
    lines = [
        f"{fleet.name}: never run: {count_jobs(count)}{', the largest' if count > 1 else ''}: {reason}"
        for fleet in replay.fleets
        for reason, count in fleet.never.items()
    ]
    lines += [
        f"{fleet.name}: dropped by GitLab: {count_jobs(fleet.dropped)}: no runner takes it within a day"
        for fleet in replay.fleets
        if fleet.dropped
    ]
    lines += [
        f"{fleet.name}: fail: {count_jobs(fleet.timed_out)}: the pod waits for a node longer than "
        f"runners.{fleet.name}.poll_timeout_seconds"
        for fleet in replay.fleets
        if fleet.timed_out
    ]
    lines += [f"note: {note}" for note in replay.notes]
    return ["", *lines] if lines else []


def _compare(replays: Sequence[Replay]) -> Table:
    table = _make_table("")
    for replay in replays:
        table.add_column(Text(replay.environment), justify="right", overflow="fold", max_width=20)
    names = dict.fromkeys(fleet.name for replay in replays for fleet in replay.fleets)
    for name in names:
        for percentile in PERCENTILES:
            texts = [_write_wait(replay, name, percentile) for replay in replays]
            table.add_row(Text(f"{name}: wait {percentile}"), *texts)
        table.add_row(Text(f"{name}: did not run"), *(str(_count_lost(replay, name)) for replay in replays))
    rows: dict[str, Callable[[Replay], str]] = {
        "node hours": lambda replay: f"{replay.hours:.1f}",
        "cost": lambda replay: _write_cost(replay.cost),
    }
    for title, write in rows.items():
        table.add_row(title, *map(write, replays))
    return table


def _find_fleet(replay: Replay, name: str) -> FleetSummary | None:
    return next((fleet for fleet in replay.fleets if fleet.name == name), None)


def _write_wait(replay: Replay, name: str, percentile: str) -> str:
    fleet = _find_fleet(replay, name)
    return write_seconds(fleet.waits.total[percentile]) if fleet and fleet.waits else "-"


def _count_lost(replay: Replay, name: str) -> int:
    fleet = _find_fleet(replay, name)
    return fleet.jobs - fleet.ran if fleet else 0


def write_seconds(seconds: float) -> str:
    """Return a duration such as 45s, 2m05s or 3h20m."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def _write_cost(cost: Any) -> str:
    return "unknown" if cost is None else f"${cost:.2f}"


def _write_time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%d %H:%M")


def as_document(replays: Sequence[Replay], file: str) -> dict[str, Any]:
    """Return the replays as JSON's types: seconds, hours, and US dollars as strings."""
    return {"file": file, "environments": [_describe(replay) for replay in replays]}


def _describe(replay: Replay) -> dict[str, Any]:
    return {
        "environment": replay.environment,
        "start": _write_iso(replay.start),
        "end": _write_iso(replay.end),
        "fleets": [
            {
                "fleet": fleet.name,
                "jobs": fleet.jobs,
                "ran": fleet.ran,
                "dropped": fleet.dropped,
                "timed_out": fleet.timed_out,
                "never": dict(fleet.never),
                "wait_seconds": fleet.waits and dict(fleet.waits.total),
                "wait_for_slot_seconds": fleet.waits and dict(fleet.waits.slot),
                "wait_for_node_seconds": fleet.waits and dict(fleet.waits.node),
            }
            for fleet in replay.fleets
        ],
        "node_groups": [
            {
                "group": group.name,
                "max_size": group.max_size,
                "most_nodes": group.most,
                "added_nodes": group.added,
                "node_hours": round(group.hours, 3),
                "cpu_used": round(group.used["cpu"], 4),
                "memory_used": round(group.used["memory"], 4),
                "usd_an_hour": None if group.price is None else str(group.price),
                "usd": None if group.cost is None else f"{group.cost:.2f}",
            }
            for group in replay.groups
        ],
        "node_hours": round(replay.hours, 3),
        "usd": None if replay.cost is None else f"{replay.cost:.2f}",
        "notes": list(replay.notes),
    }


def _write_iso(milliseconds: int) -> str:
    return (
        datetime.fromtimestamp(milliseconds / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
