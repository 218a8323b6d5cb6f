"""Promises of the stand-in providers, kept under real Terraform."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from local_aws import rehearsal
from local_aws.rehearsal.record import changing
from tests.rehearsal.workspace import ACCESS, Workspace

NAMESPACE = {"ci": {"metadata": {"name": "ci", "labels": {"team": "build"}}}}
IN_CI = {"namespace": "${kubernetes_namespace_v1.ci.metadata[0].name}"}
LOCAL_ONLY = "The rehearsal serves the local environment only"
TOKEN = "glrt-plaintext-that-must-not-leak"


def _secret(**fields: Any) -> dict[str, Any]:
    return {
        "kubernetes_namespace_v1": NAMESPACE,
        "kubernetes_secret_v1": {"token": {"metadata": {"name": "token", **IN_CI}, **fields}},
    }


def _release(**fields: Any) -> dict[str, Any]:
    return {
        "helm_release": {
            "runner": {"name": "runner", "chart": "gitlab-runner", "namespace": "default", **fields}
        }
    }


def _token(value: str = TOKEN) -> dict[str, Any]:
    return {"token": {"type": "string", "ephemeral": True, "default": value}}


EVERYTHING: dict[str, Any] = {
    **_secret(data_wo={"runner-token": TOKEN}, data_wo_revision=3),
    "kubernetes_network_policy_v1": {
        "jobs": {
            "metadata": {"name": "jobs", **IN_CI},
            "spec": {
                "pod_selector": {
                    "match_expressions": [{"key": "app", "operator": "In", "values": ["b", "a"]}]
                },
                "policy_types": ["Ingress", "Egress"],
                "egress": [
                    {
                        "ports": [{"port": "443"}],
                        "to": [{"ip_block": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}}],
                    }
                ],
            },
        }
    },
    "kubernetes_resource_quota_v1": {
        "jobs": {"metadata": {"name": "jobs", **IN_CI}, "spec": {"hard": {"pods": "10"}}}
    },
    "kubernetes_limit_range_v1": {
        "jobs": {
            "metadata": {"name": "jobs", **IN_CI},
            "spec": {"limit": [{"type": "Container", "default": {"cpu": "1"}}]},
        }
    },
    "kubernetes_pod_disruption_budget_v1": {
        "jobs": {
            "metadata": [{"name": "jobs", **IN_CI}],
            "spec": [{"max_unavailable": "0", "selector": [{"match_labels": {"a": "b"}}]}],
        }
    },
    "kubernetes_priority_class_v1": {
        "managers": {"metadata": {"name": "managers"}, "value": 1000, "preemption_policy": "Never"}
    },
    "kubernetes_service_account_v1": {
        "jobs": {"metadata": {"name": "jobs", **IN_CI}, "automount_service_account_token": False}
    },
    **_release(**IN_CI, values=["a: {b: 1}", '{"a": {"c": 2}}'], timeouts={"create": "5m"}),
}

# Other values by type and attribute, and the real provider's actions when they change.
CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "kubernetes_namespace_v1": ({"metadata": {"name": "ci", "labels": {"team": "other"}}}, ["update"]),
    "kubernetes_secret_v1": ({"metadata": {"name": "renamed", **IN_CI}}, ["delete", "create"]),
    "kubernetes_network_policy_v1": ({"spec": {"pod_selector": {}, "policy_types": ["Egress"]}}, ["update"]),
    "kubernetes_resource_quota_v1": ({"spec": {"hard": {"pods": "11"}}}, ["update"]),
    "kubernetes_limit_range_v1": (
        {"spec": {"limit": [{"type": "Container", "max": {"cpu": "2"}}]}},
        ["update"],
    ),
    "kubernetes_pod_disruption_budget_v1": (
        {"spec": {"max_unavailable": "0", "selector": {"match_labels": {"a": "c"}}}},
        ["delete", "create"],
    ),
    "kubernetes_priority_class_v1": ({"value": 2000}, ["delete", "create"]),
    "kubernetes_service_account_v1": ({"automount_service_account_token": True}, ["update"]),
    "helm_release": ({"namespace": "kube-system"}, ["delete", "create"]),
}


def test_every_resource_type_is_applied_once_and_then_left_alone(workspace: Workspace) -> None:
    """A second plan is empty, the record holds every object, and destroy leaves nothing of them."""
    workspace.write(EVERYTHING)
    assert "Rehearsed, not deployed" in workspace.apply()
    assert workspace.plan() == {}
    recorded = workspace.recorded()
    assert recorded.keys() == EVERYTHING.keys()
    assert recorded["helm_release"]["ci/runner"]["values"] == {"a": {"b": 1, "c": 2}}
    workspace.terraform("destroy", "-auto-approve")
    assert not any(workspace.recorded().values())


def test_a_change_is_an_update_or_a_replacement_as_with_the_real_provider(workspace: Workspace) -> None:
    """A plan after either is empty."""
    assert CHANGES.keys() == EVERYTHING.keys()
    workspace.write(EVERYTHING)
    workspace.apply()
    changed = {
        kind: {name: {**fields, **CHANGES[kind][0]} for name, fields in resources.items()}
        for kind, resources in EVERYTHING.items()
    }
    workspace.write(changed)
    actions = {address.partition(".")[0]: item["actions"] for address, item in workspace.plan().items()}
    assert actions == {kind: expected for kind, (_, expected) in CHANGES.items()}
    workspace.apply()
    assert workspace.plan() == {}
    assert workspace.recorded()["kubernetes_resource_quota_v1"]["ci/jobs"]["state"]["spec"][0]["hard"] == {
        "pods": "11"
    }


def test_a_write_only_token_is_only_in_the_recorded_secret(workspace: Workspace) -> None:
    """An ephemeral value reaches the Secret in the cluster, but not the plan and not the state."""
    workspace.write(_secret(data_wo={"runner-token": "${var.token}"}, data_wo_revision=1), variable=_token())
    assert TOKEN not in json.dumps(workspace.plan())
    workspace.apply()
    assert workspace.recorded()["kubernetes_secret_v1"]["ci/token"]["data"] == {"runner-token": TOKEN}
    assert TOKEN not in (workspace.folder / "terraform.tfstate").read_text()


def test_the_data_of_a_secret_changes_only_with_its_revision(workspace: Workspace) -> None:
    """A new token alone is no change; with a new revision it is an update in place of that number."""
    workspace.write(_secret(data_wo={"t": "${var.token}"}, data_wo_revision=1), variable=_token("old"))
    workspace.apply()
    workspace.write(_secret(data_wo={"t": "${var.token}"}, data_wo_revision=1), variable=_token("new"))
    assert workspace.plan() == {}
    workspace.write(_secret(data_wo={"t": "${var.token}"}, data_wo_revision=2), variable=_token("new"))
    (change,) = workspace.plan().values()
    assert change["actions"] == ["update"]
    differing = {name for name, value in change["after"].items() if value != change["before"][name]}
    assert differing == {"data_wo_revision"}
    workspace.apply()
    assert workspace.recorded()["kubernetes_secret_v1"]["ci/token"]["data"] == {"t": "new"}


def test_write_only_data_without_a_revision_makes_an_empty_secret(workspace: Workspace) -> None:
    """The real provider does the same (its issue 2833)."""
    workspace.write(_secret(data_wo={"t": TOKEN}))
    workspace.apply()
    assert workspace.recorded()["kubernetes_secret_v1"]["ci/token"]["data"] == {}
    assert workspace.plan() == {}


def test_an_ephemeral_value_is_refused_where_it_would_be_stored(workspace: Workspace) -> None:
    """Terraform itself accepts an ephemeral value only in write-only attributes."""
    workspace.write(_secret(data={"t": "${var.token}"}), variable=_token())
    assert "Invalid use of ephemeral value" in workspace.terraform("plan", fails=True)


@pytest.mark.parametrize(
    ("resources", "access", "message"),
    [
        ({"helm_release": {"r": {"name": "r"}}}, ACCESS, 'The argument "chart" is required'),
        (_release(chart=""), ACCESS, "chart is '': it must match"),
        (_release(set_value="x"), ACCESS, 'No argument or block type is named "set_value"'),
        (_release(set=[{"name": "a", "value": "b"}]), ACCESS, "set can't be rehearsed: use values"),
        (_release(values=["a: ["]), ACCESS, "Error unmarshaling values"),
        (
            _secret(data_wo={"a": "b"}, data_wo_revision=0),
            ACCESS,
            "data_wo_revision is 0: it must match",
        ),
        (_secret(data_wo={"a": "b"}, data={"a": "b"}), ACCESS, '"data_wo": conflicts with data'),
        (_secret(data_wo_revision=1), ACCESS, "all of `data_wo_revision,data_wo` must be specified"),
        (_secret(immutable=True), ACCESS, "immutable is True: it must match False"),
        (_secret(binary_data={"a": "Yg=="}), ACCESS, "binary_data can't be rehearsed: use data"),
        (_release(), {**ACCESS, "host": ""}, "host is empty"),
        (_release(), {**ACCESS, "token": ""}, "token is empty"),
        (_secret(), {"host": ACCESS["host"]}, "token is empty"),
    ],
)
def test_a_mistake_is_refused_at_plan_time(
    workspace: Workspace, resources: dict[str, Any], access: dict[str, Any], message: str
) -> None:
    """The stand-ins refuse the same mistakes as the real providers, and give the reason."""
    workspace.write(resources, access)
    assert message in workspace.terraform("plan", fails=True)


@pytest.mark.parametrize(
    "host",
    [
        "https://ABC.gr7.eu-west-1.eks.amazonaws.com",
        "https://localhost.example.com",
        "https://127.0.0.1@example.com",
        "https://10.0.0.1:16443",
    ],
)
@pytest.mark.parametrize("resources", [_secret(), _release()], ids=["kubernetes", "helm"])
def test_only_the_local_environment_can_be_rehearsed(
    workspace: Workspace, resources: dict[str, Any], host: str
) -> None:
    """A stand-in refuses every cluster that is not on loopback."""
    workspace.write(resources, {**ACCESS, "host": host})
    assert LOCAL_ONLY in workspace.terraform("plan", fails=True)


@pytest.mark.parametrize("host", ["http://127.0.0.1", "localhost:16443", "https://[::1]:16443/"])
def test_loopback_is_local(workspace: Workspace, host: str) -> None:
    """The stand-ins accept every form of this machine's own address."""
    workspace.write({**_secret(), **_release()}, {**ACCESS, "host": host})
    workspace.terraform("plan")


