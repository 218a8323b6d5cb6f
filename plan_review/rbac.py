"""Rights in Kubernetes: RBAC rules and bindings in resources, in manifests and in a chart's values.

A resource such as `kubernetes_role` has its finding of access from access.py; this module adds it for
`kubernetes_manifest`, `kubectl_manifest` and Helm, and names for all the ways to more rights that Kubernetes
lists ("Role Based Access Control Good Practices", "Privilege escalation risks").
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from plan_review.chart_values import SET_ATTRIBUTES, read_documents, read_yaml, walk_keys
from plan_review.findings import Category, Finding
from plan_review.plan import Change
from plan_review.values import Difference, Sensitive, Unknown, is_unknown, list_blocks, list_strings

# The attributes with the object, by the type of the resource. To kubectl's provider `yaml_body` is sensitive,
# and `yaml_body_parsed` the same without the fields that the author hides.
_MANIFESTS = {"kubernetes_manifest": ("manifest",), "kubectl_manifest": ("yaml_body_parsed", "yaml_body")}
_ROLE_KINDS = ("Role", "ClusterRole")
_BINDING_KINDS = ("RoleBinding", "ClusterRoleBinding")
_ROLES = ("kubernetes_role", "kubernetes_cluster_role")
_BINDINGS = ("kubernetes_role_binding", "kubernetes_cluster_role_binding")
# Roles that every cluster has (Kubernetes, "Using RBAC Authorization").
_ADMINISTRATORS = {
    "cluster-admin": "do everything in the cluster",
    "system:masters": "do everything in the cluster",
    "admin": "do everything in the namespace",
}
# Groups and users that are everybody (the same document).
_EVERYBODY = frozenset(
    {"system:anonymous", "system:unauthenticated", "system:authenticated", "system:serviceaccounts"}
)  # With this key of GitLab Runner's chart its role is a ClusterRole.
_WIDE_KEY = "clusterWideAccess"
# Parts of the names by which charts set rights.
_RIGHTS_KEY = re.compile(r"rbac|role|rules|admin|clusterwide|known after apply|\(sensitive\)", re.IGNORECASE)
_WIDE = "the rules hold for every namespace"

# One right: API group, resource, verb, and the name of the only object that it is for; empty for all objects.
_Right = tuple[str, str, str, str]


@dataclass(frozen=True)
class _Way:
    """A right by which its holder gets more rights.

    Attributes:
        effect: What the holder can do, as the rest of a sentence.
        resources: The resources that it needs one of.
        verbs: The verbs that it needs one of.
        is_grave: Whether it needs an approval even in a new chart, which often needs the others.

    """

    effect: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    is_grave: bool = False

    def is_in(self, rights: set[_Right]) -> bool:
        """Return whether one of the rights opens the way; a wildcard stands for any."""
        return any(
            resource in (*self.resources, "*") and verb in (*self.verbs, "*")
            for _, resource, verb, _ in rights
        )


_READ = ("get", "list", "watch")
_WORKLOADS = (
    *("pods", "deployments", "daemonsets", "statefulsets", "replicasets", "replicationcontrollers"),
    *("jobs", "cronjobs"),
)
WAYS: tuple[_Way, ...] = (
    _Way("give itself any right (escalate)", ("roles", "clusterroles"), ("escalate",), is_grave=True),
    _Way(
        "bind itself to any role (bind)",
        ("roles", "clusterroles", "rolebindings", "clusterrolebindings"),
        ("bind",),
        is_grave=True,
    ),
    _Way(
        "act as another (impersonate)",
        ("users", "groups", "serviceaccounts"),
        ("impersonate",),
        is_grave=True,
    ),
    _Way("reach each kubelet (nodes/proxy)", ("nodes/proxy",), (*_READ, "create"), is_grave=True),
    _Way(
        "change what the API server admits (webhooks)",
        ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
        ("create", "update", "patch"),
        is_grave=True,
    ),
    _Way(
        "issue certificates for others (certificatesigningrequests/approval)",
        ("certificatesigningrequests/approval",),
        ("update", "patch"),
        is_grave=True,
    ),
    _Way("reach files of nodes (persistentvolumes)", ("persistentvolumes",), ("create",), is_grave=True),
    _Way("make tokens of service accounts", ("serviceaccounts/token",), ("create",)),
    _Way("read Secrets", ("secrets",), _READ),
    _Way("run pods with any service account and Secret of the namespace", _WORKLOADS, ("create",)),
    _Way(
        "run commands in pods",
        ("pods/exec", "pods/attach", "pods/ephemeralcontainers"),
        ("create", "get", "patch"),
    ),
    _Way("change labels that Pod Security reads (namespaces)", ("namespaces",), ("update", "patch")),
)
_EVERYTHING = ("*", "*", "*", "")


@dataclass(frozen=True)
class _Access:
    """The rights and bindings in one state of a resource."""

    rights: frozenset[_Right] = frozenset()
    bindings: frozenset[str] = frozenset()


def find(change: Change) -> Iterator[Finding]:
    """Yield the findings of a resource that grants rights in Kubernetes."""
    if change.action not in ("create", "update", "replace", "delete"):
        return
    if change.type == "helm_release" and change.action in ("update", "replace"):
        yield from _find_hidden(change)
    if change.type in _MANIFESTS and change.action != "delete":
        yield from _find_hidden_manifest(change)
    before, after = (_read(change.type, state) for state in (change.before, change.after))
    if before == after:
        return
    if change.type in _MANIFESTS or change.type == "helm_release":
        yield _build_access(change, before, after)
    if change.action != "delete":
        yield from _find_ways(change, set(before.rights), set(after.rights))
        yield from _find_bindings(change, after.bindings - before.bindings)


def _find_hidden(change: Change) -> Iterator[Finding]:
    """Yield the finding of a release that gets unknown or sensitive values, which may grant rights."""
    items = [
        item
        for name in ("values", *SET_ATTRIBUTES)
        if name in change.changed
        for item in _list_hidden(name, *change.get(name))
    ]
    if items:
        yield Finding(
            Category.ACCESS,
            needs_approval=True,
            address=change.address,
            text="gets values that a plan does not show: they may grant rights in Kubernetes",
            differences=tuple(items),
        )


def _find_hidden_manifest(change: Change) -> Iterator[Finding]:
    """Yield the finding of a role or binding that the plan does not show."""
    name = _MANIFESTS[change.type][-1]
    before, after = change.get(name)
    hidden = after.value if isinstance(after, Sensitive) else None
    given = read_yaml(hidden) if isinstance(hidden, str) else hidden
    shown = _find_object(change.type, change.after)
    kinds = [
        item.get("kind")
        for item in (given, _find_object(change.type, change.before))
        if isinstance(item, dict)
    ]
    if shown is None and before != after and set(kinds) & {*_ROLE_KINDS, *_BINDING_KINDS}:
        yield Finding(
            Category.ACCESS,
            needs_approval=True,
            address=change.address,
            text="is a role or a binding of Kubernetes that the plan does not show",
            differences=(Difference(name, None, after),),
        )


def _list_hidden(name: str, before: Any, after: Any) -> Iterator[Difference]:
    if not isinstance(after, list):
        after = [after]
    old = before if isinstance(before, list) else [before]
    for item in after:
        if item in old and not is_unknown(item):
            continue
        if isinstance(item, Sensitive | Unknown):
            yield Difference(name, None, item)
        elif isinstance(item, dict) and isinstance(item.get("value"), Sensitive | Unknown):
            path = str(item.get("name"))
            # The name of another value, such as a password, is visible.
            if _RIGHTS_KEY.search(path):
                yield Difference(f"{name}.{path}", None, item["value"])


def _build_access(change: Change, before: _Access, after: _Access) -> Finding:
    lines = sorted(
        [
            *(f"+ {line}" for line in _write_lines(after) if line not in _write_lines(before)),
            *(f"- {line}" for line in _write_lines(before) if line not in _write_lines(after)),
        ],
        key=lambda line: line[2:],
    )
    grows = bool(
        any((*right[:-1], "") not in before.rights for right in after.rights - before.rights)
        or after.bindings - before.bindings
    )
    is_chart = change.type == "helm_release"
    past = {"create": "grants", "delete": "no longer grants"}.get(change.action, "changes")
    return Finding(
        Category.ACCESS,
        # A new chart brings the rights that it needs.
        needs_approval=grows and not (is_chart and change.action == "create"),
        address=change.address,
        text=f"{past} rights in Kubernetes",
        diff=tuple(lines),
    )


def _write_lines(access: _Access) -> list[str]:
    verbs: dict[tuple[str, str, str], list[str]] = {}
    for group, resource, verb, name in sorted(access.rights):
        verbs.setdefault((group, resource, name), []).append(verb)
    rules = [
        f"{resource}{f'.{group}' if group else ''}{f' named {name}' if name else ''}: {', '.join(found)}"
        for (group, resource, name), found in verbs.items()
    ]
    return [*rules, *sorted(access.bindings)]


def _find_ways(change: Change, before: set[_Right], after: set[_Right]) -> Iterator[Finding]:
    old_wide, wide = ({right for right in rights if not right[-1]} for rights in (before, after))
    new = [
        way
        for way in WAYS
        if (way.is_in(after) and not way.is_in(before)) or (way.is_in(wide) and not way.is_in(old_wide))
    ]
    if _EVERYTHING in after and _EVERYTHING not in before:
        effects, is_grave = "do everything", True
    elif new:
        effects, is_grave = "; ".join(way.effect for way in new), any(way.is_grave for way in new)
    else:
        return
    yield Finding(
        Category.ESCALATION,
        needs_approval=is_grave or change.type != "helm_release" or change.action != "create",
        address=change.address,
        text=f"lets its subjects in Kubernetes: {effects}",
    )


def _find_bindings(change: Change, bindings: frozenset[str]) -> Iterator[Finding]:
    for binding in sorted(bindings):
        role, _, subject = binding.partition(" for ")
        name = role.rpartition("/")[2]
        subject_name = subject.rpartition("/")[2]
        everybody = subject_name in _EVERYBODY
        if name in _ADMINISTRATORS or everybody:
            whom = "everybody" if everybody else "a subject"
            effect = _ADMINISTRATORS.get(name, "use the role")
            yield Finding(
                Category.ESCALATION,
                needs_approval=True,
                address=change.address,
                text=f"lets {whom} in Kubernetes {effect}",
                differences=(Difference("binding", None, binding),),
            )


def _read(kind: str, state: dict[str, Any] | None) -> _Access:
    """Return the rights and bindings that a resource has in one state."""
    if state is None:
        return _Access()
    plain = kind.removesuffix("_v1")
    if plain in _ROLES:
        return _Access(_read_rules(state.get("rule")))
    if plain in _BINDINGS:
        return _Access(bindings=_read_binding(state.get("role_ref"), state.get("subject")))
    if kind in _MANIFESTS:
        return _read_object(_find_object(kind, state))
    if kind == "helm_release":
        documents = read_documents(state)
        rights, seen = frozenset(_walk_values(documents, set())), walk_keys(documents)
        return _Access(rights, frozenset({_WIDE} if (_WIDE_KEY, True) in seen else ()))
    return _Access()


def _find_object(kind: str, state: dict[str, Any] | None) -> Any:
    """Return the object that a manifest shows; None if the plan does not show it."""
    found = [(state or {}).get(name) for name in _MANIFESTS[kind]]
    given = next((item for item in found if isinstance(item, str | dict)), None)
    return read_yaml(given) if isinstance(given, str) else given


def _read_object(given: Any) -> _Access:
    if not isinstance(given, dict):
        return _Access()
    kind = given.get("kind")
    if kind in _ROLE_KINDS:
        return _Access(_read_rules(given.get("rules")))
    if kind in _BINDING_KINDS:
        return _Access(bindings=_read_binding(given.get("roleRef"), given.get("subjects")))
    return _Access()


def _read_rules(given: Any) -> frozenset[_Right]:
    rights: set[_Right] = set()
    for rule in list_blocks(given):
        groups = list_strings(rule.get("api_groups", rule.get("apiGroups"))) or [""]
        resources = list_strings(rule.get("resources"))
        names = list_strings(rule.get("resource_names", rule.get("resourceNames"))) or [""]
        urls = list_strings(rule.get("non_resource_urls", rule.get("nonResourceURLs")))
        verbs = list_strings(rule.get("verbs"))
        rights |= {*product(groups, resources, verbs, names), *product(groups, urls, verbs, [""])}
    return frozenset(rights)


def _read_binding(role: Any, subjects: Any) -> frozenset[str]:
    """Return each binding as `kind/role for kind/subject`; a service account with its namespace."""
    return frozenset(
        f"{item.get('kind')}/{item.get('name')} for {_name_subject(subject)}"
        for item in list_blocks(role)
        for subject in list_blocks(subjects)
    )


def _name_subject(subject: dict[str, Any]) -> str:
    kind, name, namespace = (subject.get(key) for key in ("kind", "name", "namespace"))
    return f"{kind}/{namespace}/{name}" if kind == "ServiceAccount" else f"{kind}/{name}"


def _walk_values(value: Any, seen: set[int]) -> Iterator[_Right]:
    """Yield the rights of each RBAC rule in a chart's values: a map with verbs, in any list."""
    if not isinstance(value, dict | list) or id(value) in seen:
        return
    seen.add(id(value))  # aliases of YAML may be cyclic
    if isinstance(value, dict) and "verbs" in value and ("resources" in value or "nonResourceURLs" in value):
        yield from _read_rules(value)
    for part in value.values() if isinstance(value, dict) else value:
        yield from _walk_values(part, seen)
