"""The emulator's process: ministack with our patches. emulator.py starts it."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from ministack.app import main

from local_aws import ministack_patches, recorded_actions, whole_answers


def _stop_with_parent() -> None:
    """End when standard input closes: the program that started this one has ended, or was killed."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--stop-with-parent", action="store_true")
    parser.add_argument("--record-actions", type=Path)
    options = parser.parse_args()
    del sys.argv[1:]  # ministack reads what is left
    if options.stop_with_parent:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    ministack_patches.apply()
    whole_answers.apply()
    if options.record_actions:
        recorded_actions.apply(options.record_actions)
    main()
