"""Environments for tests: change settings, write them, synthesize the stacks, read the result."""

import json
import tomllib
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from cdktf import App
from ruamel.yaml import YAML

from stacks.app import build
from stacks.backend import read_backend
from stacks.settings import Settings
from stacks.settings.load import PROJECT

STACKS = ("network", "cluster", "workloads")
RELEASED = PROJECT / "tests" / "fixtures" / "released"
# The folders there, which are the versions from which an environment can be upgraded.
RELEASES = sorted(folder.name for folder in RELEASED.iterdir())

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


@cache
def _read_environment(name: str) -> Any:
    return YAML(typ="safe").load((PROJECT / "environments" / f"{name}.yaml").read_text())


def write_changed(folder: Path, changes: Changes, *, base: str, name: str) -> Path:
    """Write a copy of the environment `base` to `<folder>/<name>.yaml`, with some settings changed."""
    document = deepcopy(_read_environment(base))
    change_settings(document, changes)
    target = folder / f"{name}.yaml"
    write_document(document, target)
    return target


def write_document(document: dict[str, Any], target: Path) -> None:
    """Write an environment's document, with its keys in their order: that of node groups matters."""
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(document, target)


def synthesize(settings: Settings, folder: Path) -> Synthesized:
    """Return the JSON of each stack, as a user finds it under `cdktf.out/stacks`."""
    app = App(outdir=str(folder))
    build(app, settings, read_backend(PROJECT / "backend.tf.json"))
    app.synth()
    return {stack: json.loads((folder / "stacks" / stack / "cdk.tf.json").read_text()) for stack in STACKS}


def read_released(release: str) -> Synthesized:
    """Return the JSON of environments/local.yaml in a released version (`make released` writes it)."""
    return {stack: json.loads((RELEASED / release / f"{stack}.json").read_text()) for stack in STACKS}


def runner_values(workloads: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the release of each runner fleet with its Helm values."""
    for release in workloads["resource"]["helm_release"].values():
        if release["chart"] == "gitlab-runner":
            (values,) = release["values"]
            yield release, YAML(typ="safe").load(values)


def runners(stacks: Synthesized) -> dict[str, dict[str, Any]]:
    """Return the `[[runners]]` of each fleet by its name."""
    found = {}
    for _, values in runner_values(stacks["workloads"]):
        (found[values["runners"]["name"]],) = tomllib.loads(values["runners"]["config"])["runners"]
    return found
