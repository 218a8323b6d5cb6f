"""The places where a run could leave a secret: files, versions in S3, and the processes while they run."""

import hashlib
import math
import os
import re
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.chaos.secret_search import Searcher

INTERVAL_SECONDS = 0.02
BEGIN_SECONDS = 5
MAX_WATCHED = 20 * 1024**2  # bytes; what is larger and stays is searched at the end
# A command after these words may write core files as large as this machine allows.
WITH_CORE_FILES = ("sh", "-c", 'ulimit -c "$(ulimit -H -c)" && exec "$@"', "sh")
MARK = "SECRETS_RUN"  # an environment variable: each process of the run inherits it
# Folders of programs, not of what programs write; links lead out of the project.
_PROGRAMS = frozenset({"node_modules", "providers", "terraform-plugins", "jsii", ".venv"})


class Find(NamedTuple):
    """A secret in a place: what the place is, its name, and the secret's."""

    kind: str
    name: str
    secret: str


@dataclass
class Evidence:
    """The contents that were searched.

    Attributes:
        searcher: The search.
        finds: The secrets that were found.
        searched: The number of contents by kind.

    """

    searcher: Searcher
    finds: set[Find] = field(default_factory=set)
    searched: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _known: dict[bytes, set[str]] = field(default_factory=dict)
    _names: set[tuple[str, str, bytes]] = field(default_factory=set)

    def add(self, kind: str, name: str, content: bytes) -> None:
        """Search a content; the same content of the same name counts once."""
        digest = hashlib.sha256(content).digest()
        if (kind, name, digest) in self._names:
            return
        self._names.add((kind, name, digest))
        if digest not in self._known:
            self._known[digest] = self.searcher.find(content)
        self.searched[kind] += 1
        self.finds |= {Find(kind, name, secret) for secret in self._known[digest]}

    def add_all(self, contents: Iterable[tuple[str, str, bytes]]) -> None:
        """Search contents, each with its kind and its name."""
        for kind, name, content in contents:
            self.add(kind, name, content)

    def kinds(self, secret: str) -> set[str]:
        """Return the kinds of places in which a secret was found."""
        return {find.kind for find in self.finds if find.secret == secret}


def read_versions(s3: Any, bucket: str) -> Iterator[tuple[str, str, bytes]]:
    """Yield each version of each object in a bucket, also of deleted ones: states, and approvals."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for item in page.get("Versions", ()):
            key, version = item["Key"], item["VersionId"]
            kind = "record of approvals" if "/approvals/" in key else "states, every version in S3"
            found = s3.get_object(Bucket=bucket, Key=key, VersionId=version)
            yield kind, f"{key}@{version}", found["Body"].read()


def read_files(folder: Path, kinds: "Kinds", *, since: float = 0) -> Iterator[tuple[str, str, bytes]]:
    """Yield each file below a folder that was written since a time, but for programs."""
    for path in walk(folder):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime >= since:
                yield kinds.of(path), str(path), path.read_bytes()


def core_files_stay() -> bool:
    """Return whether this machine's kernel writes a core file to the folder of the process."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    return "/" not in pattern and not pattern.startswith("|")


def walk(folder: Path) -> Iterator[Path]:
    """Yield the regular files below a folder, but for programs; links are not followed."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _PROGRAMS and not name.startswith("jsii-")]
        for name in files:
            path = Path(parent, name)
            with suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path


# The first pattern that fits a path in the project.
_KINDS = {
    r"(.*/)?core(\.\d+)?": "core files",
    r"\.work/\.?rehearsal\.json.*": "record of the stand-ins",
    r".*\.sarif|plans/.*(report\.md|gitlab\.json|code-quality\.json|plans\.json)": (
        "reports (Markdown, SARIF, Code Quality, GitLab)"
    ),
    r"plans/.*|.*\.tfplan": "plan files, their JSON and text",
    r"\.work/emulator\.log": "files and log of the emulator",
    r"commands\.log|\.work/crashed-\w+\.log": "output of commands",
    r".*\.log": "logs (Terraform at TRACE, cdktf at debug, demo)",
    r"cdktf\.out/.*": "synthesized JSON and Terraform's folders",
    r".*": "other files of the project",
}


@dataclass(frozen=True)
class Kinds:
    """The kinds of the files of a project, by their names.

    Attributes:
        project: The project's folder.
        temporary: The folder for temporary files.

    """

    project: Path
    temporary: Path

    def of(self, path: Path) -> str:
        """Return the kind of a file."""
        folders = {
            self.temporary: "temporary files",
            self.project / ".work" / "emulator": "files and log of the emulator",
        }
        for folder, kind in folders.items():
            if path.is_relative_to(folder):
                return kind
        inside = path.relative_to(self.project).as_posix()
        return next(kind for pattern, kind in _KINDS.items() if re.fullmatch(pattern, inside))


class Watcher:
    """Reads processes and files again and again, in a thread, until the block ends.

    A process or a file that lives for less than an interval can be missed.
    """

    def __init__(self, mark: str, folders: Iterable[Path], kinds: Kinds, *, record: Path) -> None:
        """Prepare.

        Args:
            mark: The value of MARK in the environment of the run's processes.
            folders: The folders to watch.
            kinds: The kinds of their files.
            record: The record of the stand-ins; files beside it with its name in theirs count, too.

        """
        self._mark = f"{MARK}={mark}".encode()
        self._folders, self._kinds, self._record = tuple(folders), kinds, record
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._others: dict[tuple[str, int], float] = {}  # when each was first seen
        self._seen: dict[Path, tuple[int, int]] = {}
        self.contents: set[tuple[str, str, bytes]] = set()
        self.open_modes: dict[str, set[int]] = defaultdict(set)

    def __enter__(self) -> Self:
        """Begin to read."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to read."""
        self._ended.set()
        self._thread.join()

    @property
    def programs(self) -> set[str]:
        """The programs that were seen, by the last part of their paths."""
        lines = [content.split(b"\0")[0] for kind, _, content in self.contents if kind == "process arguments"]
        return {Path(os.fsdecode(line)).name for line in lines}

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL_SECONDS):
            self._read_processes()
            self._read_files()

    def _read_processes(self) -> None:
        for entry in os.scandir("/proc"):
            if not entry.name.isdecimal():
                continue
            with suppress(OSError):  # it has just ended, or is another user's
                known = (entry.name, entry.inode())
                # A process of the run has its parent's environment until it has begun its program.
                if time.monotonic() - self._others.get(known, math.inf) > BEGIN_SECONDS:
                    continue
                environment = Path(entry.path, "environ").read_bytes()
                if self._mark not in environment.split(b"\0"):
                    self._others.setdefault(known, time.monotonic())
                    continue
                arguments = Path(entry.path, "cmdline").read_bytes()
                name = Path(os.fsdecode(arguments.split(b"\0")[0])).name
                self.contents.add(("process arguments", name, arguments))
                self.contents.add(("process environments", name, environment))

    def _read_files(self) -> None:
        watched = (path for folder in self._folders for path in walk(folder))
        for path in (*watched, *self._record.parent.glob(f"*{self._record.name}*")):
            with suppress(OSError):  # it has just gone
                found = path.stat()
                if found.st_size > MAX_WATCHED:
                    continue
                if self._seen.get(path) == (found.st_mtime_ns, found.st_size):
                    continue
                self._seen[path] = (found.st_mtime_ns, found.st_size)
                kind = self._kinds.of(path)
                if kind == "record of the stand-ins":
                    self.open_modes[path.name].add(stat.S_IMODE(found.st_mode))
                self.contents.add((kind, str(path), path.read_bytes()))
