"""Promises of the stand-in providers, kept under real Terraform."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

import rehearsal
from tests.rehearsal.workspace import ACCESS, Workspace

NAMESPACE = {"ci": {"metadata": {"name": "ci", "labels": {"team": "build"}}}}
IN_CI = {"namespace": "${kubernetes_namespace_v1.ci.metadata[0].name}"}
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
    "kubernetes_priority_class_v1": {"jobs": {"metadata": {"name": "jobs"}, "value": -10}},
    "kubernetes_service_account_v1": {
        "jobs": {"metadata": {"generate_name": "jobs-", **IN_CI}, "image_pull_secret": [{"name": "pull"}]}
    },
    "kubernetes_role_v1": {
        "jobs": {
            "metadata": {"name": "jobs", **IN_CI},
            "rule": [{"api_groups": [""], "resources": ["pods"], "verbs": ["list", "get"]}],
        }
    },
    "kubernetes_role_binding_v1": {
        "jobs": {
            "metadata": {"name": "jobs", **IN_CI},
            "role_ref": {"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": "jobs"},
            "subject": [
                {
                    "kind": "ServiceAccount",
                    "name": "${kubernetes_service_account_v1.jobs.metadata[0].name}",
                    **IN_CI,
                }
            ],
        }
    },
    **_release(
        **IN_CI,
        values=["a: {b: 1}", '{"a": {"c": 2}}'],
        set=[{"name": "a.b", "value": "3"}],
        timeouts={"create": "5m"},
    ),
}


def test_every_resource_type_is_applied_once_and_then_left_alone(workspace: Workspace) -> None:
    """A second plan is empty, the record holds every object, and destroy leaves nothing of them."""
    workspace.write(EVERYTHING)
    assert "Rehearsed, not deployed" in workspace.apply()
    assert workspace.plan() == {}
    recorded = workspace.recorded()
    assert recorded.keys() == EVERYTHING.keys()
    assert recorded["helm_release"]["ci/runner"]["values"] == {"a": {"b": 3, "c": 2}}
    assert next(iter(recorded["kubernetes_service_account_v1"])).startswith("ci/jobs-")
    workspace.terraform("destroy", "-auto-approve")
    assert not any(workspace.recorded().values())


def test_write_only_token_is_in_the_recorded_secret_and_nowhere_else(workspace: Workspace) -> None:
    """An ephemeral value reaches the Secret in the cluster, and neither the plan nor the state."""
    workspace.write(_secret(data_wo={"runner-token": "${var.token}"}, data_wo_revision=1), variable=_token())
    assert TOKEN not in json.dumps(workspace.plan())
    workspace.apply()
    assert workspace.recorded()["kubernetes_secret_v1"]["ci/token"]["data"] == {"runner-token": TOKEN}
    assert TOKEN not in (workspace.folder / "terraform.tfstate").read_text()


def test_secret_data_follows_its_revision_and_nothing_else(workspace: Workspace) -> None:
    """A new token alone plans nothing; with a new revision it is an in-place update of that one number."""
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
    """The real provider's trap (its issue 2833) is there to be tested against."""
    workspace.write(_secret(data_wo={"t": TOKEN}))
    workspace.apply()
    assert workspace.recorded()["kubernetes_secret_v1"]["ci/token"]["data"] == {}
    assert workspace.plan() == {}


def test_ephemeral_value_is_refused_where_it_would_be_kept(workspace: Workspace) -> None:
    """Terraform itself lets an ephemeral value into write-only attributes only."""
    workspace.write(_secret(data={"t": "${var.token}"}), variable=_token())
    assert "Invalid use of ephemeral value" in workspace.terraform("plan", fails=True)


