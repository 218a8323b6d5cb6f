"""`make setup` with stand-ins for Python, pip and npm, in a folder whose path has unusual characters."""

import errno
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from stacks.settings.load import PROJECT
from tests.machine import UNUSUAL
from tests.processes import started
from tools.install_packages import read_pip_options, uv_environment
from tools.set_up import run_alone, run_until_signal

FILES = (
    "Makefile",
    "tools/check_tools.py",
    "tools/set_up.py",
    "tools/install_packages.py",
    "requirements.lock",
    "requirements.txt",
    "requirements-dev.txt",
    "constraints.txt",
    "package.json",
    "package-lock.json",
)
WAIT_SECONDS = 60
# As `python -m venv` and pip do, it takes a half-written package for a whole one.
PYTHON = """#!/bin/sh
case "$1 $2 $3" in
"-m venv "*) mkdir -p .venv/bin && ln -sf "$(command -v python-stand-in)" .venv/bin/python ;;
"-m pip config") echo "global.index-url='https://index.example.com/simple'" ;;
"-m pip install") case "$*" in
  *--ignore-installed*) echo pip --ignore-installed >> install.log; . ./install-package.sh ;;
  *requirements*) echo pip >> install.log; . ./install-package.sh ;;
  *) ln -sf "$(command -v uv-stand-in)" .venv/bin/uv ;;
  esac ;;
"-m pytest --collect-only") echo compiled >> install.log; . ./compile.sh ;;
*) exec "{python}" -S "$@" ;;
esac
"""
UV = """#!/bin/sh
echo uv $UV_DEFAULT_INDEX >> install.log; . ./install-package.sh
"""
# `install.sh` has what a test wants to happen meanwhile.
INSTALL_PACKAGE = "echo half > .venv/package; . ./install.sh; echo whole > .venv/package\n"
NPM = """#!/bin/sh
test "$1" != --version || { echo 10.9.2; exit; }
mkdir -p node_modules/.bin && touch node_modules/.bin/cdktf
"""

