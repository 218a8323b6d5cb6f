"""Fixtures that all tests share."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stacks.settings.load import PROJECT, SettingsError, load_settings
from tests.environments import (
    Changes,
    Mistakes,
    Synthesized,
    WriteEnvironment,
    change_settings,
    synthesize,
)


@pytest.fixture
def write_environment(tmp_path: Path) -> WriteEnvironment:
    """Write a copy of an environment with some settings changed, and return its path.

    `write_environment({"network.cidr": "10.1.0.0/16"})` changes example.yaml; `base="local"` another
    one, `name="x"` names the copy. A value of None removes the key.
    """

    def write(changes: Changes | None = None, *, base: str = "example", name: str = "example") -> Path:
        yaml = YAML(typ="safe")
        yaml.default_flow_style = False
        document = yaml.load((PROJECT / "environments" / f"{base}.yaml").read_text())
        change_settings(document, changes or {})
        target = tmp_path / f"{name}.yaml"
        yaml.dump(document, target)
        return target

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
def example(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """Return the synthesized JSON of environments/example.yaml, unchanged."""
    settings = load_settings(PROJECT / "environments" / "example.yaml")
    return synthesize(settings, tmp_path_factory.mktemp("example"))


@pytest.fixture
def synthesize_changed(write_environment: WriteEnvironment, tmp_path: Path) -> Callable[..., Synthesized]:
    """Synthesize an environment with some settings changed; arguments as for `write_environment`."""

    def changed(changes: Changes | None = None, **options: str) -> Synthesized:
        return synthesize(load_settings(write_environment(changes, **options)), tmp_path / "cdktf.out")

    return changed
