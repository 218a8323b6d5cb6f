"""The emulator's process: ministack with our patches. emulator.py starts it."""

import os
import signal
import sys
import threading

from ministack.app import main

from local_aws import ministack_patches


def _stop_with_parent() -> None:
    """End when standard input closes: the program that started this one has ended, or was killed."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    if "--stop-with-parent" in sys.argv:
        sys.argv.remove("--stop-with-parent")
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    ministack_patches.apply()
    main()
