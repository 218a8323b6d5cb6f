"""Terraform in the folder of a synthesized stack."""

import datetime as dt
import errno
import fcntl
import hashlib
import io
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import FrameType
from typing import IO, Any

from stacks.backend import find_output_folder
from stacks.errors import UserError
from stacks.settings.load import PROJECT

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, kill, a closed terminal
SYNTHESIS = "synthesis.sha256"  # in the output folder, beside cdktf's manifest.json
RUNNING = ".terraform.running"  # in a stack's folder; locked while a Terraform of ours runs there
READ_INTERVAL_SECONDS = 0.05
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # of a file system without flock
_LEVELS_WITHOUT_SECRETS = ("INFO", "WARN", "ERROR", "OFF")  # any other word is TRACE for Terraform


class TerraformError(UserError):
    """Terraform or the synthesis failed; the message is theirs."""


@dataclass(frozen=True)
class Stack:
    """A synthesized stack. Terraform inherits the environment variables of this program.

    Attributes:
        name: Its id.
        folder: The folder of its Terraform JSON.
        upstream: Names of the stacks whose outputs it reads.

    """

    name: str
    folder: Path
    upstream: tuple[str, ...]

    @property
    def configuration(self) -> bytes:
        """Its Terraform JSON."""
        return (self.folder / "cdk.tf.json").read_bytes()

    def capture(self, *arguments: str) -> str:
        """Run Terraform and return its output.

        Raises:
            TerraformError: If Terraform fails.

        """
        status, output, errors = _run_terraform(self.folder, arguments, is_shown=False)
        if status:
            raise TerraformError(f"{self.name}: terraform {arguments[0]} failed\n{errors.strip()}")
        return output

    def show(self, command: str, *arguments: str, accepted: Iterable[int] = (0,)) -> int:
        """Run Terraform without input, show its output, and return its exit status.

        Raises:
            TerraformError: If the exit status is not one of `accepted`.

        """
        options = ["-input=false", *([] if sys.stdout.isatty() else ["-no-color"])]
        status, _, _ = _run_terraform(self.folder, [command, *options, *arguments], is_shown=True)
        if status not in accepted:
            raise TerraformError(f"{self.name}: terraform {command} failed; its messages are above")
        return status

    def follow(self, *arguments: str, read_line: Callable[[str], None]) -> int:
        """Run Terraform, pass each line of its output to `read_line`, and return its exit status."""
        status, _, _ = _run_terraform(self.folder, arguments, is_shown=True, read_line=read_line)
        return status

    def wait(self) -> None:
        """Wait for a Terraform that still runs in the folder, such as one whose command was killed."""
        with _alone(self.folder):
            pass

    def init(self) -> None:
        """Prepare the folder for its backend and providers."""
        self.capture("init", "-input=false", "-no-color")

    def read_state(self) -> dict[str, Any]:
        """Return the state; empty if the stack was never deployed."""
        state: dict[str, Any] = json.loads(self.capture("state", "pull") or "{}")
        return state

    def find_outputs_read(self, upstream: str) -> set[str]:
        """Return the outputs of another stack that the configuration reads."""
        reference = re.compile(rf"terraform_remote_state\.{re.escape(upstream)}\.outputs\.(\w+)")
        return set(reference.findall(self.configuration.decode()))


