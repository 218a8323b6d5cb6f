"""The emulator's process: it listens on loopback only, ends with its program, and has its patches."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from local_aws import emulator
from stacks.settings.load import PROJECT
from tests.machine import find_free_port
from tests.processes import find_listening_addresses, find_processes_of_session

WAIT_SECONDS = 20


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """If another program has the port, the message says so, and names the setting of the port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(emulator.EmulatorError, match=r"taken by another program.*aws\.endpoint_url"):
            emulator.start(url, work=tmp_path)
    assert emulator.running_pid(tmp_path) is None


def test_a_second_start_finds_the_first(tmp_path: Path) -> None:
    """Starting twice leaves one process; stopping it leaves none."""
    url = find_free_url()
    try:
        assert emulator.start(url, work=tmp_path) is True
        first = emulator.running_pid(tmp_path)
        assert emulator.start(url, work=tmp_path) is False
        assert emulator.running_pid(tmp_path) == first
    finally:
        assert emulator.stop(work=tmp_path) is True
    assert emulator.stop(work=tmp_path) is False
    assert refuses_connections(url)


def test_a_start_at_another_address_stops_the_first(tmp_path: Path) -> None:
    """A user who changes the port in the settings keeps one emulator, not two."""
    first, second = find_free_url(), find_free_url()
    try:
        emulator.start(first, work=tmp_path)
        assert emulator.start(second, work=tmp_path) is True
        assert refuses_connections(first)
        assert emulator.answers(second)
    finally:
        emulator.stop(work=tmp_path)
    assert refuses_connections(second)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux lists sockets under /proc")
def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    """All listening sockets of the emulator's processes are bound to 127.0.0.1."""
    url = find_free_url()
    try:
        emulator.start(url, work=tmp_path)
        session = emulator.running_pid(tmp_path)
        assert session is not None
        addresses = find_listening_addresses(find_processes_of_session(session))
    finally:
        emulator.stop(work=tmp_path)
    assert addresses == {("127.0.0.1", int(url.rpartition(":")[2]))}


def test_it_ends_when_its_program_is_killed(tmp_path: Path) -> None:
    """SIGKILL gives the program no time to stop its emulator."""
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


def test_it_knows_client_tokens_until_its_reset(tmp_path: Path) -> None:
    """The same request makes one object, and with other parameters none (local_aws/client_tokens.py)."""
    with emulator.running(tmp_path) as url:
        ec2 = emulator.client("ec2", endpoint_url=url, region="eu-central-1")

        def make(vpc: str) -> str:
            answer = ec2.create_route_table(VpcId=vpc, ClientToken="a")
            return str(answer["RouteTable"]["RouteTableId"])

        vpc, other = (ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in range(2))
        first = make(vpc)
        assert make(vpc) == first
        with pytest.raises(ec2.exceptions.ClientError, match="IdempotentParameterMismatch"):
            make(other)
        urllib.request.urlopen(f"{url}/_ministack/reset", data=b"").close()
        assert make(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]) != first


def find_free_url() -> str:
    """Return a URL with a free port."""
    return f"http://127.0.0.1:{find_free_port()}"


def refuses_connections(url: str) -> bool:
    """Return whether no program listens at the URL."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rsplit(":", 1)[1]))) != 0
