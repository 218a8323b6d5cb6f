"""Checkouts of the project on unusual machines, and what their demos leave."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_aws import emulator
from stacks.settings.load import PROJECT
from tests.emulator.project import copy_project
from tests.processes import find_processes, started

# A leading dash, spaces, an umlaut, and characters that mean something to make, the shell or a URL.
UNUSUAL = """-Größe $HOME "a" 'b' #c &d %e"""

STAMPS = (
    "tools",
    "python",
    "node",
    "compiled",
    "ready-python",
    "ready",
    "ready-tests",
)  # in .work, in the order in which the set-up writes them
GRACE_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        status: Its exit status.
        output: What it printed, errors included.

    """

    status: int
    output: str

    @property
    def message(self) -> str:
        """The last line that is not of make."""
        lines = [line for line in self.output.splitlines() if line and not line.startswith("make")]
        return lines[-1] if lines else ""


@dataclass(frozen=True)
class Checkout:
    """A copy of the project, with a folder for temporary files of its own.

    Attributes:
        folder: Where it lies.
        temporary: Its TMPDIR.

    """

    folder: Path
    temporary: Path

    def run(
        self, *command: str, variables: Mapping[str, str] | None = None, unset: tuple[str, ...] = ()
    ) -> Ended:
        """Run a command to its end."""
        with self.started(*command, variables=variables, unset=unset) as process:
            output, _ = process.communicate(timeout=1500)
        return Ended(process.returncode, output)

    @contextmanager
    def started(
        self, *command: str, variables: Mapping[str, str] | None = None, unset: tuple[str, ...] = ()
    ) -> Iterator["subprocess.Popen[str]"]:
        """Start a command in a process group of its own; the group does not outlive the block."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_") and name not in unset
        }
        variables = {**kept, **(variables or {})}
        with started(
            *command, folder=self.folder, environment=variables, stderr=subprocess.STDOUT
        ) as process:
            yield process

    def find_processes(self) -> dict[int, str]:
        """Return the command lines of the processes in the folder, without those of the emulator."""
        return find_processes(self.folder)

    def wait_for_processes(self) -> list[str]:
        """Return the command lines of the processes that have not ended after a while."""
        deadline = time.monotonic() + GRACE_SECONDS
        while self.find_processes() and time.monotonic() < deadline:
            time.sleep(0.2)
        return list(self.find_processes().values())

    def take_temporary_files(self) -> list[str]:
        """Return the names of the temporary files that are left, and remove them."""
        left = sorted(path.name for path in self.temporary.iterdir())
        for name in left:
            shutil.rmtree(self.temporary / name, ignore_errors=True)
            (self.temporary / name).unlink(missing_ok=True)
        return left


@contextmanager
def checkout(folder: Path, *, port: int | None = None, ready: bool = True) -> Iterator[Checkout]:
    """Copy the project into a folder; the block's end stops its emulator.

    Args:
        folder: Where to copy it to.
        port: The emulator's port; None for a free one.
        ready: Whether it has been set up; its packages are then links to those of this project.

    """
    copy_project(folder)
    local = folder / "environments" / "local.yaml"
    local.write_text(local.read_text().replace(":4566", f":{port or find_free_port()}"))
    (folder / ".work").mkdir()
    # Unpacking cdktf takes Node.js most of a minute.
    packages = PROJECT / ".work" / "jsii"
    packages.mkdir(parents=True, exist_ok=True)
    (folder / ".work" / "jsii").symlink_to(packages)
    if ready:
        for stamp in STAMPS:
            (folder / ".work" / stamp).touch()
    else:
        for name in (".venv", "node_modules"):
            (folder / name).unlink()
    # A short path: a socket's has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp", ignore_cleanup_errors=True) as temporary:
        try:
            yield Checkout(folder, Path(temporary))
        finally:
            emulator.stop(work=folder / ".work")


def find_free_port() -> int:
    """Return a port on which no program listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
