"""The preStop hook of a manager, as the chart gets it: its numbers, and the script itself on a stand-in."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.environments import Synthesized, runner_values

# A process that gets a manager's signals and prints each. It ends a moment after it got the signal of its
# first argument as often as its second argument says. It waits for signals instead of handling them: a
# handler can be interrupted by the next signal, and then two lines run into one.
STAND_IN = """
import signal, sys
expected = signal.Signals[sys.argv[1]]
missing = int(sys.argv[2])
signals = [signal.SIGQUIT, signal.SIGTERM, signal.SIGALRM]
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
signal.alarm(8)
print("ready", flush=True)
while (got := signal.sigwait(signals)) != signal.SIGALRM:
    print(got.name, flush=True)
    missing -= got == expected
    if got == expected and missing == 0:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
"""


class Hook(NamedTuple):
    """The script, and the Helm values that its timing must fit."""

    script: str
    grace: int
    shutdown_timeout: int


def read_hook(stacks: Synthesized) -> Hook:
    """Return the hook of the only fleet."""
    ((_, values),) = runner_values(stacks["workloads"])
    shell, option, script = values["deploymentLifecycle"]["preStop"]["exec"]["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    return Hook(script, values["terminationGracePeriodSeconds"], values["shutdown_timeout"])


@pytest.fixture
def run_hook(example: Synthesized) -> Iterator[Callable[..., list[str]]]:
    """Run the hook on a stand-in that ends after some signals, and return all signals that it got.

    The pauses of the hook are short here. `seconds` is the time that jobs get, if it is not the hook's own.
    """
    started: list[subprocess.Popen[str]] = []

    def run(signal: str, count: int, *, seconds: int | None = None) -> list[str]:
        command = [sys.executable, "-c", STAND_IN, signal, str(count)]
        stand_in = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(stand_in)
        assert stand_in.stdout
        assert stand_in.stdout.readline() == "ready\n"
        script = re.sub(r"(kill -\w+) 1\b", rf"\1 {stand_in.pid}", read_hook(example).script)
        script = re.sub(r"sleep \d+", "sleep 0.05", script)
        if seconds is not None:
            script = re.sub(r"\+ \d+\)", f"+ {seconds})", script)
        hook = subprocess.Popen(["/bin/sh", "-c", script], stderr=subprocess.DEVNULL, text=True)
        started.append(hook)
        got, _ = stand_in.communicate(timeout=10)
        hook.wait(timeout=10)
        return got.split()

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_a_manager_whose_jobs_finish_is_never_aborted(run_hook: Callable[..., list[str]]) -> None:
    """The script repeats QUIT, since the first may come too early, and ends with the manager."""
    got = run_hook("SIGQUIT", 2)
    assert len(got) > 1
    assert set(got) == {"SIGQUIT"}


def test_a_manager_is_aborted_once_when_its_grace_nears_the_end(run_hook: Callable[..., list[str]]) -> None:
    """After the QUITs comes one TERM and no other signal: a second one would end the manager at once."""
    *before, last = run_hook("SIGTERM", 1, seconds=1)
    assert set(before) == {"SIGQUIT"}
    assert last == "SIGTERM"


@pytest.mark.parametrize("grace", [180, 86400])
def test_a_manager_has_ended_before_its_grace(
    synthesize_changed: Callable[..., Synthesized], grace: int
) -> None:
    """The time for jobs, one pause between QUITs and the runner's shutdown timeout fit, with a reserve."""
    hook = read_hook(synthesize_changed({"runners.default.termination_grace_period_seconds": grace}))
    assert hook.grace == grace
    (seconds,) = map(int, re.findall(r"\+ (\d+)\)", hook.script))
    pauses = [int(text) for text in re.findall(r"sleep (\d+)", hook.script)]
    assert seconds >= 90
    assert seconds + max(pauses) + hook.shutdown_timeout + 10 <= grace


def test_a_manager_has_an_hour_by_default(example: Synthesized) -> None:
    """Jobs get almost all of it."""
    hook = read_hook(example)
    assert hook.grace == 3600
    assert "+ 3510)" in hook.script
