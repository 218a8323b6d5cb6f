"""Fixtures that all tests share."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from stacks.settings.load import SettingsError, load_settings
from tests.environments import (
    Changes,
    LazyStacks,
    Mistakes,
    Synthesized,
    WriteEnvironment,
    write_changed,
)

# A shell starts a background job with SIGINT ignored, and the programs of the tests would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.chaos.figures", "tests.emulator.terraform_commands", "tests.scheduling"]


@pytest.fixture
def write_environment(tmp_path: Path) -> WriteEnvironment:
    """Write a copy of an environment with some settings changed, and return its path.

    Arguments as for `write_changed`, without the folder.
    """

    def write(changes: Changes | None = None, *, base: str = "example", name: str = "example") -> Path:
        return write_changed(tmp_path, changes or {}, base=base, name=name)

    return write


@pytest.fixture
def mistakes(write_environment: WriteEnvironment, tmp_path: Path) -> Mistakes:
    """Return the lines that refuse a changed environment, without its folder and line numbers."""

    def lines(changes: Changes, **options: str) -> list[str]:
        with pytest.raises(SettingsError) as refused:
            load_settings(write_environment(changes, **options))
        seen = [line.removeprefix(f"{tmp_path}/") for line in refused.value.mistakes]
        return [re.sub(r"^([^:]+):\d+: ", r"\1: ", line) for line in seen]

    return lines


@pytest.fixture(scope="session")
def synthesize_changed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Synthesized]:
    """Synthesize an environment with some settings changed; arguments as for `write_environment`.

    A synth takes half a second, so each stack with the same changes is synthesized once; each caller gets its
    own copy.
    """
    known: dict[str, LazyStacks] = {}

    def changed(
        changes: Changes | None = None, *, base: str = "example", name: str = "example"
    ) -> Synthesized:
        key = json.dumps([changes or {}, base, name])
        if key not in known:
            folder = tmp_path_factory.mktemp("synthesized")
            settings = load_settings(write_changed(folder, changes or {}, base=base, name=name))
            known[key] = LazyStacks(settings, folder / "cdktf.out")
        return known[key].copy()

    return changed


@pytest.fixture(scope="session")
def example(synthesize_changed: Callable[..., Synthesized]) -> Synthesized:
    """Return the synthesized JSON of environments/example.yaml, unchanged."""
    return synthesize_changed()


@pytest.fixture(scope="session")
def local(synthesize_changed: Callable[..., Synthesized]) -> Synthesized:
    """Return the synthesized JSON of environments/local.yaml, unchanged."""
    return synthesize_changed(base="local", name="local")
