"""`make test-cdktn`: the converted project synthesizes with cdktn what the project synthesizes with cdktf."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks import STACKS
from stacks.settings.load import PROJECT
from tests.emulator.project import NOT_COPIED
from tests.environments import Synthesized
from tests.recipes import recipes

pytestmark = pytest.mark.cdktn

# The only lines that may differ, by their path in a stack's JSON, with the reason.
ACCEPTED_DIFFERENCES = {
    "//.metadata.version": "The release of cdktf or cdktn itself. Terraform does not read this comment.",
}
# Sources and versions of the providers are equal: they are settings (`versions`), not those of the bindings.

ENVIRONMENTS = sorted(file.stem for file in (PROJECT / "environments").glob("*.yaml"))
CASES = [*ENVIRONMENTS, *recipes()]
PACKAGES = PROJECT / ".work" / "cdktn"


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that the documented command has converted, with an environment of its own."""
    folder = tmp_path_factory.mktemp("converted") / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    run(sys.executable, "-m", "tools.to_cdktn", str(folder), folder=PROJECT)
    install(folder)
    return folder


def install(folder: Path) -> None:
    """Give a converted copy the packages of its lock; they stay in `.work/cdktn` for the next run."""
    wanted = (folder / "requirements.lock").read_text()
    installed = PACKAGES / "installed.lock"
    if not installed.exists() or installed.read_text() != wanted:
        # `make lock` has brought uv, which installs in a tenth of pip's time.
        uv = str(folder / ".work" / "lock" / "bin" / "uv")
        run(
            uv,
            "venv",
            "--quiet",
            "--clear",
            "--seed",
            "--python",
            sys.executable,
            str(PACKAGES),
            folder=folder,
        )
        options = [
            "--quiet",
            "--require-hashes",
            "--python",
            str(PACKAGES),
            "--requirement",
            "requirements.lock",
        ]
        run(uv, "pip", "install", *options, folder=folder)
        installed.write_text(wanted)
    (folder / ".venv").symlink_to(PACKAGES)


def run(*command: str, folder: Path, **variables: str) -> str:
    """Run a command, and return what it prints."""
    env = {**os.environ, **variables}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory, converted: Path) -> dict[str, Path]:
    """The folders with the JSON of all cases, by the library that has synthesized it."""
    folders = {}
    for library, project in {"cdktf": PROJECT, "cdktn": converted}.items():
        folders[library] = tmp_path_factory.mktemp(library)
        command = (".venv/bin/python", "-m", "tests.cdktn.synthesize_all", str(folders[library]))
        run(*command, folder=project)
    return folders


def read_stacks(folder: Path) -> Synthesized:
    """Return the JSON of all stacks in an output folder."""
    return {name: json.loads((folder / "stacks" / name / "cdk.tf.json").read_text()) for name in STACKS}


def differences(ours: Any, theirs: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Yield each value that differs, by its path; the type of a value counts, too."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from differences(ours.get(key, "<missing>"), theirs.get(key, "<missing>"), (*path, key))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(*pair, (*path, str(index)))
    elif ours != theirs or type(ours) is not type(theirs):
        yield ".".join(path), ours, theirs


@pytest.mark.parametrize("case", CASES)
def test_cdktn_synthesizes_the_same(synthesized: dict[str, Path], case: str) -> None:
    """The JSON of each environment and recipe is equal but for the listed lines."""
    ours, theirs = (read_stacks(synthesized[library] / case) for library in ("cdktf", "cdktn"))
    for stack in STACKS:
        found = list(differences(ours[stack], theirs[stack]))
        assert {path for path, _, _ in found} == set(ACCEPTED_DIFFERENCES), found


def test_main_of_the_converted_project_synthesizes_the_example(converted: Path, tmp_path: Path) -> None:
    """main.py runs with cdktn, without its command line, and writes what the snapshots hold."""
    run(".venv/bin/python", "main.py", folder=converted, ENV="example", CDKTF_OUTDIR=str(tmp_path))
    for stack, json_of_cdktn in read_stacks(tmp_path).items():
        snapshot = json.loads((PROJECT / "tests" / "snapshots" / f"{stack}.json").read_text())
        found = {path for path, _, _ in differences(snapshot, json_of_cdktn)}
        assert found == set(ACCEPTED_DIFFERENCES), found


def test_the_converted_project_needs_nothing_of_cdktf(converted: Path) -> None:
    """Its packages are those of cdktn alone, and so is the command line that npm would install."""
    listed = {
        item["name"]
        for item in json.loads(
            run(".venv/bin/python", "-m", "pip", "list", "--format", "json", folder=converted)
        )
    }
    assert {name for name in listed if "cdkt" in name} == {
        "cdktn",
        "cdktn-provider-aws",
        "cdktn-provider-helm",
        "cdktn-provider-kubernetes",
    }
    lock = json.loads((converted / "package-lock.json").read_text())
    names = {path.rpartition("node_modules/")[2] for path in lock["packages"]}
    assert "cdktn-cli" in names
    assert not {name for name in names if re.search(r"\bcdktf\b", name)}