def synthesize(environment: str) -> list[Stack]:
    """Write the Terraform JSON of every stack of an environment, and return the stacks in their order.

    The same inputs give the same JSON. So main.py runs only if an input or the JSON has changed since.
    main.py runs as a program of its own: in this process its Node.js would live until the end, and would
    print a stack trace at an interrupt that is meant for Terraform.

    Raises:
        TerraformError: If main.py fails; the message is its own.

    """
    output = find_output_folder()
    if is_synthesized(output, environment):
        return read_stacks(output)
    done = subprocess.run(
        [sys.executable, "main.py"],
        cwd=PROJECT,
        env={**os.environ, "CDKTF_OUTDIR": str(output), "ENV": environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise TerraformError(done.stderr.strip())
    note_synthesis(output, environment)
    return read_stacks(output)


def note_synthesis(output: Path, environment: str, project: Path = PROJECT) -> None:
    """Write down which inputs the JSON in a folder was made from."""
    (output / SYNTHESIS).write_text(_compute_checksum(output, environment, project), encoding="utf-8")


def is_synthesized(output: Path, environment: str, project: Path = PROJECT) -> bool:
    """Return whether a folder holds the JSON of this environment, code and constraints.txt, unchanged."""
    note = output / SYNTHESIS
    return note.exists() and note.read_text(encoding="utf-8") == _compute_checksum(
        output, environment, project
    )


def _compute_checksum(output: Path, environment: str, project: Path) -> str:
    files = [
        *(project / name for name in ("main.py", "backend.tf.json", "constraints.txt")),
        project / "environments" / f"{environment}.yaml",
        # Settings may name certificates beside this file.
        *sorted(
            file
            for file in (project / "environments").rglob("*")
            if file.is_file() and file.suffix != ".yaml"
        ),
        *sorted((project / "stacks").rglob("*.py")),
        output / "manifest.json",
        *sorted(output.glob("stacks/*/cdk.tf.json")),
    ]
    parts = (f"{file} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files if file.exists())
    return hashlib.sha256("\n".join([sys.version, *parts]).encode()).hexdigest()


def read_stacks(output: Path) -> list[Stack]:
    """Return the synthesized stacks; each comes after the stacks whose outputs it reads.

    Raises:
        TerraformError: If a stack depends on one that was not synthesized.

    """
    manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))["stacks"]
    upstream = {name: tuple(item["dependencies"]) for name, item in manifest.items()}
    missing = {name for names in upstream.values() for name in names} - set(manifest)
    if missing:
        raise TerraformError(f"{output}/manifest.json: the stack {min(missing)} is missing. Synthesize again")
    return [
        Stack(name, output / manifest[name]["workingDirectory"], upstream[name])
        for name in TopologicalSorter(upstream).static_order()
    ]


def _run_terraform(
    folder: Path,
    arguments: Sequence[str],
    *,
    is_shown: bool,
    read_line: Callable[[str], None] | None = None,
) -> tuple[int, str, str]:
    """Run Terraform to its end, and return its exit status, its output and its errors.

    A killed Terraform leaves a lock, and may lose the state. So it gets one interrupt at most, and it
    never sees that the reader of this program's output has gone. It even outlives a SIGKILL of this program:
    it writes to files, since a write to a pipe that nobody reads would end it (Go, package os/signal,
    "SIGPIPE"), and the next command waits for it.

    Raises:
        KeyboardInterrupt: After Terraform has ended, if this program was interrupted.
        Exception: After Terraform has ended, if its output could not be passed on.

    """
    received: list[int] = []
    passed_on: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def interrupt_once(number: int, _frame: FrameType | None = None) -> None:
        # At a second interrupt Terraform would end without writing the state.
        received.append(number)
        if process and not passed_on:
            passed_on.append(number)
            process.send_signal(signal.SIGINT)

    is_terminal = is_shown and read_line is None and sys.stdout.isatty()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, _alone(folder) as running:
        before = {number: signal.signal(number, interrupt_once) for number in SIGNALS}
        try:
            sys.stdout.flush()
            process = subprocess.Popen(  # noqa: S603 - our own arguments
                ["terraform", *arguments],  # noqa: S607 - the user's Terraform
                cwd=folder,
                env={
                    **limit_provider_logs(os.environ),
                    "TF_IN_AUTOMATION": "1",
                },  # no advice to run Terraform
                stdin=subprocess.DEVNULL,
                stdout=None if is_terminal else output,
                stderr=None if is_terminal else output if is_shown else errors,
                pass_fds=[running.fileno()],  # Terraform keeps the lock on the folder until it ends
                start_new_session=True,  # only `interrupt_once` passes on a Ctrl-C of the terminal
            )
            _note_running(running, process.pid, arguments)
            if received:
                interrupt_once(received[0])
            if is_shown and not is_terminal:
                failure = _copy_output(process, output, read_line or _print_line)
            else:
                failure = None
            status = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if received:
            raise KeyboardInterrupt
        if failure:
            raise failure
        return (
            status,
            _read_from(output, 0).decode(errors="replace"),
            _read_from(errors, 0).decode(errors="replace"),
        )


@contextmanager
def _alone(folder: Path) -> Iterator[IO[str]]:
    """Lock a stack's folder; wait if a Terraform of another command still runs there.

    The lock belongs to an open file, which Terraform inherits. So it lasts until Terraform has ended, even if
    this program is killed.
    """
    file = _open(folder)
    try:
        is_told = False
        while not (_try_lock(file) and _is_current(file)):
            note = _read_note(file)
            if note and not _is_alive(note):
                # Terraform was killed, and left programs of its own, such as a provider, which inherited the
                # lock.
                _remove(file)
            if not _is_current(file):  # removed, here or by another command that waited
                file.close()
                file = _open(folder)
                continue
            if not is_told:
                text = _describe_running(folder, note, "Waiting until it has ended")
                print(text, file=sys.stderr, flush=True)
                is_told = True
            time.sleep(READ_INTERVAL_SECONDS)
        file.truncate(0)
        yield file
    finally:
        file.close()


def _open(folder: Path) -> IO[str]:
    return (folder / RUNNING).open("a+", encoding="utf-8")


def _try_lock(file: IO[str]) -> bool:
    """Return whether the file is locked now; also True, with a warning, where files can't be locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        _warn_of_no_locks(file.name)
    return True


@cache
def _warn_of_no_locks(file: str) -> None:
    text = "this file system has no locks: run one command at a time in this folder"
    print(f"{file}: {text}", file=sys.stderr, flush=True)


def _is_current(file: IO[str]) -> bool:
    """Return whether the open file is still the one of its path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), Path(file.name).stat())
    except FileNotFoundError:
        return False


