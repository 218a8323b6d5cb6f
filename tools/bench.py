"""Measure the cost of a synth, of `make demo` and of `make test`: `make bench`.

Seconds depend on the machine, so a synth is given as a ratio of two ways that run in turn. The number of
Terraform commands does not depend on the machine: it decides how long a demo and the tests take.
"""

import argparse
import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from stacks.settings.load import PROJECT

ROUNDS = 3
WAYS = {"lean imports": "1", "ordinary imports": "0"}
TEST_LOG = PROJECT / ".work" / "terraform_commands.jsonl"  # the tests write a line for each command


@dataclass(frozen=True)
class Cost:
    """The time that one command and its child processes took."""

    wall_seconds: float
    cpu_seconds: float

    def __str__(self) -> str:
        """Return the cost for people."""
        return f"{self.wall_seconds:.0f} s, {self.cpu_seconds:.0f} s of processor time"


def main() -> None:
    """Measure a synth, and the commands that the options name."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--demo", action="store_true", help="run `make demo` too, and count its Terraform commands"
    )
    parser.add_argument(
        "--test", action="store_true", help="run `make test` too, and count its Terraform commands"
    )
    arguments = parser.parse_args()
    compare_synths()
    if arguments.demo:
        measure_demo()
    if arguments.test:
        measure_tests()


def compare_synths() -> None:
    """Time a synth of the example environment both ways, and print the ratio."""
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in track(range(ROUNDS), description="synth, both ways", transient=True):
        for way, switch in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                env = {"ENV": "example", "LEAN_IMPORTS": switch, "CDKTF_OUTDIR": folder}
                times[way].append(run([sys.executable, str(PROJECT / "main.py")], env).wall_seconds)
    lean, ordinary = (statistics.median(times[way]) for way in WAYS)
    print(f"A synth with lean imports takes {lean / ordinary:.0%} of the time with ordinary ones.")


def measure_demo() -> None:
    """Run `make demo`, and print its cost. A wrapper on the PATH counts its Terraform commands."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "commands")
        log.touch()
        wrapper = Path(folder, "terraform")
        terraform = shlex.quote(shutil.which("terraform") or sys.exit("terraform: not found on the PATH"))
        wrapper.write_text(f'#!/bin/sh\necho "$1" >> {shlex.quote(str(log))}\nexec {terraform} "$@"\n')
        wrapper.chmod(0o700)
        cost = run(["make", "demo"], {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})
        count = len(log.read_text().splitlines())
    print(f"make demo: {cost}, {count} Terraform commands")


def measure_tests() -> None:
    """Run `make test`, and print its cost and the sums of the tests' own log of Terraform commands."""
    TEST_LOG.unlink(missing_ok=True)
    print(f"make test: {run(['make', 'test'], {})}, {sum_up_log(TEST_LOG)}")


def sum_up_log(log: Path) -> str:
    """Return the number of Terraform commands in a log of JSON lines, and the sums of their times."""
    if not log.exists():
        return f"no log of Terraform commands in {log.relative_to(PROJECT)}"
    commands = [json.loads(line) for line in log.read_text().splitlines()]
    wall, cpu = (sum(command[key] for command in commands) for key in ("seconds", "cpu_seconds"))
    return f"{len(commands)} Terraform commands with {Cost(wall, cpu)}"


def run(command: list[str], env: Mapping[str, str]) -> Cost:
    """Run a command in the project's folder, and return its cost. End if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    status = subprocess.run(command, cwd=PROJECT, env={**os.environ, **env}, check=False).returncode  # noqa: S603 - ours
    wall_seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if status:
        sys.exit(f"{shlex.join(command)}: exit status {status}")
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_seconds, cpu_seconds)


if __name__ == "__main__":
    main()
