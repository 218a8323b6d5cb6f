"""The server and the command line."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rehearsal.workspace import Workspace

PROJECT = Path(__file__).parents[2]
PRIVATE_FOLDER = 0o700


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_serves_from_anywhere_and_stops_cleanly_on_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Its sockets lie in a folder that no one else may enter, and are gone when it has stopped."""
    server = subprocess.Popen(
        [sys.executable, "-m", "rehearsal", "serve", "--record", "record.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout
    reattach = json.loads(server.stdout.readline())
    assert reattach.keys() == {"hashicorp/helm", "hashicorp/kubernetes"}
    socket = Path(reattach["hashicorp/helm"]["Addr"]["String"])
    assert socket.is_socket()
    assert socket.parent.stat().st_mode % 0o1000 == PRIVATE_FOLDER
    server.send_signal(number)
    assert server.communicate(timeout=10) == ("", "")
    assert server.returncode == 0
    assert not socket.parent.exists()


def test_show_hides_secrets_until_asked(workspace: Workspace) -> None:
    """What a Secret holds is masked, and printed with --reveal."""
    metadata = {"name": "token", "namespace": "default"}
    release = {"name": "r", "chart": "c", "values": ["a: [red]"]}
    secret = {"metadata": metadata, "data": {"runner-token": "glrt-a"}}
    workspace.write({"kubernetes_secret_v1": {"a": secret}, "helm_release": {"a": release}})
    workspace.apply()
    show = [sys.executable, "-m", "rehearsal", "show", "--record", str(workspace.record)]
    masked, revealed = (subprocess.check_output([*show, *more], text=True) for more in ([], ["--reveal"]))
    assert "Rehearsed, not deployed" in masked
    assert "runner-token" in masked
    assert "glrt-" not in masked
    assert "red" in masked
    assert "glrt-a" in revealed