@pytest.mark.parametrize(
    ("resources", "access", "message"),
    [
        ({"helm_release": {"r": {"name": "r"}}}, ACCESS, 'The argument "chart" is required'),
        (_release(chart=""), ACCESS, "chart must have 1 or more characters"),
        (_release(set_value="x"), ACCESS, 'No argument or block type is named "set_value"'),
        (
            _secret(data_wo={"a": "b"}, data_wo_revision=0),
            ACCESS,
            "expected data_wo_revision to be at least 1",
        ),
        (_secret(data_wo={"a": "b"}, data={"a": "b"}), ACCESS, '"data_wo": conflicts with data'),
        (_secret(data_wo_revision=1), ACCESS, "all of `data_wo_revision,data_wo` must be specified"),
        (_release(), {**ACCESS, "host": ""}, "host is empty"),
        (_release(), {**ACCESS, "token": ""}, "token is empty"),
        (_secret(), {"host": ACCESS["host"]}, "token is empty"),
        (
            _secret(),
            {**ACCESS, "host": "https://ABC.gr7.eu-west-1.eks.amazonaws.com"},
            "only for the local environment",
        ),
        (_release(), {**ACCESS, "host": "https://localhost.example.com"}, "only for the local environment"),
    ],
)
def test_mistake_is_refused_at_plan_time(
    workspace: Workspace, resources: dict[str, Any], access: dict[str, Any], message: str
) -> None:
    """What the real providers refuse is refused by attribute; so is any cluster but a local one."""
    workspace.write(resources, access)
    assert message in workspace.terraform("plan", fails=True)


def test_cluster_access_may_be_unknown_until_apply(workspace: Workspace) -> None:
    """A plan doesn't stumble over a host that only the apply knows; the apply then checks it."""
    unknown = {**ACCESS, "host": "${terraform_data.host.output}"}
    workspace.write({**_secret(), "terraform_data": {"host": {"input": "https://10.0.0.1"}}}, unknown)
    assert len(workspace.plan()) == len(["namespace", "secret", "host"])
    assert "only for the local environment" in workspace.terraform("apply", "-auto-approve", fails=True)


@pytest.mark.parametrize(
    ("before", "after", "address"),
    [
        (_secret(), _secret(metadata={"name": "renamed", **IN_CI}), "kubernetes_secret_v1.token"),
        (
            _secret(immutable=True, data={"a": "b"}),
            _secret(immutable=True, data={"a": "c"}),
            "kubernetes_secret_v1.token",
        ),
        (_release(), _release(namespace="kube-system"), "helm_release.runner"),
    ],
)
def test_change_of_what_cannot_change_is_a_replacement(
    workspace: Workspace, before: dict[str, Any], after: dict[str, Any], address: str
) -> None:
    """Names, namespaces and the data of an immutable Secret are replaced, not updated."""
    workspace.write(before)
    workspace.apply()
    workspace.write(after)
    assert workspace.plan()[address]["actions"] == ["delete", "create"]
    workspace.apply()
    assert workspace.plan() == {}


def test_release_is_updated_in_place(workspace: Workspace) -> None:
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


def test_object_that_is_gone_is_planned_again(workspace: Workspace) -> None:
    """A refresh notices what someone else deleted; with its namespace goes all that is in it."""
    resources = {**_secret(), **_release(**IN_CI)}
    workspace.write(resources)
    workspace.apply()
    with rehearsal.record.Record(workspace.record).changing() as (objects, _):
        del objects["kubernetes_secret_v1"]["ci/token"]
    assert {address: change["actions"] for address, change in workspace.plan().items()} == {
        "kubernetes_secret_v1.token": ["create"]
    }
    workspace.terraform("destroy", "-auto-approve", "-target=kubernetes_namespace_v1.ci", "-refresh=false")
    assert not any(workspace.recorded().values())


def test_deleted_namespace_takes_its_content_along(workspace: Workspace) -> None:
    """What Terraform doesn't know of goes too, as in a cluster."""
    workspace.write({"kubernetes_namespace_v1": NAMESPACE})
    workspace.apply()
    with rehearsal.record.Record(workspace.record).changing() as (objects, _):
        objects["kubernetes_secret_v1"] = {"ci/foreign": {"state": {}}, "cicd/other": {"state": {}}}
    workspace.terraform("destroy", "-auto-approve")
    assert workspace.recorded()["kubernetes_secret_v1"].keys() == {"cicd/other"}


