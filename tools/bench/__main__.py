"""Measure the cost of a synth, of large environments, of a replay, of `make demo` and of `make test`.

Seconds depend on the machine, so a synth is compared with other programs that run in turn with it. The number
of Terraform commands does not depend on the machine: it decides how long a demo and the tests take.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stacks.settings.load import PROJECT
from tools.bench.cost import Cost, run
from tools.bench.synths import compare_synths
from tools.sections import write_section

DOCUMENT = PROJECT / "docs" / "performance.md"
PICTURE = PROJECT / "docs" / "pictures" / "scale.svg"
REPLAYED_JOBS = (10_000, 100_000)
# Changes of the example environment, so that 100,000 jobs run in a day.
BUSY = {"concurrent: 10": "concurrent: 1000", "max_size: 10": "max_size: 200", "max_size: 4": "max_size: 40"}
# A program of the tests that notes each Terraform command, and the file to which the tests let it write.
COUNTING_TERRAFORM = PROJECT / "tests" / "emulator" / "terraform"
TEST_NOTES = PROJECT / ".work" / "terraform_commands.jsonl"


def main() -> None:
    """Measure a synth, and the commands that the options name."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--demo", action="store_true", help="run `make demo` too, and count its Terraform commands"
    )
    parser.add_argument(
        "--test", action="store_true", help="run `make test` too, and count its Terraform commands"
    )
    parser.add_argument(
        "--replay", action="store_true", help="replay 100,000 jobs too, and compare with 10,000"
    )
    parser.add_argument("--scale", action="store_true", help="measure large environments too")
    parser.add_argument(
        "--document",
        action="store_true",
        help="write the synths, and with --scale the large environments, to docs/performance.md",
    )
    arguments = parser.parse_args()
    lines = list(compare_synths())
    print(*lines, sep="\n")
    if arguments.document:
        write_section(DOCUMENT, "synths", lines)
    if arguments.scale:
        # These import the emulator's and the providers' packages.
        from tools.bench.scale import measure_scale  # noqa: PLC0415
        from tools.bench.scale_picture import draw_scale, write_table  # noqa: PLC0415

        measurements = list(measure_scale())
        lines = list(write_table(measurements))
        print(*lines, sep="\n")
        if arguments.document:
            draw_scale(measurements, PICTURE)
            write_section(DOCUMENT, "scale", lines)
    if arguments.replay:
        measure_replays()
    if arguments.demo:
        measure_demo()
    if arguments.test:
        measure_tests()


def measure_replays() -> None:
    """Time a replay of a busy day and of one with a tenth of its jobs, and print the ratio and the memory."""
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        log, settings = Path(folder, "jobs.csv"), Path(folder, "busy.yaml")
        example = (PROJECT / "environments" / "example.yaml").read_text(encoding="utf-8")
        for before, after in BUSY.items():
            example = example.replace(before, after)
        settings.write_text(example, encoding="utf-8")
        jobs = [sys.executable, "-m", "jobs"]
        for count in REPLAYED_JOBS:
            with log.open("w", encoding="utf-8") as file:
                generate = [*jobs, "generate", "--environment", "example", "--jobs", str(count)]
                subprocess.run(generate, cwd=PROJECT, stdout=file, check=True)  # noqa: S603 - ours
            replay = [*jobs, "replay", str(log), "--environment", str(settings), "--json"]
            costs.append(run(replay, output=Path(folder, "answer.json")))
    fewer, more = costs
    print(
        f"A replay of {REPLAYED_JOBS[1]:,} jobs: {more}, {more.peak_mib:.0f} MiB. It takes "
        f"{more.cpu_seconds / fewer.cpu_seconds:.1f} times as long as one of {REPLAYED_JOBS[0]:,}."
    )


def measure_demo() -> None:
    """Run `make demo`, and print its cost and that of its Terraform commands."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "commands.jsonl")
        path = f"{COUNTING_TERRAFORM.parent}{os.pathsep}{os.environ['PATH']}"
        variables = {"TERRAFORM_COMMANDS": str(notes), "TERRAFORM_COMMANDS_PYTHON": sys.executable}
        cost = run(["make", "demo"], {"PATH": path, **variables})
        print(f"make demo: {cost}, {sum_up_notes(notes)}")


def measure_tests() -> None:
    """Run `make test`, and print its cost and that of its Terraform commands."""
    TEST_NOTES.unlink(missing_ok=True)
    print(f"make test: {run(['make', 'test'], {})}, {sum_up_notes(TEST_NOTES)}")


def sum_up_notes(notes: Path) -> str:
    """Return the number of Terraform commands in a file of JSON lines, and the sums of their times."""
    if not notes.exists():
        return "no notes of Terraform commands"
    commands = [json.loads(line) for line in notes.read_text().splitlines()]
    wall, cpu = (sum(command[key] for command in commands) for key in ("seconds", "cpu_seconds"))
    return f"{len(commands)} Terraform commands with {Cost(wall, cpu)}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