def _remove(file: IO[str]) -> None:
    """Remove an open file; its path stays if it is another command's new file."""
    folder = os.open(Path(file.name).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # one command at a time compares and removes
        if _is_current(file):
            Path(file.name).unlink()
    finally:
        os.close(folder)


def _note_running(file: IO[str], pid: int, arguments: Sequence[str]) -> None:
    """Write down which Terraform runs; the lock says whether it still does."""
    note = {
        "pid": pid,
        "started": _read_process(pid)[1],
        **_describe_machine(),
        "command": arguments[0],
        "since": f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S} UTC",
    }
    file.write(json.dumps(note))
    file.flush()


def _read_note(file: IO[str]) -> dict[str, Any] | None:
    """Return which Terraform runs; None if another command has locked the folder just now."""
    try:
        note: dict[str, Any] = json.loads(os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0))
    except (OSError, ValueError):
        return None
    return note


def _describe_machine() -> dict[str, str]:
    """Return where a process ID has its meaning: a container may have the host's name, and own processes."""
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        processes = ""
    return {"host": platform.node(), "processes": processes}


def _is_on_this_machine(note: Mapping[str, Any]) -> bool:
    return all(note.get(key) == value for key, value in _describe_machine().items())


def _is_alive(note: Mapping[str, Any]) -> bool:
    """Return whether the process of a note runs. One of another machine can't be seen: it counts as running.

    Without /proc, as on macOS, a process that got the ID of an ended one counts as running, too: then the
    command waits, and its message names the process.
    """
    if not _is_on_this_machine(note):
        return True
    try:
        os.kill(note["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    state, started = _read_process(note["pid"])
    # In a container without an init program, an ended process stays as a zombie.
    return state != "Z" and started == note["started"]


def _read_process(pid: int) -> tuple[str, str]:
    """Return a process's state and its start in ticks after boot; empty if it has ended, or without /proc."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    fields = status.rpartition(") ")[2].split()  # after the name
    return fields[0], fields[19]  # proc(5): fields 3 and 22


def _describe_running(folder: Path, note: dict[str, Any] | None, consequence: str) -> str:
    """Return a message about the Terraform that runs in a stack's folder."""
    process, advice = "Terraform", ""
    if note:
        where = "" if _is_on_this_machine(note) else f" on {note.get('host')}"
        process = f"`terraform {note['command']}`, process {note['pid']}{where}, since {note['since']}"
        advice = f" To end it in good order{where}: kill -INT {note['pid']}"
    return f"{folder.name}: {process}, still runs here. {consequence}.{advice}"


def refuse_running(folder: Path, consequence: str) -> None:
    """Check that no Terraform of ours runs in a stack's folder.

    Raises:
        TerraformError: If one runs.

    """
    if not (folder / RUNNING).exists():
        return
    with _open(folder) as file:
        if not _try_lock(file) and ((note := _read_note(file)) is None or _is_alive(note)):
            raise TerraformError(_describe_running(folder, note, consequence))


def limit_provider_logs(variables: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables with which Terraform's log has no line of a provider below INFO.

    At DEBUG and TRACE the kubernetes provider logs its requests: the Secret with a runner's token, and the
    token for the Kubernetes API (hashicorp/terraform-provider-kubernetes, pull request 630). The variables
    are described in Terraform, "Enable Terraform logs".
    """
    limited = dict(variables)
    everything = limited.get("TF_LOG", "")
    level = limited.get("TF_LOG_PROVIDER") or everything
    if _shows_secrets(everything):  # providers read it beside TF_LOG_PROVIDER
        limited["TF_LOG_CORE"] = limited.pop("TF_LOG")
    if _shows_secrets(level):
        limited["TF_LOG_PROVIDER"] = "INFO"
        _note_limited_logs(level)
    return limited


def _shows_secrets(level: str) -> bool:
    return bool(level) and level.upper() not in _LEVELS_WITHOUT_SECRETS


@cache
def _note_limited_logs(level: str) -> None:
    print(
        f"TF_LOG: {level}: the providers log at INFO, since their log at {level} holds tokens. For it run "
        "Terraform itself in the folder of the stack under cdktf.out/stacks",
        file=sys.stderr,
        flush=True,
    )


def _print_line(line: str) -> None:
    print(line, end="", flush=True)


def _copy_output(
    process: subprocess.Popen[bytes], file: IO[bytes], read_line: Callable[[str], None]
) -> Exception | None:
    """Pass on the lines of a process until it ends; return the error if a line can't be passed on.

    The reader may have gone, or the disk may be full. Terraform goes on, so that its lock and state are kept.
    """
    failure, position, has_ended = None, 0, False
    while not has_ended:
        try:
            process.wait(READ_INTERVAL_SECONDS)
            has_ended = True
        except subprocess.TimeoutExpired:
            pass
        found = _read_from(file, position)
        if not has_ended:
            found = found[: found.rfind(b"\n") + 1]  # whole lines
        position += len(found)
        try:
            for line in io.BytesIO(found):
                if not failure:
                    read_line(line.decode(errors="replace"))
        except Exception as error:  # noqa: BLE001 - raised again when Terraform has ended
            failure = error
    return failure


def _read_from(file: IO[bytes], position: int) -> bytes:
    """Return a file's content from a position on; Terraform's own position in the file stays."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size - position, position)
