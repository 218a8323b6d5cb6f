"""Count the tests' Terraform commands: a plugin for pytest. The program `terraform` beside it notes each."""

import json

import pytest

from stacks.settings.load import PROJECT

FILE = PROJECT / ".work" / "terraform_commands.jsonl"
SLOWEST = 10


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin a new list; the workers of pytest-xdist add to it."""
    if not (hasattr(session.config, "workerinput") or session.config.option.collectonly):
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text("")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of commands, and the slowest of them."""
    notes = [json.loads(line) for line in FILE.read_text().splitlines()]
    if not notes:
        return
    seconds, cpu_seconds = (sum(note[name] for note in notes) for name in ("seconds", "cpu_seconds"))
    terminalreporter.section(
        f"{len(notes)} Terraform commands: {seconds:.0f} s, {cpu_seconds:.0f} s of processor time"
    )
    for note in sorted(notes, key=lambda note: -note["seconds"])[:SLOWEST]:
        terminalreporter.write_line(
            f"{note['seconds']:6.1f} s  {note['command']:<8} {note['stack']:<10} {note['test']}"
        )
