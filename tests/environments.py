"""Environments for tests: change settings, and synthesize the stacks.

The fixtures of tests/conftest.py are built from this.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cdktf import App

from stacks.app import build
from stacks.backend import read_backend
from stacks.settings import Settings
from stacks.settings.load import PROJECT

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


def synthesize(settings: Settings, folder: Path) -> Synthesized:
    """Return the JSON of each stack, as a user finds it under `cdktf.out/stacks`."""
    app = App(outdir=str(folder))
    build(app, settings, read_backend(PROJECT / "backend.tf.json"))
    app.synth()
    return {stack: json.loads((folder / "stacks" / stack / "cdk.tf.json").read_text()) for stack in STACKS}
