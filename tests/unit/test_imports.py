"""Who may import whom: settings ← state ← parts ← stacks ← app ← main.py."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from stacks.settings.load import PROJECT
from tests.environments import STACKS

PLAIN = {"settings", "versions", "runner_config", "backend", "environment", "errors", "resources"}  # no cdktf
OUTPUTS = {
    "stacks.network": set[str](),
    "stacks.existing_network": {"stacks.network.NetworkOutputs", "stacks.network.EVERYWHERE"},
    "stacks.cluster": {"stacks.network.NetworkOutputs"},
    "stacks.workloads": {"stacks.cluster.ClusterOutputs"},
}
MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in [PROJECT / "main.py", *(PROJECT / "stacks").rglob("*.py")]
}


def imports(path: Path) -> Iterator[str]:
    """Yield every name that a file imports, in full: `stacks.state.output`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str | None:
    """Return the module of the project in which an imported name stands, if it is one."""
    candidates = (name, name.rpartition(".")[0])
    return next((module for module in candidates if module in MODULES), None)


def is_plain(module: str) -> bool:
    """Whether a module must be usable without cdktf."""
    return module.startswith("stacks.") and module.split(".")[1] in PLAIN


@pytest.mark.parametrize("module", sorted(filter(is_plain, MODULES)))
def test_settings_are_read_without_cdktf(module: str) -> None:
    """What only knows settings needs neither cdktf nor a module that does."""
    for name in imports(MODULES[module]):
        assert not name.startswith(("cdktf", "constructs", "jsii")), name
        assert name.partition(".")[0] not in {"stacks", "main"} or is_plain(module_of(name) or ""), name


def test_state_knows_no_stack() -> None:
    """What carries outputs from stack to stack knows settings, but neither stacks nor their parts."""
    ours = [module_of(name) or "" for name in imports(MODULES["stacks.state"]) if name.startswith("stacks")]
    assert ours
    assert all(map(is_plain, ours))


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"stacks.app"}))
def test_a_stack_knows_only_what_the_one_before_it_publishes(module: str) -> None:
    """A stack is imported by app.py alone; its Outputs by the next stack, and nothing else of it."""
    stacks = tuple(f"stacks.{stack}" for stack in STACKS)
    of_stacks = {name for name in imports(MODULES[module]) if module_of(name) in stacks}
    assert of_stacks <= OUTPUTS.get(module, set())


def test_nothing_imports_main() -> None:
    """main.py is the end of the line."""
    for module, path in MODULES.items():
        assert not [name for name in imports(path) if name.split(".")[0] == "main"], module


def test_no_module_is_in_a_circle() -> None:
    """The modules can be read in one order, each after those that it imports."""
    graph = {module: {module_of(name) for name in imports(path)} - {None} for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("module", MODULES)
def test_stacks_do_not_know_the_tools_around_them(module: str) -> None:
    """No stack needs the emulator, the rehearsal, the bootstrap or a test."""
    folders = {path.name for path in PROJECT.iterdir() if path.is_dir()} - {"stacks"}
    scripts = {path.stem for path in PROJECT.glob("*.py")}
    assert not [name for name in imports(MODULES[module]) if name.split(".")[0] in folders | scripts]


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"stacks.state"}))
def test_only_state_py_knows_remote_state(module: str) -> None:
    """Backends, remote state and outputs of Terraform are the business of one file."""
    knowing = {"cdktf.S3Backend", "cdktf.DataTerraformRemoteStateS3", "cdktf.TerraformOutput"}
    assert not knowing & set(imports(MODULES[module]))


@pytest.mark.parametrize("module", MODULES)
def test_providers_are_imported_by_submodule(module: str) -> None:
    """A class comes from its own submodule: the packages as such have nothing (stacks/lean_imports.py)."""
    for name in imports(MODULES[module]):
        package, _, rest = name.partition(".")
        assert not package.startswith("cdktf_cdktf_provider_") or rest.count(".") == 1, name


def test_no_file_is_called_after_nothing() -> None:
    """A file is named after what it is about."""
    named = {part for module in MODULES for part in module.split(".")}
    assert not named & {"utils", "util", "common", "helpers", "base", "misc"}
