"""The beginning and the end of `python -m deployment`, `python -m jobs` and `python -m local_aws`."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployment.command_line import run_command
from stacks.errors import UserError
from stacks.settings.load import PROJECT

PROGRAM = "import os, subprocess; from deployment.command_line import run_command; run_command(lambda: {})"


@pytest.fixture(autouse=True)
def _interrupts() -> Iterator[None]:
    """A command leaves its handlers behind, for it is the end of a program."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_shell(command: str, call: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program whose command is one call; `command` is the shell's, with the program as "$@"."""
    return subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-c", PROGRAM.format(call)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONUNBUFFERED": "", **variables},  # Python keeps a buffer
        capture_output=True,
        text=True,
        check=False,
    )


def raise_error(error: BaseException) -> int:
    """Stand for a command that does not come to its end."""
    raise error


def test_the_exit_status_is_the_commands() -> None:
    """A pipeline decides by the exit status of `plan`."""
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: 3)
    assert ended.value.code == 3


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("a mistake"), "a mistake"),
        (KeyboardInterrupt(), "interrupted"),
        (FileNotFoundError(2, "No such file or directory", "terraform"), "terraform: not found"),
        (OSError(30, "Read-only file system", ".work/demo.log"), ".work/demo.log: Read-only file system"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_an_expected_error_is_one_message(error: BaseException, message: str) -> None:
    """Python prints the message of a SystemExit, and ends with 1."""
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: raise_error(error))
    assert ended.value.code == message


def test_a_crash_leaves_no_copy_of_the_memory() -> None:
    """A core file would hold the runners' tokens: a command, and what it starts, may write none."""
    program = (
        "import resource, subprocess; from deployment.command_line import run_command; "
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1]; "
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)); "
        "run_command(lambda: subprocess.call(['sh', '-c', 'ulimit -S -c']))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], cwd=PROJECT, text=True) == "0\n"


@pytest.mark.parametrize("package", ["deployment", "jobs", "local_aws"])
def test_a_program_imports_the_slow_modules_in_its_command(package: str) -> None:
    """A Ctrl-C during the import of pydantic or botocore ends in one message, too."""
    program = f"import sys, {package}.__main__; print({{'botocore', 'pydantic'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=PROJECT, text=True) == "set()\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has this device")
def test_output_to_a_full_disk_is_one_message() -> None:
    """Python itself would print a traceback, and a second one at its end."""
    done = run_shell('"$@" > /dev/full', "print(1) or 0")
    assert (done.returncode, done.stderr) == (1, "No space left on device\n")


def test_closed_streams_are_opened_for_the_programs_children() -> None:
    """`make demo >&-`: otherwise a file that is opened later would get what a child prints."""
    done = run_shell(
        '"$@" <&- >&- 2>&-; echo "status $?"',
        "print(1) or subprocess.call(['sh', '-c', 'echo out; echo err >&2'])",
    )
    assert (done.stdout, done.stderr) == ("status 0\n", "")


def test_a_folder_for_temporary_files_that_is_missing_is_left_out() -> None:
    """Node.js and the AWS provider fail if TMPDIR names no folder."""
    done = run_shell('"$@"', "print(os.environ.get('TMPDIR')) or 0", TMPDIR="/no/such/folder")
    assert done.stdout == "None\n"
