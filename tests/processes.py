"""Processes that a test starts, and those of a session or in a folder, with their sockets, on Linux."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from local_aws import emulator


@contextmanager
def started(
    *command: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    stderr: int = subprocess.PIPE,
) -> Iterator["subprocess.Popen[str]"]:
    """Start a command in a process group of its own; the group does not outlive the block.

    Args:
        command: The program and its arguments.
        folder: Its working folder.
        environment: Its environment variables; None for those of the test.
        stderr: The place of its standard error, as `subprocess.Popen` takes it.

    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def find_processes_of_session(session: int) -> Iterator[int]:
    """Yield the ID of each process of a session."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # the process has just ended
            if os.getsid(int(process.name)) == session:
                yield int(process.name)


def find_processes(folder: Path, program: str = "") -> dict[int, str]:
    """Return the command lines of the processes in a copy of the project, without those of the emulator.

    Args:
        folder: The folder of the copy.
        program: The name of a program; empty for all.

    """
    session, found = emulator.running_pid(folder / ".work"), {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # the process has just ended, or belongs to somebody else
            pid = int(process.name)
            line = (process / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
            is_wanted = not program or (process / "comm").read_text().strip() == program
            is_here = (process / "cwd").readlink().is_relative_to(folder)
            if line and is_wanted and is_here and os.getsid(pid) != session:
                found[pid] = line
    return found


def find_listening_addresses(pids: Iterable[int]) -> set[tuple[str, int]]:
    """Return address and port of each TCP socket on which one of the processes listens."""
    sockets = set()
    for file in (file for pid in pids for file in Path("/proc", str(pid)).glob("fd/*")):
        with suppress(OSError):  # the process has just ended, or closed the file
            sockets.add(str(file.readlink()))
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in sockets:  # 0A: TCP_LISTEN
                number, port = local.split(":")
                # The kernel prints each 32-bit word in the byte order of the machine.
                words = [bytes.fromhex(number[at : at + 8])[::-1] for at in range(0, len(number), 8)]
                address = socket.inet_ntop(family, b"".join(words)).removeprefix("::ffff:")
                found.add((address, int(port, 16)))
    return found
