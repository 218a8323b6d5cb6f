"""How the emulator's process is told from other programs; tests/emulator/test_local_aws.py runs it."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_aws import emulator


@pytest.fixture
def other_program() -> Iterator[str]:
    """The URL of a program that answers every connection as an SSH server does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return  # the test has ended
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_a_port_of_a_program_that_speaks_no_http_is_taken(other_program: str, tmp_path: Path) -> None:
    """The message is the same as for any other program."""
    with pytest.raises(emulator.EmulatorError, match=r"taken by another program.*aws\.endpoint_url"):
        emulator.start(other_program, work=tmp_path)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux shows a process's environment")
@pytest.mark.parametrize(
    ("folder", "is_ours"), [(None, False), ("another checkout/.work", False), (".work", True)]
)
def test_a_number_that_another_program_has_now_is_not_the_emulator(
    tmp_path: Path, folder: str | None, *, is_ours: bool
) -> None:
    """After a restart of the machine the number may be anybody's, also an emulator's of another checkout."""
    work = tmp_path / ".work"
    work.mkdir()
    variables = {"TMPDIR": str(tmp_path / folder / "emulator"), "GATEWAY_PORT": "4566"} if folder else {}
    with subprocess.Popen(
        [sys.executable, "-IS", "-c", "input()", "local_aws.server"],
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        (work / "emulator.pid").write_text(str(process.pid))
        assert emulator.running_pid(work) == (process.pid if is_ours else None)
        assert emulator.running_pid(work, "http://127.0.0.1:4566") == (process.pid if is_ours else None)
        # After a change of the settings another checkout's emulator may answer at the new port.
        assert emulator.running_pid(work, "http://127.0.0.1:4567") is None
        assert emulator.stop(work=work) is is_ours
        assert not (work / "emulator.pid").exists()