def test_cluster_refuses_duplicates_and_missing_namespaces(workspace: Workspace) -> None:
    """A second object of one name, and one in no namespace, fail in the API server's and Helm's words."""
    twice = {"a": {"metadata": {"name": "kube-system"}}}
    lost = {"a": {"metadata": {"name": "x", "namespace": "nowhere"}}}
    workspace.write(
        {
            "kubernetes_namespace_v1": twice,
            "kubernetes_role_v1": {
                "a": {**lost["a"], "rule": EVERYTHING["kubernetes_role_v1"]["jobs"]["rule"]}
            },
            **_release(namespace="nowhere"),
        }
    )
    printed = workspace.terraform("apply", "-auto-approve", fails=True)
    assert 'namespaces "kube-system" already exists' in printed
    assert printed.count('namespaces "nowhere" not found') == len(["role", "release"])
    workspace.write(_release(namespace="nowhere", create_namespace=True))
    workspace.apply()
    assert "nowhere" in workspace.recorded()["kubernetes_namespace_v1"]


def test_existing_objects_can_be_imported(workspace: Workspace) -> None:
    """A Secret (read back as the real provider does) and a release can be imported; a missing one can't."""
    workspace.write({**_secret(data={"a": "b"}), **_release()})
    workspace.apply()
    (workspace.folder / "terraform.tfstate").unlink()
    for address, name in {
        "kubernetes_namespace_v1.ci": "ci",
        "kubernetes_secret_v1.token": "ci/token",
        "helm_release.runner": "default/runner",
    }.items():
        workspace.terraform("import", address, name)
    assert workspace.plan() == {}
    (workspace.folder / "terraform.tfstate").unlink()
    assert "non-existent remote object" in workspace.terraform(
        "import", "kubernetes_secret_v1.token", "ci/none", fails=True
    )


def test_record_is_private_and_outlives_the_server(workspace: Workspace) -> None:
    """Only its owner reads the record, and the next server finds what the last one left."""
    workspace.write(_secret())
    workspace.apply()
    assert stat.S_IMODE(workspace.record.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    with rehearsal.running(workspace.record) as reattach:
        workspace.environment |= reattach
        assert workspace.plan() == {}


@pytest.mark.parametrize(
    ("outcome", "message"),
    [("exit 0", ""), ("echo 'Error: runners.config is no TOML' >&2; exit 1", "runners.config is no TOML")],
)
def test_release_is_rendered_where_helm_and_the_chart_are_at_hand(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    outcome: str,
    message: str,
) -> None:
    """Helm gets name, namespace and merged values; its manifest is recorded, its complaint shown."""
    helm, chart = tmp_path / "helm", tmp_path / "charts" / "gitlab-runner"
    chart.mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{name: gitlab-runner, version: 0.86.0, appVersion: 18.9.0}")
    helm.write_text(f'#!/bin/sh\necho "# $@"\ncat\n{outcome}\n')
    helm.chmod(stat.S_IRWXU)
    monkeypatch.setenv("REHEARSAL_HELM", str(helm))
    monkeypatch.setenv("REHEARSAL_CHARTS", str(chart.parent))
    workspace: Workspace = request.getfixturevalue("workspace")  # its server starts with this environment
    workspace.write(_release(values=["a: {b: 1}"], set_sensitive=[{"name": "a.c", "value": "x"}]))
    if message:
        assert message in workspace.terraform("plan", fails=True)
        return
    workspace.apply()
    release = workspace.recorded()["helm_release"]["default/runner"]
    asked, given = release["manifest"].splitlines()
    assert asked == f"# template runner {chart} --namespace default --values -"
    assert json.loads(given) == {"a": {"b": 1, "c": "x"}}
    assert release["state"]["version"] == "0.86.0"
