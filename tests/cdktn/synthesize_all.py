"""Synthesize every environment and recipe: `python -m tests.cdktn.synthesize_all FOLDER`.

`make test-cdktn` runs it with cdktf, and in the converted copy with cdktn.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stacks.settings import Settings
from stacks.settings.load import PROJECT, load_settings
from tests.environments import synthesize, write_changed
from tests.recipes import recipes


def main(output: Path) -> None:
    """Write the stacks of each case to a folder of its own below `output`."""
    for name, settings in list_cases():
        synthesize(settings, output / name)


def list_cases() -> Iterator[tuple[str, Settings]]:
    """Yield the settings of each case by its name."""
    for file in sorted((PROJECT / "environments").glob("*.yaml")):
        yield file.stem, load_settings(file)
    with tempfile.TemporaryDirectory() as folder:
        for title, changes in recipes().items():
            yield title, load_settings(write_changed(Path(folder), changes, base="example", name="example"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
