"""Run a command while no other one has the lock: `python tools/with_lock.py FILE COMMAND…`.

Two set-ups in one folder would break each other's packages. The command's children inherit the lock: if a
set-up is killed, the next one waits for the pip or npm that it has left.
"""

import fcntl
import os
import sys

if __name__ == "__main__":
    FILE, *COMMAND = sys.argv[1:]
    LOCK = os.open(FILE, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another set-up works in this folder: waiting for its end", file=sys.stderr)
        fcntl.flock(LOCK, fcntl.LOCK_EX)
    os.set_inheritable(LOCK, True)  # noqa: FBT003 - Python's own signature
    os.execvp(COMMAND[0], COMMAND)  # noqa: S606 - the Makefile's own command
