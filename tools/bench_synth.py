"""How much the lean imports save: `make bench`.

Both ways are timed in turn in one run, each in processes of its own, and only their ratio is printed:
absolute times are of one machine.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from rich.progress import track

from stacks.settings.load import PROJECT

ROUNDS = 3
WAYS = {"lean imports": "1", "ordinary imports": "0"}


def main() -> None:
    """Time a synth of the example environment both ways, and print the ratio."""
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in track(range(ROUNDS), description="synth, both ways", transient=True):
        for way, switch in WAYS.items():
            times[way].append(_seconds(switch))
    lean, ordinary = (statistics.median(times[way]) for way in WAYS)
    print(f"A synth with lean imports takes {lean / ordinary:.0%} of the time with ordinary ones.")


def _seconds(switch: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "ENV": "example", "LEAN_IMPORTS": switch, "CDKTF_OUTDIR": folder}
        start = time.perf_counter()
        subprocess.run([sys.executable, str(PROJECT / "main.py")], env=environment, check=True)  # noqa: S603 - ours
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
