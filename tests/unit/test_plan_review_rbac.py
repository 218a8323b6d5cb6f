"""Rights in Kubernetes: RBAC in resources, in manifests and in a chart's values."""

import json
from typing import Any

import pytest

from plan_review.findings import Category
from tests.plan_documents import findings, report, resource

READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


def rule(resources: str, *verbs: str) -> dict[str, Any]:
    """Return a rule of the core API group."""
    return {"apiGroups": [""], "resources": [resources], "verbs": list(verbs)}


def role(*rules: dict[str, Any]) -> dict[str, Any]:
    """Return a role as the attributes of `kubernetes_manifest`."""
    return {"manifest": {"kind": "ClusterRole", "metadata": {"name": "a"}, "rules": list(rules)}}


def chart(*rules: dict[str, Any]) -> dict[str, Any]:
    """Return a release whose values have RBAC rules."""
    return {"values": [json.dumps({"rbac": {"create": True, "rules": list(rules)}})]}


def binding(name: str, subject: str = "ci") -> dict[str, Any]:
    """Return a binding as the attributes of `kubernetes_cluster_role_binding_v1`."""
    return {
        "role_ref": [{"kind": "ClusterRole", "name": name}],
        "subject": [{"kind": "Group", "name": subject}],
    }


def typed_role(*rules: dict[str, Any]) -> dict[str, Any]:
    """Return a role as the attributes of `kubernetes_cluster_role_v1`."""
    return {
        "rule": [
            {"api_groups": item["apiGroups"], "resources": item["resources"], "verbs": item["verbs"]}
            for item in rules
        ]
    }


