"""The cost of one command: time, processor time, memory."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stacks.settings.load import PROJECT

# A small program that runs the command: Linux lets a process begin with the memory peak of the one that has
# started it, and the bench itself is larger than some commands.
_LAUNCHER = """
import json, os, sys
pid = os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, used = os.wait4(pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024], file)
sys.exit(os.waitstatus_to_exitcode(status) % 256)
"""


@dataclass(frozen=True)
class Cost:
    """The cost of one command with the child processes that it has waited for."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float = 0
    """Memory of the largest of the processes, at its peak."""

    def __str__(self) -> str:
        """Return the times for people."""
        return f"{self.wall_seconds:.0f} s, {self.cpu_seconds:.0f} s of processor time"


def run(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    folder: Path = PROJECT,
    output: Path | None = None,
    accepted: Sequence[int] = (0,),
) -> Cost:
    """Run a command and return its cost. End this program if the command fails.

    Args:
        command: The command.
        env: Variables beside those of this program.
        folder: Where to run it.
        output: File for its standard output, if it is wanted.
        accepted: The exit statuses that are no failure.

    """
    with (
        (output or Path(os.devnull)).open("w", encoding="utf-8") as file,
        tempfile.NamedTemporaryFile("r", encoding="utf-8") as used,
    ):
        start = time.perf_counter()
        status = subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-S", "-c", _LAUNCHER, used.name, *command],
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdout=file if output else None,
            check=False,
        ).returncode
        wall_seconds = time.perf_counter() - start
        if status not in accepted:
            sys.exit(f"{shlex.join(command)}: exit status {status}")
        cpu_seconds, peak_mib = json.load(used)
    return Cost(wall_seconds, cpu_seconds, peak_mib)
