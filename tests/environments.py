"""Environments for tests: change settings, write them, synthesize the stacks, read the result."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from cdktf import App
from ruamel.yaml import YAML

from stacks import STACKS
from stacks.app import ADD_STACK, build
from stacks.backend import read_backend
from stacks.settings import Settings
from stacks.settings.load import PROJECT

RELEASED = PROJECT / "tests" / "fixtures" / "released"
# The folders there, which are the versions from which an environment can be upgraded.
RELEASES = sorted(folder.name for folder in RELEASED.iterdir())

Changes = dict[str, Any]
WriteEnvironment = Callable[..., Path]
Mistakes = Callable[..., list[str]]
Synthesized = Mapping[str, dict[str, Any]]


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
    """Write an environment's document, with its keys in their order: that of node groups matters.

    JSON is YAML, and Python's JSON writer takes a small part of the time of a YAML writer.
    """
    target.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")


def synthesize(settings: Settings, folder: Path) -> None:
    """Write the JSON of each stack, as a user finds it under `cdktf.out/stacks`."""
    app = App(outdir=str(folder))
    build(app, settings, read_backend(PROJECT / "backend.tf.json"))
    app.synth()


class LazyStacks(Mapping[str, dict[str, Any]]):
    """The JSON of the stacks of an environment: a stack is synthesized alone, when a test reads it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Take the settings and a folder to write to."""
        self._settings, self._folder = settings, folder
        self._synthesized: dict[str, str] = {}
        self._stacks: dict[str, dict[str, Any]] = {}

    def copy(self) -> "LazyStacks":
        """Return stacks that may be changed without a change of these; both synthesize a stack only once."""
        copied = LazyStacks(self._settings, self._folder)
        copied._synthesized = self._synthesized
        return copied

    def __getitem__(self, stack: str) -> dict[str, Any]:
        """Return the JSON of a stack, which the caller may change."""
        if stack not in self._stacks:
            if stack not in self._synthesized:
                self._synthesized[stack] = self._synthesize(stack)
            self._stacks[stack] = json.loads(self._synthesized[stack])
        return self._stacks[stack]

    def __iter__(self) -> Iterator[str]:
        """Return the names of the stacks."""
        return iter(STACKS)

    def __len__(self) -> int:
        """Return the number of stacks."""
        return len(STACKS)

    def _synthesize(self, stack: str) -> str:
        app = App(outdir=str(self._folder))
        ADD_STACK[stack](app, self._settings, read_backend(PROJECT / "backend.tf.json"))
        app.synth()
        return (self._folder / "stacks" / stack / "cdk.tf.json").read_text()


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
