"""Convert a copy of this project from cdktf to cdktn: `python -m tools.to_cdktn FOLDER`.

cdktn (CDK Terrain) is the maintained fork of cdktf. It has the same API in packages of other names, so the
conversion renames imports, requirements and the command line, and renews the lock files. Settings, stacks
and prose stay as they are. `make test-cdktn` converts a copy, and compares what both synthesize.
"""

import argparse
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deployment.command_line import run_command
from stacks.errors import UserError

# Releases that fit together; the bindings are the newest ones that take the arguments of this project.
VERSIONS = {
    "cdktn": "0.24.0",
    "cdktn-provider-aws": "25.8.1",  # AWS provider 6.69.1
    "cdktn-provider-helm": "15.1.0",  # helm provider 3.3.0
    # kubernetes provider 3.2.1. From 17.0.1 on, NamespaceV1 takes a list of `metadata`.
    "cdktn-provider-kubernetes": "17.0.0",
    "constructs": "10.7.2",  # cdktn 0.24 accepts no 10.8
}
COMMAND_LINE = "0.24.0"  # cdktn-cli

# The folders and files of cdktf keep their names in cdktn: cdktf.json, cdktf.out, CDKTF_OUTDIR.
RENAMES = (
    (re.compile(r"cdktf_cdktf_provider_"), "cdktn_provider_"),
    (re.compile(r"cdktf-cdktf-provider-"), "cdktn-provider-"),
    (re.compile(r"@cdktf\b"), "@cdktn"),
    (re.compile(r"\bcdktf-cli\b"), "cdktn-cli"),
    (re.compile(r"(?<=\bbin/)cdktf\b|(?<=\bnpx )cdktf\b"), "cdktn"),
    (re.compile(r"\bcdktf(?= import\b|==|\.StringMap\b|[\"'](?!s\b))"), "cdktn"),
)
RENAMED_FILES = (
    "*.py",
    "*.cjs",
    "requirements*.txt",
    "constraints.txt",
    "package.json",
    "pyproject.toml",
    "README.md",
)
# These files name both libraries.
ABOUT_BOTH = {"tools/to_cdktn.py", "tests/cdktn/test_cdktn.py", "tests/unit/test_to_cdktn.py"}
NOT_OF_THE_PROJECT = {".git", ".venv", ".work", "node_modules", "cdktf.out"}


def main() -> None:
    """Convert the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tools.to_cdktn", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a copy of this project")
    folder = parser.parse_args().folder
    run_command(lambda: convert(folder))


def convert(folder: Path) -> int:
    """Convert a copy of the project, and say what is left to do."""
    rename(folder)
    renew_locks(folder)
    print(f"{folder}: converted. Read the differences, then run `make snapshots` in it.")
    return 0


def rename(folder: Path) -> None:
    """Rename imports and requirements, and pin the versions of cdktn."""
    requirements = folder / "requirements.txt"
    if not requirements.is_file() or "cdktf==" not in requirements.read_text(encoding="utf-8"):
        raise UserError(
            f"{folder}: no requirements.txt with cdktf. Accepted: a copy of this project, with cdktf"
        )
    for file in find_files(folder):
        before = file.read_text(encoding="utf-8")
        after = convert_text(before)
        if after != before:
            file.write_text(after, encoding="utf-8")


def find_files(folder: Path) -> Iterator[Path]:
    """Yield each file in which packages may be named."""
    for parent, folders, names in os.walk(folder):
        folders[:] = set(folders) - NOT_OF_THE_PROJECT
        for file in (Path(parent, name) for name in names):
            is_renamed = any(file.match(pattern) for pattern in RENAMED_FILES)
            if is_renamed and file.relative_to(folder).as_posix() not in ABOUT_BOTH:
                yield file


def convert_text(text: str) -> str:
    """Rename the packages of cdktf, and pin the versions of cdktn, in code or requirements."""
    for pattern, name in RENAMES:
        text = pattern.sub(name, text)
    for name, version in VERSIONS.items():
        text = re.sub(rf"^{name}==\S+", f"{name}=={version}", text, flags=re.MULTILINE)
    # package.json, and a command for npm
    return re.sub(r'("cdktn-cli": "|cdktn-cli@)[\d.]+', rf"\g<1>{COMMAND_LINE}", text)


def renew_locks(folder: Path) -> None:
    """Write the lock files anew."""
    # The variables of a make that runs this program would reach the make of the copy.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "lock"], cwd=folder, env=env, capture_output=True, text=True, check=False)  # noqa: S607
    if done.returncode:
        raise UserError(f"{folder}: renamed, but `make lock` failed: {done.stderr.strip()}")


if __name__ == "__main__":
    main()
