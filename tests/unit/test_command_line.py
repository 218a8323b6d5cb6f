"""The beginning and the end of `python -m deployment`, `python -m jobs` and `python -m local_aws`."""

import subprocess
import sys

import pytest

from deployment.command_line import run_command
from stacks.errors import UserError
from stacks.settings.load import PROJECT


def raise_error(error: BaseException) -> int:
    """Stand for a command that does not come to its end."""
    raise error


def test_the_exit_status_is_the_commands() -> None:
    """A pipeline decides by the exit status of `plan`."""
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: 3)
    assert ended.value.code == 3


@pytest.mark.parametrize(
    ("error", "message"), [(UserError("a mistake"), "a mistake"), (KeyboardInterrupt(), "interrupted")]
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
