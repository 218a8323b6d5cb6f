"""Terraform in the folder of a synthesized stack."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import FrameType
from typing import Any

from stacks.backend import find_output_folder
from stacks.errors import UserError
from stacks.settings.load import PROJECT

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, kill, a closed terminal
SYNTHESIS = "synthesis.sha256"  # in the output folder, beside cdktf's manifest.json
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
        process, output, errors = _run_terraform(self.folder, arguments, is_shown=False)
        if process.returncode:
            raise TerraformError(f"{self.name}: terraform {arguments[0]} failed\n{errors.strip()}")
        return output

    def show(self, command: str, *arguments: str, accepted: Iterable[int] = (0,)) -> int:
        """Run Terraform without input, show its output, and return its exit status.

        Raises:
            TerraformError: If the exit status is not one of `accepted`.

        """
        options = ["-input=false", *([] if sys.stdout.isatty() else ["-no-color"])]
        process, _, _ = _run_terraform(self.folder, [command, *options, *arguments], is_shown=True)
        if process.returncode not in accepted:
            raise TerraformError(f"{self.name}: terraform {command} failed; its messages are above")
        return process.returncode

    def follow(self, *arguments: str, read_line: Callable[[str], None]) -> int:
        """Run Terraform, pass each line of its output to `read_line`, and return its exit status."""
        process, _, _ = _run_terraform(self.folder, arguments, is_shown=True, read_line=read_line)
        return process.returncode

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
    arguments: Iterable[str],
    *,
    is_shown: bool,
    read_line: Callable[[str], None] | None = None,
) -> tuple[subprocess.Popen[str], str, str]:
    """Run Terraform to its end, and return the process with its output and its errors.

    A killed Terraform leaves a lock, and may lose the state. So it gets one interrupt at most, and it
    never sees that the reader of this program's output has gone.

    Raises:
        KeyboardInterrupt: After Terraform has ended, if this program was interrupted.
        Exception: After Terraform has ended, if its output could not be passed on.

    """
    received: list[int] = []
    passed_on: list[int] = []
    process: subprocess.Popen[str] | None = None

    def interrupt_once(number: int, _frame: FrameType | None = None) -> None:
        # At a second interrupt Terraform would end without writing the state.
        received.append(number)
        if process and not passed_on:
            passed_on.append(number)
            process.send_signal(signal.SIGINT)

    is_terminal = is_shown and read_line is None and sys.stdout.isatty()
    before = {number: signal.signal(number, interrupt_once) for number in SIGNALS}
    try:
        sys.stdout.flush()
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            ["terraform", *arguments],  # noqa: S607 - the user's Terraform
            cwd=folder,
            env={**limit_provider_logs(os.environ), "TF_IN_AUTOMATION": "1"},  # no advice to run Terraform
            stdin=subprocess.DEVNULL,
            stdout=None if is_terminal else subprocess.PIPE,
            stderr=None if is_terminal else subprocess.STDOUT if is_shown else subprocess.PIPE,
            text=True,
            start_new_session=True,  # only `interrupt_once` passes on a Ctrl-C of the terminal
        )
        if received:
            interrupt_once(received[0])
        failure = _copy_output(process, read_line or _print_line) if is_shown and not is_terminal else None
        output, errors = process.communicate()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt
    if failure:
        raise failure
    return process, output, errors


def limit_provider_logs(variables: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables with which Terraform's log has no line of a provider below INFO.

    At DEBUG and TRACE the kubernetes provider logs its requests: the Secret with a runner's token, and the
    token for the Kubernetes API (hashicorp/terraform-provider-kubernetes, pull request 630). The variables
    are described in Terraform, "Enable Terraform logs".
    """
    limited = dict(variables)
    level = limited.get("TF_LOG_PROVIDER") or limited.get("TF_LOG")
    if not level or level.upper() in _LEVELS_WITHOUT_SECRETS:
        return limited
    if everything := limited.pop("TF_LOG", ""):  # providers read it, too
        limited["TF_LOG_CORE"] = everything
    limited["TF_LOG_PROVIDER"] = "INFO"
    _note_limited_logs(level)
    return limited


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


def _copy_output(process: subprocess.Popen[str], read_line: Callable[[str], None]) -> Exception | None:
    """Pass on the lines of a process until it ends; return the error if a line can't be passed on.

    The reader may have gone, or the disk may be full. Terraform goes on, so that its lock and state are kept.
    """
    failure = None
    for line in process.stdout or ():
        try:
            if not failure:
                read_line(line)
        except Exception as error:  # noqa: BLE001 - raised again when Terraform has ended
            failure = error
    return failure
