"""The state that Terraform keeps when a provider fails half-way, and the way on from there."""

import json
from typing import Any

from tests.rehearsal.workspace import Workspace

IN_CI = {"namespace": "${kubernetes_namespace_v1.ci.metadata[0].name}"}
SECRET, RELEASE = "kubernetes_secret_v1.token", "helm_release.runner"


def _resources(revision: int = 1) -> dict[str, Any]:
    token = {"data_wo": {"token": f"{revision}"}, "data_wo_revision": revision}
    release = {"name": "runner", "chart": "gitlab-runner", "values": [f"revision: {revision}"], **IN_CI}
    return {
        "kubernetes_namespace_v1": {"ci": {"metadata": {"name": "ci"}}},
        "kubernetes_secret_v1": {"token": {"metadata": {"name": "token", **IN_CI}, **token}},
        "kubernetes_priority_class_v1": {"managers": {"metadata": {"name": "managers"}, "value": 1000}},
        "helm_release": {"runner": release},
    }


def _fail(workspace: Workspace, operation: str, *objects: tuple[str, str]) -> None:
    faults: dict[str, dict[str, str]] = {}
    for kind, key in objects:
        faults.setdefault(kind, {})[key] = operation
    (workspace.folder / "record-faults.json").write_text(json.dumps(faults))


def _actions(workspace: Workspace) -> dict[str, list[str]]:
    return {address: change["actions"] for address, change in workspace.plan().items()}


def test_after_a_failed_create_terraform_replaces_a_secret_and_has_forgotten_a_release(
    workspace: Workspace,
) -> None:
    """The Secret is tainted. The release is in the cluster and not in the state: it must be imported."""
    workspace.write(_resources())
    _fail(workspace, "create", ("kubernetes_secret_v1", "ci/token"), ("helm_release", "ci/runner"))
    printed = workspace.terraform("apply", "-auto-approve", fails=True)
    assert printed.count("failed half-way") == len([SECRET, RELEASE])
    state = workspace.state()
    assert state[SECRET]["status"] == "tainted"
    assert RELEASE not in state
    assert workspace.recorded()["helm_release"]["ci/runner"]["state"]["status"] == "failed"
    _fail(workspace, "create")
    assert _actions(workspace) == {SECRET: ["delete", "create"], RELEASE: ["create"]}
    assert "cannot re-use a name" in workspace.terraform("apply", "-auto-approve", fails=True)
    workspace.terraform("import", RELEASE, "ci/runner")
    assert _actions(workspace) == {RELEASE: ["update"]}
    workspace.apply()
    assert workspace.plan() == {}


def test_a_failed_update_of_a_secret_is_not_repeated_before_the_next_revision(workspace: Workspace) -> None:
    """The state has the planned revision, the cluster the old token. A release is planned again by itself."""
    workspace.write(_resources())
    workspace.apply()
    workspace.write(_resources(revision=2))
    _fail(workspace, "update", ("kubernetes_secret_v1", "ci/token"), ("helm_release", "ci/runner"))
    workspace.terraform("apply", "-auto-approve", fails=True)
    _fail(workspace, "update")
    assert workspace.attributes()[RELEASE]["values"] == ["revision: 1"]
    assert _actions(workspace) == {RELEASE: ["update"]}
    assert workspace.recorded()["kubernetes_secret_v1"]["ci/token"]["data"] == {"token": "1"}
    workspace.write(_resources(revision=3))
    workspace.apply()
    assert workspace.plan() == {}
    assert workspace.recorded()["kubernetes_secret_v1"]["ci/token"]["data"] == {"token": "3"}


def test_a_failed_read_changes_no_state_and_a_failed_delete_keeps_the_object_in_it(
    workspace: Workspace,
) -> None:
    """The next plan reads again, and the next destroy deletes what is left."""
    workspace.write(_resources())
    workspace.apply()
    before = workspace.attributes()
    _fail(workspace, "read", ("kubernetes_secret_v1", "ci/token"))
    assert "read of kubernetes_secret_v1 ci/token failed half-way" in workspace.terraform("plan", fails=True)
    assert workspace.attributes() == before
    kept = {"kubernetes_priority_class_v1.managers", RELEASE, "kubernetes_namespace_v1.ci"}
    _fail(workspace, "delete", ("kubernetes_priority_class_v1", "managers"), ("helm_release", "ci/runner"))
    workspace.terraform("destroy", "-auto-approve", fails=True)
    assert workspace.attributes() == {address: before[address] for address in kept}
    _fail(workspace, "delete", ("kubernetes_namespace_v1", "ci"))
    workspace.terraform("destroy", "-auto-approve", fails=True)
    assert workspace.state().keys() == {"kubernetes_namespace_v1.ci"}
    _fail(workspace, "delete")
    workspace.terraform("destroy", "-auto-approve")
    assert not any(workspace.recorded().values())
