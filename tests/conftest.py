"""What all tests share: an environment with some settings changed, and its synthesized JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cdktf import App
from ruamel.yaml import YAML

from main import build
from stacks.backend import read_backend
from stacks.settings import Settings
from stacks.settings.load import PROJECT, SettingsError, load_settings

STACKS = ("network", "cluster", "workloads")

Changes = dict[str, Any]
WriteEnvironment = Callable[..., Path]
Mistakes = Callable[..., list[str]]
Synthesized = dict[str, dict[str, Any]]


def change_settings(document: dict[str, Any], changes: Changes) -> None:
    """Change settings in an environment's document by their paths; a value of None removes the key."""
    for path, value in changes.items():
        *parents, last = path.split(".")
        node: Any = document
        for parent in parents:
            node = node[int(parent)] if isinstance(node, list) else node.setdefault(parent, {})
        if value is None:
            del node[last]
        else:
            node[last] = value


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
    """Return the lines that refuse an environment with some settings changed, as seen from its folder."""

    def lines(changes: Changes, **options: str) -> list[str]:
        with pytest.raises(SettingsError) as refused:
            load_settings(write_environment(changes, **options))
        return [line.removeprefix(f"{tmp_path}/") for line in refused.value.mistakes]

    return lines


def synthesize(settings: Settings, folder: Path) -> Synthesized:
    """Return the JSON of each stack, as a user finds it under `cdktf.out/stacks`."""
    app = App(outdir=str(folder))
    build(app, settings, read_backend(PROJECT / "backend.tf.json"))
    app.synth()
    return {stack: json.loads((folder / "stacks" / stack / "cdk.tf.json").read_text()) for stack in STACKS}


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
