"""The demo on machines that interrupt it, lack something, or are used twice at once."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from stacks.settings.load import PROJECT
from tests.chaos.figures import Figures
from tests.machine import UNUSUAL, Checkout, Ended, checkout

# make would compile all packages anew for each checkout.
DEMO = ("make", "demo", "PYTHONPYCACHEPREFIX=")
START = (".venv/bin/python", "-m", "local_aws", "start")
PHASE = re.compile(r"^(?:[1-6]/6|Summary) ")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
DEMO_POINTS, SET_UP_POINTS = 18, 6
CHECKOUTS = 3  # interrupted at the same time
LONGEST_WAIT_SECONDS = 20.0
LOCK_SECONDS = 300
ROWS = 18  # of the table, if no test is left out
# Every file that an installed package lists is there, in its size.
CHECK_PACKAGES = """
import importlib.metadata as metadata
files = [file for package in metadata.distributions() for file in package.files or [] if file.size]
paths = {file.locate(): file.size for file in files}
wrong = [path for path, size in paths.items() if not path.exists() or path.stat().st_size != size]
assert paths and not wrong, wrong
"""
Row = tuple[str, str, str]

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="only root may mount, and take the network away",
)


@pytest.fixture(scope="module")
def rows(figures: Figures) -> Iterator[list[Row]]:
    """The rows of the table: case, what happens, exit status."""
    found: list[Row] = []
    yield found
    lines = [f"| {case} | {happens} | {status} |" for case, happens, status in found]
    lines = ["| case | what happens | exit status |", "| --- | --- | --- |", *lines]
    figures.write("machine", lines, is_whole=len(found) == ROWS)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout that has been set up."""
    with checkout(tmp_path_factory.mktemp("ready") / "project") as found:
        yield found


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout that has not been set up."""
    with checkout(tmp_path_factory.mktemp("fresh") / "project", ready=False) as found:
        yield found


def no_traceback(ended: Ended) -> Ended:
    """Check that a command has printed no traceback of Python's and no stack of Node.js's."""
    assert "Traceback" not in ended.output, ended.output
    assert "    at " not in ended.output, ended.output
    return ended


def in_code(text: str, checkout: Checkout) -> str:
    """Return a message for the table."""
    return f"`{text.replace(str(checkout.folder), '…').replace('|', '/').replace('`', chr(39))}`"


# The small sample.


def test_main_without_node_is_one_message(tmp_path: Path) -> None:
    """Jsii's own end without Node.js is a traceback."""
    done = subprocess.run(
        [PROJECT / ".venv" / "bin" / "python", "main.py"],
        cwd=PROJECT,
        env={"PATH": str(tmp_path), "CDKTF_OUTDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "node: not found. Node.js 20 or newer must be on the PATH\n")


# The full run.


def interrupt(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    """Send a signal as people do: Ctrl-C to the group, `kill` to make, a killed terminal to the group."""
    if number == signal.SIGTERM:
        process.send_signal(number)
    else:
        os.killpg(process.pid, number)


def run_to_random_point(
    checkout: Checkout, command: tuple[str, ...], number: signal.Signals, phase: int, seconds: float
) -> tuple[Ended, bool]:
    """Run a command, and send a signal some time after a phase has begun.

    Returns:
        The end of the command, and whether it was still running at the signal.

    """
    output = ""
    with checkout.started(*command) as process:
        assert process.stdout
        while phase and (line := process.stdout.readline()):
            output += line
            phase -= bool(PHASE.match(line))
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        is_running = process.poll() is None
        if is_running:
            interrupt(process, number)
        rest, _ = process.communicate(timeout=300)
    return Ended(process.returncode, output + rest), is_running


@dataclass
class Point:
    """One interruption of a demo or a set-up.

    Attributes:
        signal: The signal's name.
        phase: The demo's phase at the time; 0 before the first.
        status: The exit status.
        left: How many temporary files were left.

    """

    signal: str
    phase: int
    status: int
    left: int


def write_points(figures: Figures, part: str, points: list[Point]) -> None:
    """Write a line for each signal; only demos have phases."""
    has_phases = any(point.phase for point in points)
    lines = [
        f"| signal | points |{' in the phases |' * has_phases} exit status | temporary files left |",
        f"| --- | --: |{' --- |' * has_phases} --- | --: |",
    ]
    for number in SIGNALS:
        these = [point for point in points if point.signal == number.name]
        phases = f" {', '.join(map(str, sorted({point.phase for point in these})))} |" * has_phases
        statuses = ", ".join(map(str, sorted({point.status for point in these})))
        lines.append(
            f"| {number.name} | {len(these)} |{phases} {statuses} | {sum(point.left for point in these)} |"
        )
    figures.write(part, lines)


def interrupt_demos(place: Checkout, seed: int) -> list[Point]:
    """Interrupt demos of one checkout, let the last one end, and undo it."""
    choice, points = random.Random(seed), list[Point]()
    signals = choice.sample(SIGNALS * (DEMO_POINTS // CHECKOUTS // len(SIGNALS)), DEMO_POINTS // CHECKOUTS)
    while signals:
        phase, seconds = choice.randrange(7), choice.uniform(0, LONGEST_WAIT_SECONDS)
        case = f"{signals[-1].name} {seconds:.1f} s after the start of phase {phase}"
        ended, was_running = run_to_random_point(place, DEMO, signals[-1], phase, seconds)
        print(f"{case}: {ended.status} {ended.message}" if was_running else f"{case}: too late", flush=True)
        no_traceback(ended)
        assert place.wait_for_processes() == [], case
        left = place.take_temporary_files()
        if not was_running:
            assert ended.status == 0, ended.output
            assert left == [], case
            assert no_traceback(place.run("make", "demo-down", "PYTHONPYCACHEPREFIX=")).status == 0
            continue
        number = signals.pop()
        if number != signal.SIGKILL:
            assert left == [], case
        reached = len([line for line in ended.output.splitlines() if PHASE.match(line)])
        points.append(Point(number.name, reached, ended.status, len(left)))
    last = no_traceback(place.run(*DEMO))
    assert last.status == 0, last.output
    assert "Connect kubectl" in last.output
    down = no_traceback(place.run("make", "demo-down", "PYTHONPYCACHEPREFIX="))
    assert "destroyed and stopped" in down.output, down.output
    assert place.wait_for_processes() == []
    assert place.take_temporary_files() == []
    return points


@pytest.mark.chaos
def test_a_demo_that_is_interrupted_anywhere_goes_on(figures: Figures, seed: int, tmp_path: Path) -> None:
    """Each next demo goes on; no process is left, no traceback is printed, and the last one deploys all."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        places = [stack.enter_context(checkout(tmp_path / str(number))) for number in range(CHECKOUTS)]
        done = pool.map(interrupt_demos, places, (seed + number for number in range(CHECKOUTS)))
        write_points(figures, "interrupted demos", [point for points in done for point in points])


@pytest.mark.chaos
def test_a_set_up_that_is_interrupted_anywhere_is_finished(
    fresh: Checkout, figures: Figures, seed: int
) -> None:
    """The next set-up installs what is missing; no half package and no half node_modules is believed."""
    choice, points = random.Random(seed), list[Point]()
    while len(points) < SET_UP_POINTS:
        number, seconds = SIGNALS[len(points) % len(SIGNALS)], choice.uniform(0, 30)
        ended, was_running = run_to_random_point(fresh, ("make", "setup"), number, 0, seconds)
        print(number.name, seconds, was_running, ended.status, ended.message, flush=True)
        assert fresh.wait_for_processes() == [], (number, seconds)
        no_traceback(ended)
        left = fresh.take_temporary_files()
        if was_running:
            assert not (fresh.folder / ".work" / "ready").exists()
            points.append(Point(number.name, 0, ended.status, len(left)))
        else:  # what was removed comes back
            shutil.rmtree(fresh.folder / ".venv")
            shutil.rmtree(fresh.folder / "node_modules")
    last = no_traceback(fresh.run("make", "setup"))
    assert last.status == 0, last.output
    assert no_traceback(fresh.run(".venv/bin/python", "-c", CHECK_PACKAGES)).status == 0
    assert fresh.run("node_modules/.bin/cdktf", "--version").output.startswith("0.21.0")
    write_points(figures, "interrupted set-ups", points)


@pytest.mark.chaos
def test_two_checkouts_work_at_once(ready: Checkout, rows: list[Row], tmp_path: Path) -> None:
    """One of them lies in an unusual path, without HOME, TMPDIR, a locale and others' permissions."""
    strange = ("sh", "-c", 'umask 077; exec "$@"', "sh", *DEMO)
    variables = {"LC_ALL": "C", "TMPDIR": "/no/such/folder"}
    with checkout(tmp_path / UNUSUAL) as other, ThreadPoolExecutor() as pool:
        strange_demo = pool.submit(other.run, *strange, variables=variables, unset=("HOME",))
        lock = ready.folder / ".work" / "demo.lock"
        lock.unlink(missing_ok=True)
        plain_demo = pool.submit(ready.run, *DEMO)
        deadline = time.monotonic() + LOCK_SECONDS
        while not (lock.exists() and lock.read_text()):
            assert not plain_demo.done(), plain_demo.result().output
            assert time.monotonic() < deadline
            time.sleep(0.1)
        second = no_traceback(ready.run(*DEMO))
        for demo in (plain_demo, strange_demo):
            assert no_traceback(demo.result()).status == 0, demo.result().output
        assert "already (process " in second.message
        assert second.status == 2
        rows.append(
            ("two `make demo` in one checkout", in_code(second.message, ready), "2; the first demo: 0")
        )
        rows.append(("two checkouts at once, with their own ports", "Both deploy every stack.", "0"))
        unusual = f"a checkout in `{UNUSUAL}`; no HOME, a TMPDIR that is missing, LC_ALL=C, umask 077"
        rows.append((unusual, "It works.", "0"))
        (port,) = re.findall(
            r"127\.0\.0\.1:(\d+)", (ready.folder / "environments" / "local.yaml").read_text()
        )
        local = other.folder / "environments" / "local.yaml"
        text = local.read_text()
        local.write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", text))
        same = no_traceback(other.run(*START))
        local.write_text(text)
        rows.append(
            ("two checkouts at once, with the same port", in_code(same.message, other), str(same.status))
        )
        assert (same.status, "taken by another program" in same.message) == (1, True), same.output
        closed = no_traceback(ready.run("sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh", *START))
        assert closed.status == 0
        rows.append(("standard streams closed", "The emulator is started.", str(closed.status)))
    assert ready.wait_for_processes() == []


def run_isolated(checkout: Checkout, script: str) -> Ended:
    """Run a shell's script as root with mounts of its own, and without a network but loopback."""
    start = "ip link set lo up 2>/dev/null || true; "
    return no_traceback(checkout.run("unshare", "--net", "--mount", "bash", "-euc", start + script))


@needs_root
@pytest.mark.chaos
def test_a_demo_needs_no_network_after_the_set_up(ready: Checkout, rows: list[Row]) -> None:
    """Providers, packages and the emulator are on this machine."""
    no_traceback(ready.run("make", "demo-down", "PYTHONPYCACHEPREFIX="))
    ended = run_isolated(ready, f"{' '.join(DEMO)}; make demo-down PYTHONPYCACHEPREFIX=")
    assert ended.status == 0, ended.output
    assert "destroyed and stopped" in ended.output
    rows.append(("no network after the set-up", "It works, also `make demo-down`.", "0"))


@needs_root
@pytest.mark.chaos
def test_a_set_up_without_a_network_is_one_last_message(fresh: Checkout, rows: list[Row]) -> None:
    """Pip and npm say what they could not reach; the last line says what to do."""
    for name in (".venv", "node_modules", ".work/pip", ".work/uv", ".work/npm"):
        shutil.rmtree(fresh.folder / name, ignore_errors=True)
    ended = run_isolated(fresh, "make setup")
    assert ended.status == 2
    assert ended.message.startswith("The set-up is not finished")
    assert not (fresh.folder / ".work" / "ready").exists()
    rows.append(("no network at the set-up", f"{in_code(ended.message, fresh)}", "2"))


READ_ONLY = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && '
AS_ANOTHER_USER = "exec setpriv --reuid=65534 --regid=65534 --clear-groups "
WITHOUT_TERRAFORM = os.pathsep.join(
    folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "terraform").exists()
)
SMALL_DISK = """mkdir small; mount -t tmpfs -o size=6m tmpfs small
cp -r Makefile tools *.txt *.lock package*.json small; cd small"""
DEMO_ALONE = ".venv/bin/python -m local_aws demo"


@needs_root
@pytest.mark.chaos
@pytest.mark.parametrize(
    ("case", "is_ready", "script", "expected"),
    [
        ("a read-only checkout", False, f"{READ_ONLY}make demo", "Read-only file system"),
        ("a read-only checkout, set up before", True, f"{READ_ONLY}make demo", "Read-only file system"),
        ("another user in root's checkout", False, f"{AS_ANOTHER_USER}make demo", "Permission denied"),
        ("the same, set up before", True, f"{AS_ANOTHER_USER}make demo", "Permission denied"),
        (
            "a full disk at the set-up",
            False,
            f"{SMALL_DISK}; make setup",
            "The set-up is not finished",
        ),
        (
            "a full disk at the start",
            True,
            f"mount -t tmpfs -o size=64k tmpfs .work; dd if=/dev/zero of=.work/x 2>&- || {DEMO_ALONE}",
            "No space left on device",
        ),
        (
            "a disk that fills up at the synthesis",
            True,
            f"mkdir -p cdktf.out; mount -t tmpfs -o size=16k tmpfs cdktf.out; {DEMO_ALONE}",
            "no space left on device",
        ),
        ("output to a full disk", True, f"{DEMO_ALONE} > /dev/full", "No space left on device"),
        ("output to a pipe that breaks", True, f"{DEMO_ALONE} | head -1; exit ${{PIPESTATUS[0]}}", "1/6"),
        (
            "no Terraform after the set-up",
            True,
            f"PATH='{WITHOUT_TERRAFORM}' {DEMO_ALONE}",
            "terraform: not found",
        ),
        ("no Python of this name", False, "make demo PYTHON=python9", "python9: "),
    ],
)
def test_a_machine_that_lacks_something_is_one_message(
    request: pytest.FixtureRequest,
    rows: list[Row],
    case: str,
    script: str,
    expected: str,
    *,
    is_ready: bool,
) -> None:
    """The message names what is missing; no process is left but the emulator."""
    place: Checkout = request.getfixturevalue("ready" if is_ready else "fresh")
    try:
        ended = no_traceback(place.run("unshare", "--mount", "bash", "-euc", script))
        assert ended.status not in {0, -signal.SIGKILL}
        assert expected in ended.message, ended.output
        assert place.wait_for_processes() == []
    finally:
        if is_ready:
            place.run(".venv/bin/python", "-m", "local_aws", "stop")
    is_silent = case == "output to a pipe that breaks"  # the last line is a title of the demo
    rows.append((case, "no message" if is_silent else in_code(ended.message, place), str(ended.status)))
