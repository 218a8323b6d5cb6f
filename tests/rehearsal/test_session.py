"""The server and the command line."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rehearsal.workspace import Workspace

PRIVATE_FOLDER = 0o700


def _serve(record: Path, *arguments: str) -> tuple["subprocess.Popen[str]", Path]:
    command = [sys.executable, "-m", "rehearsal", "serve", "--record", str(record), *arguments]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    reattach = json.loads(server.stdout.readline())
    assert reattach.keys() == {"hashicorp/helm", "hashicorp/kubernetes"}
    return server, Path(reattach["hashicorp/helm"]["Addr"]["String"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_stops_cleanly_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """Its sockets lie in a folder that no one else may enter, and are gone when it has stopped."""
    server, socket = _serve(tmp_path / "record.json")
    assert socket.is_socket()
    assert socket.parent.stat().st_mode % 0o1000 == PRIVATE_FOLDER
    server.send_signal(number)
    assert server.wait(10) == 0
    assert not socket.parent.exists()


def test_server_ends_with_its_parent(tmp_path: Path) -> None:
    """A test run that is killed leaves no server behind."""
    server, socket = _serve(tmp_path / "record.json", "--exit-with-parent")
    assert server.stdin
    server.stdin.close()
    assert server.wait(10) == 0
    assert not socket.parent.exists()


def test_show_hides_secrets_until_asked(workspace: Workspace) -> None:
    """Secret data and sensitive values are masked, and printed with --reveal."""
    metadata = {"name": "token", "namespace": "default"}
    release = {
        "name": "r",
        "chart": "c",
        "set_sensitive": [{"name": "a", "value": "glrt-b"}],
        "values": ["a: [red]"],
    }
    secret = {"metadata": metadata, "data": {"runner-token": "glrt-a"}}
    workspace.write({"kubernetes_secret_v1": {"a": secret}, "helm_release": {"a": release}})
    workspace.apply()
    show = [sys.executable, "-m", "rehearsal", "show", "--record", str(workspace.record)]
    masked, revealed = (subprocess.check_output([*show, *more], text=True) for more in ([], ["--reveal"]))
    assert "Rehearsed, not deployed" in masked
    assert "runner-token" in masked
    assert "glrt-" not in masked
    assert "glrt-a" in revealed
    assert "glrt-b" in revealed
