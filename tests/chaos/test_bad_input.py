"""Bad input: every program ends with what it was asked for, or with one clear message, in bounded time and memory."""

import json
import os
import select
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import seed as seeded
from hypothesis import settings as bounds
from hypothesis import strategies as some

from stacks.settings.load import PROJECT
from tests.chaos.figures import Figures
from tests.chaos.input_cases import Kind, changed_documents, changed_texts, kinds, large_inputs, noise
from tests.chaos.input_worker import MEMORY, SECONDS
from tests.unit.test_plan_review_fuzz import build_plan

KINDS = {kind.name: kind for kind in kinds()}
RUNS_OF_A_WORKER = 200  # Node.js keeps what it has synthesized
MAX_LINE, MAX_LINES = 2000, 120  # of a message


@dataclass
class Worker:
    """The process that runs the programs, begun again when it has ended."""

    folder: Path
    synthesizes: bool = False
    process: subprocess.Popen[str] | None = None
    runs: int = 0

    def run(self, program: str, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
        """Run a program, and return what it did."""
        if self.process is None or (self.synthesizes and self.runs >= RUNS_OF_A_WORKER):
            self.stop()
            self.process = self._start()
        self.runs += 1
        assert self.process.stdin
        assert self.process.stdout
        request = {"program": program, "arguments": arguments, "environment": environment}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], 20 * SECONDS)
        answer = self.process.stdout.readline() if ready else ""
        if answer:
            found: dict[str, Any] = json.loads(answer)
            return found
        self.process.kill()
        status = self.process.wait()
        self.stop()
        return {"failure": f"the process ended with {status}" if not ready else f"it has ended: {status}"}

    def _start(self) -> subprocess.Popen[str]:
        self.runs = 0
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "CI_", "ENV"))
        }
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.chaos.input_worker",
                str(self.folder),
                *["synthesize"] * self.synthesizes,
            ],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={
                **environment,
                "AWS_EC2_METADATA_DISABLED": "true",
                "CDKTF_OUTDIR": str(self.folder / "cdktf.out"),
            },
        )

    def stop(self) -> None:
        """End the process."""
        if self.process and self.process.stdin and self.process.stdout:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
        self.process = None
