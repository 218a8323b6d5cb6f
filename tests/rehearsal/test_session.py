"""The output of `show`."""

import pytest

from local_aws.rehearsal.show import show
from tests.rehearsal.workspace import Workspace


def test_show_hides_secrets_until_asked(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The data of a Secret is masked; `--reveal` prints it."""
    metadata = {"name": "token", "namespace": "default"}
    release = {"name": "r", "chart": "c", "values": ["a: [red]"]}
    secret = {"metadata": metadata, "data": {"runner-token": "glrt-a"}}
    workspace.write({"kubernetes_secret_v1": {"a": secret}, "helm_release": {"a": release}})
    workspace.apply()
    show(workspace.record, reveal=False)
    masked = capsys.readouterr().out
    show(workspace.record, reveal=True)
    revealed = capsys.readouterr().out
    assert "Rehearsed, not deployed" in masked
    assert "runner-token" in masked
    assert "glrt-" not in masked
    assert "red" in masked
    assert "glrt-a" in revealed