# It waits for a signal, and notes which process it is.
SLEEP = "import os, time; open('sleeping.pid', 'w').write(str(os.getpid())); time.sleep(60)"
BY_UV = "uv https://index.example.com/simple\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the set-up's files, and a PATH with programs that stand in for the real ones."""
    folder = tmp_path / UNUSUAL
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    (folder / "install-package.sh").write_text(INSTALL_PACKAGE)
    (folder / "install.sh").touch()
    (folder / "compile.sh").touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {
        "python-stand-in": PYTHON.replace("{python}", os.path.realpath(sys.executable)),
        "uv-stand-in": UV,
        "npm": NPM,
        "node": "#!/bin/sh\necho v22.1.0\n",
        "terraform": """#!/bin/sh\necho '{"terraform_version": "1.11.0"}'\n""",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # `make test` hands them on, and make then says more
        monkeypatch.delenv(name, raising=False)
    return folder


def start(folder: Path, target: str = "setup") -> AbstractContextManager["subprocess.Popen[str]"]:
    """Start `make setup`, or another target of the set-up."""
    return started("make", target, "PYTHON=python-stand-in", folder=folder, stderr=subprocess.STDOUT)


def set_up(folder: Path, target: str = "setup") -> tuple[int, str]:
    """Run `make setup`, or another target, to its end; return its exit status and its output."""
    with start(folder, target) as process:
        return finish(process)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Return the exit status and the output of a set-up."""
    output, _ = process.communicate(timeout=WAIT_SECONDS)
    return process.returncode, output


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition is true, for a minute at most."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Return whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_waited_for(lock: Path) -> bool:
    """Return whether a process waits for a lock; only Linux tells."""
    table, inode = Path("/proc/locks"), lock.stat().st_ino
    lines = table.read_text().splitlines() if table.exists() else [f"-> FLOCK :{inode} "]
    return any("-> FLOCK" in line and f":{inode} " in line for line in lines)


def test_a_killed_installation_is_not_believed(checkout: Path) -> None:
    """The next set-up begins the Python packages anew; uv and pip would take the half one for whole."""
    (checkout / "install.sh").write_text("kill -9 $$\n")
    status, output = set_up(checkout)
    assert status == 2
    assert "The set-up is not finished" in output
    assert (checkout / ".venv" / "package").read_text() == "half\n"
    # As uv: a package that is there counts as installed.
    (checkout / "install.sh").write_text("test ! -e .venv/left || exit 0\n")
    (checkout / ".venv" / "left").touch()
    assert set_up(checkout)[0] == 0
    assert (checkout / ".venv" / "package").read_text() == "whole\n"


def test_pip_installs_what_uv_cannot(checkout: Path) -> None:
    """A uv that fails, or that is not for this machine, is named, and the set-up goes on."""
    (checkout / "install.sh").write_text("! grep -q pip install.log && exit 1\n")
    status, output = set_up(checkout)
    assert status == 0, output
    assert "uv did not install the packages; pip does it now" in output
    assert (checkout / "install.log").read_text() == BY_UV + "pip --ignore-installed\n"
    assert (checkout / ".venv" / "package").read_text() == "whole\n"


def test_uv_uses_the_indexes_of_pip() -> None:
    """A company's index, its certificate and its files: pip knows them, and uv has other names for them."""
    listed = """\
:env:.index-url='https://variable.example.com/simple'
global.cert='/etc/ssl/company.pem'
global.extra-index-url='\\nhttps://one.example.com/simple\\nhttps://two.example.com/simple'
global.index-url='https://file.example.com/simple'
global.proxy='http://system.example.com'
global.proxy='http://user.example.com'
global.quiet='1'
install.cert=''
install.find-links='/opt/wheels /opt/more'
"""
    options = read_pip_options(listed, {"global.proxy": "http://user.example.com\n"}.__getitem__)
    assert uv_environment(options) == {
        "UV_DEFAULT_INDEX": "https://variable.example.com/simple",
        "UV_INDEX": "https://one.example.com/simple https://two.example.com/simple",
        "UV_FIND_LINKS": "/opt/wheels,/opt/more",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_PYTHON_DOWNLOADS": "never",
        "ALL_PROXY": "http://user.example.com",
        "SSL_CERT_FILE": "/etc/ssl/company.pem",
    }


@pytest.mark.parametrize(("target", "npm"), [("demo", False), ("plan", False), ("setup", True)])
def test_only_some_targets_need_npm(checkout: Path, target: str, *, npm: bool) -> None:
    """The command line of cdktf is for `cdktf deploy` and the tests: a demo does without."""
    (checkout / ".work").mkdir()
    command = ("make", "--dry-run", target, "PYTHON=python-stand-in")
    with started(*command, folder=checkout, stderr=subprocess.STDOUT) as process:
        status, output = finish(process)
    assert status == 0, output
    assert "tools.install_packages" in output
    assert ("npm ci" in output) is npm


def test_a_signal_between_two_commands_is_not_lost() -> None:
    """After a command the handlers are those from before: the program ends, as without any."""
    before = signal.getsignal(signal.SIGTERM)
    assert run_until_signal(["true"]) == 0
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_was_removed_is_installed_again(checkout: Path) -> None:
    """A set-up without a change does nothing; .venv or node_modules that are gone come back."""
    assert set_up(checkout)[0] == 0
    assert set_up(checkout) == (0, "make: Nothing to be done for 'setup'.\n")
    shutil.rmtree(checkout / ".venv")
    shutil.rmtree(checkout / "node_modules")
    assert set_up(checkout)[0] == 0
    assert (checkout / ".venv" / "bin" / "python").exists()
    assert (checkout / "node_modules" / ".bin" / "cdktf").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("script", ["install.sh", "compile.sh"])
def test_a_signal_ends_the_installation(checkout: Path, script: str, number: signal.Signals) -> None:
    """After Ctrl-C or `kill <make>` neither uv nor pytest goes on, and Python prints no traceback."""
    (checkout / script).write_text(f"""exec '{sys.executable}' -IS -c "{SLEEP}"\n""")
    sleeping = checkout / "sleeping.pid"
    with start(checkout, ".work/ready-tests") as process:
        wait_for(lambda: sleeping.exists() and sleeping.read_text())
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        status, output = finish(process)
        pid = int(sleeping.read_text())
        wait_for(lambda: not is_alive(pid))  # the block's end would kill it
    assert status in {2, -number}
    assert "Traceback" not in output


def test_the_modules_of_the_tests_are_compiled_once(checkout: Path) -> None:
    """A test that can't be imported does not end the set-up; `make setup` alone compiles nothing."""
    assert set_up(checkout)[0] == 0
    assert (checkout / "install.log").read_text() == BY_UV
    (checkout / "compile.sh").write_text("exit 2\n")
    for _ in range(2):
        assert set_up(checkout, ".work/ready-tests")[0] == 0
        assert (checkout / "install.log").read_text() == BY_UV + "compiled\n"


def test_two_set_ups_install_once(checkout: Path) -> None:
    """The second one says that it waits, and finds everything done."""
    (checkout / "install.sh").write_text("while ! test -e go; do sleep 0.02; done\n")
    with start(checkout) as first:
        wait_for((checkout / "install.log").exists)
        with start(checkout) as second:
            assert second.stdout
            assert select.select([second.stdout], [], [], WAIT_SECONDS)[0]
            line = second.stdout.readline()
            wait_for(lambda: is_waited_for(checkout / ".work" / "set-up.lock"))
            (checkout / "go").touch()
            assert finish(second)[0] == 0
        assert finish(first)[0] == 0
    assert line == "another set-up works in this folder: waiting for its end\n"
    assert (checkout / "install.log").read_text() == BY_UV


def test_without_hashes_a_new_version_is_installed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `export LOCKED=no` the lock file plays no part, and requirements.txt does."""
    monkeypatch.setenv("LOCKED", "no")
    (checkout / "requirements.lock").unlink()
    assert set_up(checkout)[0] == 0
    later = time.time() + 60
    os.utime(checkout / "requirements.txt", (later, later))
    assert set_up(checkout)[0] == 0
    assert (checkout / "install.log").read_text() == "pip\n" * 2


def test_a_file_system_without_locks_ends_no_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network disks have none: the command runs without a lock."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert run_alone(str(tmp_path / "lock"), ["true"]) == 0


def test_a_folder_that_cannot_be_written_to_is_one_message(checkout: Path) -> None:
    """A checkout of another user's, or a read-only one."""
    (checkout / ".work").mkdir()
    (checkout / ".work" / "set-up.lock").mkdir()  # root may write everywhere, but not to a folder as a file
    status, output = set_up(checkout)
    assert status == 2
    assert output.splitlines()[0] == ".work/set-up.lock: Is a directory"
