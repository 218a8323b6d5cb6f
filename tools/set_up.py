"""Run the command of a set-up, one set-up at a time: `python tools/set_up.py LOCK COMMAND…`.

Two set-ups in one folder would break each other's packages. The command's children inherit the lock: if a
set-up is killed, the next one waits for the pip or npm that it has left.
"""

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import suppress
from types import FrameType

UNFINISHED = """\
The set-up is not finished; the messages above say why. It needs the registries of Python and Node.js, and \
2.2 GB of disk. `make setup` begins again where it is needed."""


def run_alone(lock_file: str, command: list[str]) -> int:
    """Run a command while no other one has the lock, end it at a signal, and return its exit status."""
    lock = os.open(lock_file, os.O_CREAT | os.O_RDWR, 0o666)
    with suppress(OSError):  # of a file system without locks: there the set-up goes on
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another set-up works in this folder: waiting for its end", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
    return run_until_signal(command, lock)


def run_until_signal(command: list[str], *locks: int, environment: dict[str, str] | None = None) -> int:
    """Run a command, end it at a signal, and return its exit status.

    Args:
        command: The program and its arguments.
        locks: Open files that the command inherits.
        environment: Its environment variables; those of this process, if None.

    Returns:
        The exit status; after a signal 128 and its number, as in a shell.

    """
    received: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def end(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if process:
            process.terminate()

    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end)
    # At a Ctrl-C in the terminal venv would print a traceback. The command inherits that it is ignored.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(command, pass_fds=locks, env=environment)  # noqa: S603 - the set-up's own commands
    signal.signal(signal.SIGINT, end)
    if received:
        process.terminate()
    status = process.wait()
    for each, handler in before.items():
        signal.signal(each, handler)
    return 128 + received[0] if received else status


if __name__ == "__main__":
    try:
        STATUS = run_alone(sys.argv[1], sys.argv[2:])
    except OSError as error:
        sys.exit(f"{error.filename or sys.argv[1]}: {error.strerror}")
    except KeyboardInterrupt:  # while it waits for the other set-up
        sys.exit("interrupted")
    if STATUS:
        sys.exit(UNFINISHED)
