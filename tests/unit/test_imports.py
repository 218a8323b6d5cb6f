"""Import rules that the contracts in pyproject.toml can't express: names inside of a module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.settings.load import PROJECT

STACKS = {"stacks.network", "stacks.existing_network", "stacks.cluster", "stacks.workloads"}
PUBLISHED = {"NetworkOutputs", "ClusterOutputs"}
REMOTE_STATE = {"S3Backend", "DataTerraformRemoteStateS3", "TerraformOutput"}
BUILDERS = {PROJECT / "main.py", PROJECT / "stacks" / "app.py"}
FILES = sorted((PROJECT / "stacks").rglob("*.py"))


def read_imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of every `from … import …` in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", [path for path in FILES if path not in BUILDERS], ids=lambda path: path.stem)
def test_a_stack_imports_only_outputs_of_another_stack(path: Path) -> None:
    """A stack reads the Outputs of the stack before it, and uses no other part of it."""
    assert {name for module, name in read_imports(path) if module in STACKS} <= PUBLISHED


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_state_py_uses_remote_state(path: Path) -> None:
    """Only stacks/state.py uses backends, remote state and outputs of Terraform."""
    names = {name for module, name in read_imports(path) if module.partition(".")[0] == "cdktf"}
    assert path.name == "state.py" or not names & REMOTE_STATE


def test_no_file_has_a_name_without_a_subject() -> None:
    """A file is named after its subject, never `utils` or `helpers`."""
    assert not {path.stem for path in FILES} & {"utils", "util", "common", "helpers", "base", "misc"}
