"""The emulator's process: where it listens, and that it never outlives its user."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local_aws import emulator
from stacks.settings.load import PROJECT

WAIT_SECONDS = 20


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """If another program has the port, the message says so and which setting chooses another."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(emulator.EmulatorError, match=r"taken by another program.*aws\.endpoint_url"):
            emulator.start(url, work=tmp_path)
    assert emulator.running_pid(tmp_path) is None


def test_a_second_start_finds_the_first(tmp_path: Path) -> None:
    """Starting twice leaves one process; stopping it leaves none."""
    url = free_url()
    try:
        assert emulator.start(url, work=tmp_path) is True
        first = emulator.running_pid(tmp_path)
        assert emulator.start(url, work=tmp_path) is False
        assert emulator.running_pid(tmp_path) == first
    finally:
        assert emulator.stop(work=tmp_path) is True
    assert emulator.stop(work=tmp_path) is False
    assert refuses_connections(url)


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    """No other address of this machine answers on its port."""
    with emulator.running(tmp_path) as url:
        port = int(url.rsplit(":", 1)[1])
        # Any 127.x.y.z is this machine; a server bound to 0.0.0.0 would answer here.
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.2", port)) != 0


def test_it_ends_when_its_program_is_killed(tmp_path: Path) -> None:
    """Even SIGKILL, which nobody can handle, leaves no emulator behind."""
    program = (
        "import pathlib, sys, time\n"
        "from local_aws import emulator\n"
        "with emulator.running(pathlib.Path(sys.argv[1])) as url:\n"
        "    print(url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip() if process.stdout else ""
        assert not refuses_connections(url)
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + WAIT_SECONDS
    while not refuses_connections(url) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert refuses_connections(url)


def free_url() -> str:
    """Return a URL on a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def refuses_connections(url: str) -> bool:
    """Whether nobody listens at the URL."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rsplit(":", 1)[1]))) != 0
