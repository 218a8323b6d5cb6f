"""The seed of a run of chaos, and the figures that it writes to docs/reliability.md: a plugin for pytest."""

import secrets
from collections.abc import Iterable
from pathlib import Path

import pytest

from stacks.settings.load import PROJECT
from tools.sections import write_section

DOCUMENT = PROJECT / "docs" / "reliability.md"
SAMPLE_SEED = 20261126


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `make chaos`."""
    group = parser.getgroup("chaos")
    group.addoption("--seed", type=int, help="seed of the random choices of `make chaos`; default: a new one")
    group.addoption("--figures", action="store_true", help="write the figures to docs/reliability.md")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed: a fixed one for the small sample in `make test`, a new one for `make chaos`."""
    if config.option.seed is None:
        is_full = "chaos" in config.option.markexpr and "not chaos" not in config.option.markexpr
        config.option.seed = secrets.randbelow(10**9) if is_full else SAMPLE_SEED


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed, with which a run can be repeated."""
    return f"chaos: --seed {config.option.seed}"


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of all random choices; the run's header names it."""
    found: int = request.config.option.seed
    return found


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> "Figures":
    """Return the document of the figures."""
    return Figures(DOCUMENT if request.config.option.figures else None, request.config.option.seed)


class Figures:
    """The tables in docs/reliability.md, each between two comments that name it."""

    def __init__(self, document: Path | None, seed: int) -> None:
        """Take the document, or None to write nothing."""
        self._document, self._seed = document, seed

    def write(self, part: str, lines: Iterable[str], *, is_whole: bool = True) -> None:
        """Replace what stands between `<!-- begin PART -->` and `<!-- end PART -->`.

        Args:
            part: The name of the part; the document holds its two comments.
            lines: Lines of Markdown, such as those of a table.
            is_whole: Whether every case of the part has an outcome; if not, the lines are only printed.

        Raises:
            LookupError: If the document has no such part.

        """
        lines = list(lines)
        print("\n".join(lines))
        if self._document is None:
            return
        if not is_whole:
            print(f"{self._document.name}: the part {part} stays, since not every case has run")
            return
        write_section(self._document, part, [*lines, "", f"Seed: {self._seed}."])