def test_the_cluster_access_may_be_unknown_until_the_apply(workspace: Workspace) -> None:
    """The plan accepts a host that Terraform knows only at the apply; the apply checks it."""
    unknown = {**ACCESS, "host": "${terraform_data.host.output}"}
    workspace.write({**_secret(), "terraform_data": {"host": {"input": "https://10.0.0.1"}}}, unknown)
    assert len(workspace.plan()) == len(["namespace", "secret", "host"])
    assert LOCAL_ONLY in workspace.terraform("apply", "-auto-approve", fails=True)


def test_a_release_is_updated_in_place(workspace: Workspace) -> None:
    """New values are a new revision of the same release, and only metadata and id become unknown."""
    workspace.write(_release(values=["a: 1"]))
    workspace.apply()
    workspace.write(_release(values=["a: 2"]))
    change = workspace.plan()["helm_release.runner"]
    assert change["actions"] == ["update"]
    assert {name for name, unknown in change["after_unknown"].items() if unknown is True} == {
        "id",
        "metadata",
    }
    workspace.apply()
    release = workspace.recorded()["helm_release"]["default/runner"]
    assert (release["values"], release["state"]["metadata"]["revision"]) == ({"a": 2}, 2)


def test_a_deleted_object_is_planned_again(workspace: Workspace) -> None:
    """A refresh finds that another program has deleted the object."""
    resources = {**_secret(), **_release(**IN_CI)}
    workspace.write(resources)
    workspace.apply()
    with changing(workspace.record) as objects:
        del objects["kubernetes_secret_v1"]["ci/token"]
    assert {address: change["actions"] for address, change in workspace.plan().items()} == {
        "kubernetes_secret_v1.token": ["create"]
    }
    workspace.terraform("destroy", "-auto-approve", "-target=kubernetes_namespace_v1.ci", "-refresh=false")
    assert not any(workspace.recorded().values())