@pytest.mark.parametrize(
    ("resources", "verb", "words"),
    [
        ("clusterroles", "escalate", "give itself any right"),
        ("roles", "bind", "bind itself to any role"),
        ("groups", "impersonate", "act as another"),
        ("nodes/proxy", "get", "reach each kubelet"),
        ("persistentvolumes", "create", "reach files of nodes"),
        ("serviceaccounts/token", "create", "make tokens"),
        ("secrets", "list", "read Secrets"),
        ("deployments", "create", "run pods with any service account"),
        ("pods/exec", "create", "run commands in pods"),
        ("*", "*", "give itself any right"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "write"),
    [("kubernetes_manifest", role), ("kubernetes_cluster_role_v1", typed_role), ("helm_release", chart)],
)
def test_a_right_that_gives_more_rights_is_named(
    kind: str, write: Any, resources: str, verb: str, words: str
) -> None:
    """A changed role needs an approval for each way that Kubernetes lists, wherever the role is written."""
    change = resource(kind, write(READ_PODS), write(READ_PODS, rule(resources, verb)))
    (found,) = findings(Category.ESCALATION, change)
    assert found.needs_approval
    assert words in found.text


def test_all_rights_are_one_line() -> None:
    """A list of ways helps nobody whose role may do everything."""
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    (found,) = findings(Category.ESCALATION, resource("kubernetes_manifest", None, role(everything)))
    assert found.text == "lets its subjects in Kubernetes: do everything"


def test_other_rights_open_no_way() -> None:
    """Reading pods gives no more rights."""
    assert not findings(Category.ESCALATION, resource("kubernetes_manifest", None, role(READ_PODS)))
    assert not findings(Category.ESCALATION, resource("kubernetes_role", None, typed_role(READ_PODS)))


@pytest.mark.parametrize(
    ("kind", "attribute"), [("kubernetes_manifest", "manifest"), ("kubectl_manifest", "yaml_body")]
)
def test_a_role_in_a_manifest_is_shown_as_a_diff(kind: str, attribute: str) -> None:
    """A manifest is an object or text in YAML; a new right needs an approval, and one less does not."""
    small, large = (
        json.dumps(item["manifest"]) if attribute == "yaml_body" else item["manifest"]
        for item in (role(READ_PODS), role(rule("pods", "get", "delete")))
    )
    (found,) = findings(Category.ACCESS, resource(kind, {attribute: small}, {attribute: large}))
    assert found.needs_approval
    assert found.diff == ("+ pods: delete, get", "- pods: get")
    (found,) = findings(Category.ACCESS, resource(kind, {attribute: large}, {attribute: small}))
    assert not found.needs_approval


def test_a_new_chart_shows_its_rights() -> None:
    """A chart needs rights; only grave ones need an approval when it is new, and each one later."""
    usual = [rule("pods", "create"), rule("secrets", "get")]
    shown = [
        finding.needs_approval
        for category in (Category.ACCESS, Category.ESCALATION)
        for finding in findings(category, resource("helm_release", None, chart(*usual)))
    ]
    assert shown == [False, False]
    grave = resource("helm_release", None, chart(rule("roles", "escalate")))
    assert [item.needs_approval for item in findings(Category.ESCALATION, grave)] == [True]
    (found,) = findings(Category.ACCESS, resource("helm_release", chart(READ_PODS), chart(*usual)))
    assert found.needs_approval


def test_rights_for_every_namespace_need_an_approval() -> None:
    """GitLab Runner's chart makes its role a ClusterRole by one key."""
    wide = json.dumps({"rbac": {"clusterWideAccess": True, "rules": [READ_PODS]}})
    (found,) = findings(Category.ACCESS, resource("helm_release", chart(READ_PODS), {"values": [wide]}))
    assert found.needs_approval
    assert found.diff == ("+ the rules hold for every namespace",)


@pytest.mark.parametrize("kind", ["kubernetes_cluster_role_binding_v1", "kubernetes_manifest"])
@pytest.mark.parametrize(
    ("name", "subject", "words"),
    [
        ("cluster-admin", "ci", "lets a subject in Kubernetes do everything in the cluster"),
        ("view", "system:unauthenticated", "lets everybody in Kubernetes use the role"),
    ],
)
def test_a_binding_to_an_administrator_or_to_everybody_is_named(
    kind: str, name: str, subject: str, words: str
) -> None:
    """The finding says who may do what."""
    state = binding(name, subject)
    if kind == "kubernetes_manifest":
        state = {
            "manifest": {
                "kind": "ClusterRoleBinding",
                "roleRef": state["role_ref"][0],
                "subjects": state["subject"],
            }
        }
    (found,) = findings(Category.ESCALATION, resource(kind, None, state))
    assert (found.text, found.needs_approval) == (words, True)


def test_a_usual_binding_is_no_way() -> None:
    """A role of the project's own for one group is a finding of access alone."""
    change = resource("kubernetes_role_binding", None, binding("runner"))
    assert not findings(Category.ESCALATION, change)
    assert findings(Category.ACCESS, change)


def test_an_unreadable_manifest_gives_no_traceback() -> None:
    """Odd types in a manifest and in values are no rights."""
    for value in (None, 7, "x", [1], {"kind": "Role", "rules": 7}, {"kind": "RoleBinding", "roleRef": [1]}):
        for kind, name in (("kubernetes_manifest", "manifest"), ("kubectl_manifest", "yaml_body")):
            assert report(resource(kind, {name: None}, {name: value}))
        assert report(resource("helm_release", {"values": []}, {"values": [value, json.dumps(value)]}))


def manifest_binding(namespace: str) -> dict[str, Any]:
    """Return a binding to a service account as the attributes of `kubernetes_manifest`."""
    return {
        "manifest": {
            "kind": "ClusterRoleBinding",
            "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        }
    }


def test_a_service_account_of_another_namespace_is_another_subject() -> None:
    """A binding that moves to another namespace's account of the same name gives that one the rights."""
    change = resource("kubernetes_manifest", manifest_binding("safe"), manifest_binding("jobs"))
    (access,) = findings(Category.ACCESS, change)
    assert access.needs_approval
    assert access.diff == (
        "+ ClusterRole/cluster-admin for ServiceAccount/jobs/default",
        "- ClusterRole/cluster-admin for ServiceAccount/safe/default",
    )
    (escalation,) = findings(Category.ESCALATION, change)
    assert escalation.needs_approval


@pytest.mark.parametrize(("kind", "write"), [("kubernetes_manifest", role), ("helm_release", chart)])
def test_a_right_for_one_object_is_less_than_for_all(kind: str, write: Any) -> None:
    """A rule that loses its resourceNames needs an approval, one that gets them does not."""
    one = write({**rule("secrets", "get"), "resourceNames": ["ci"]})
    every = write(rule("secrets", "get"))
    (wider,) = findings(Category.ACCESS, resource(kind, one, every))
    assert wider.needs_approval
    assert wider.diff == ("- secrets named ci: get", "+ secrets: get")
    assert [item.needs_approval for item in findings(Category.ESCALATION, resource(kind, one, every))] == [
        True
    ]
    (narrower,) = findings(Category.ACCESS, resource(kind, every, one))
    assert not narrower.needs_approval
    assert not findings(Category.ESCALATION, resource(kind, every, one))


def setting(attribute: str, name: str, value: Any) -> dict[str, Any]:
    """Return a release that sets one value beside its document."""
    return {"values": ["rbac: {create: true}"], attribute: [{"name": name, "value": value}]}


@pytest.mark.parametrize(
    ("attribute", "name", "values", "diff"),
    [
        ("set", "rbac.clusterWideAccess", ("false", "true"), "+ the rules hold for every namespace"),
        ("set", "rbac.rules[0]", None, "+ secrets: get"),
        ("set_list", "rbac.rules[0].verbs", (["get"], ["get", "list"]), "+ pods: get, list"),
    ],
)
def test_rights_that_a_set_block_sets_are_seen(
    attribute: str, name: str, values: tuple[Any, Any] | None, diff: str
) -> None:
    """Helm sets them over the values in documents."""
    if values is None:
        blocks = [
            {"name": f"{name}.{key}", "value": f"{{{word}}}"}
            for key, word in (("resources", "secrets"), ("verbs", "get"))
        ]
        before: dict[str, Any] = {"values": ["rbac: {create: true}"]}
        after = before | {attribute: blocks}
    else:
        base = {"values": ["rbac: {rules: [{resources: [pods], verbs: [get]}]}"]}
        before, after = (base | {attribute: [{"name": name, "value": value}]} for value in values)
    (found,) = findings(Category.ACCESS, resource("helm_release", before, after))
    assert found.needs_approval
    assert diff in found.diff


@pytest.mark.parametrize(
    ("attribute", "name", "marks", "needs_approval"),
    [
        ("set", "rbac.clusterWideAccess", {"unknown": {"set": [{"value": True}]}}, True),
        ("set_sensitive", "rbac.rules", {"after_sensitive": {"set_sensitive": [{"value": True}]}}, True),
        ("set_sensitive", "password", {"after_sensitive": {"set_sensitive": [{"value": True}]}}, False),
        ("set", "password", {"unknown": {"values": True}}, True),
        ("set", "password", {"unknown": {"values": [True]}}, True),
        ("set", "password", {"unknown": {"metadata": True}}, False),
    ],
)
def test_hidden_values_of_an_old_release_need_an_approval(
    attribute: str,
    name: str,
    marks: dict[str, Any],
    needs_approval: bool,  # noqa: FBT001
) -> None:
    """They may grant rights; a new release brings the rights that it needs, and a password grants none."""
    before, after = (setting(attribute, name, value) for value in ("a", "b"))
    if "values" in marks.get("unknown", {}):
        del after["values"]
    found = [
        item
        for item in findings(Category.ACCESS, resource("helm_release", before, after, **marks))
        if "does not show" in item.text
    ]
    assert [item.needs_approval for item in found] == [True] * needs_approval
    new = findings(Category.ACCESS, resource("helm_release", None, after, **marks))
    assert not any(item.needs_approval for item in new)


@pytest.mark.parametrize(
    "name", ["", "a[99999].b", "[0]", "a..b", "a[0][1].c\\.d", "rbac[3].x", "\\", "create"]
)
def test_odd_names_of_set_blocks_are_no_error(name: str) -> None:
    """Helm refuses some of them later."""
    before, after = (setting("set", name, value) for value in ("1", "{a,b}"))
    findings(Category.ACCESS, resource("helm_release", before, after))


def test_the_object_of_kubectl_is_read_though_its_body_is_sensitive() -> None:
    """The provider marks `yaml_body`; `yaml_body_parsed` shows the object, unless it is unknown."""
    before, after = (
        {"yaml_body": json.dumps(text), "yaml_body_parsed": json.dumps(text, indent=1)}
        for text in (role(READ_PODS)["manifest"], role(READ_PODS, rule("secrets", "get"))["manifest"])
    )
    marks: dict[str, Any] = {"before_sensitive": {"yaml_body": True}, "after_sensitive": {"yaml_body": True}}
    (shown,) = findings(Category.ACCESS, resource("kubectl_manifest", before, after, **marks))
    assert shown.diff == ("+ secrets: get",)
    marks["unknown"] = {"yaml_body_parsed": True}
    del after["yaml_body_parsed"]
    for change in (
        resource("kubectl_manifest", before, after, **marks),
        resource("kubectl_manifest", None, after, **marks),
    ):
        found = [item for item in findings(Category.ACCESS, change) if "does not show" in item.text]
        assert [item.needs_approval for item in found] == [True]
        assert "secrets" not in report(change)
    harmless = resource("kubectl_manifest", None, {"yaml_body": '{"kind": "ConfigMap"}'}, **marks)
    assert not findings(Category.ACCESS, harmless)
