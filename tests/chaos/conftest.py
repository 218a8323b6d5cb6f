"""The fixtures of the emulator's tests that the tests of chaos use too, and the outcomes of cases."""

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.conftest import aws_reattach

__all__ = ["aws_reattach"]


@pytest.fixture(scope="module")
def chance(seed: int) -> random.Random:
    """The source of all random choices."""
    return random.Random(seed)


@dataclass(frozen=True)
class Outcomes:
    """A file with the outcome of each case of one part, from all workers of pytest-xdist."""

    file: Path

    def add(self, outcome: dict[str, Any]) -> None:
        """Add the outcome of a case."""
        with self.file.open("a") as file:
            file.write(json.dumps(outcome) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """Return all outcomes so far. The worker that ends last finds all of them."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, testrun_uid: str
) -> Outcomes:
    """The outcomes of the cases of a test file."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the workers' own folders are in it
    return Outcomes(folder / f"{Path(request.path).stem}-{testrun_uid}.jsonl")