def test_the_objects_of_a_deleted_namespace_are_deleted(workspace: Workspace) -> None:
    """This holds for objects that Terraform does not know, too, as in a cluster."""
    workspace.write({"kubernetes_namespace_v1": NAMESPACE})
    workspace.apply()
    with changing(workspace.record) as objects:
        objects["kubernetes_secret_v1"] = {"ci/foreign": {"state": {}}, "cicd/other": {"state": {}}}
    workspace.terraform("destroy", "-auto-approve")
    assert workspace.recorded()["kubernetes_secret_v1"].keys() == {"cicd/other"}


def test_the_cluster_refuses_duplicates_and_missing_namespaces(workspace: Workspace) -> None:
    """A second object with one name fails at the apply; so does one without a name or in no namespace."""
    twice = {"a": {"metadata": {"name": "kube-system"}}, "nameless": {"metadata": {}}}
    lost = {"metadata": {"name": "x", "namespace": "nowhere"}}
    workspace.write(
        {
            "kubernetes_namespace_v1": twice,
            "kubernetes_resource_quota_v1": {"a": {**lost, "spec": {"hard": {"pods": "10"}}}},
            **_release(namespace="nowhere"),
        }
    )
    printed = workspace.terraform("apply", "-auto-approve", fails=True)
    assert 'kubernetes_namespace_v1 "kube-system" already exists' in printed
    assert "metadata.name: Required value" in printed
    assert printed.count('namespaces "nowhere" not found') == len(["quota", "release"])
    workspace.write(_release(namespace="nowhere", create_namespace=True))
    workspace.apply()
    assert workspace.plan() == {}


def test_the_record_is_private_and_outlives_the_server(workspace: Workspace) -> None:
    """Only its owner can read the record, and the next server finds the objects in it."""
    workspace.write(_secret())
    workspace.apply()
    assert stat.S_IMODE(workspace.record.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    with rehearsal.running(workspace.record) as reattach:
        workspace.environment["TF_REATTACH_PROVIDERS"] = json.dumps(reattach)
        assert workspace.plan() == {}


def test_a_killed_run_leaves_no_readable_record(tmp_path: Path) -> None:
    """What a killed run has left of the next record neither lends it its mode nor outlives `remove`."""
    record = tmp_path / "record.json"
    left = tmp_path / ".record.json.changed"
    left.write_text(TOKEN)
    left.chmod(0o644)
    with changing(record) as objects:
        objects["kubernetes_secret_v1"] = {"ci/token": {"state": {}, "data": {"runner-token": TOKEN}}}
    assert stat.S_IMODE(record.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    left.write_text(TOKEN)
    rehearsal.remove(record)
    assert [path for path in tmp_path.iterdir() if path.read_text()] == []
