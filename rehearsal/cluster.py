"""Intent: what a Kubernetes API would do with the objects of the kubernetes provider, on the record.

Not here: releases (release.py), and everything that controllers do (no pod ever runs).
"""

import secrets
import uuid
from typing import Any

from rehearsal.planning import Block, blank, settled
from rehearsal.record import Objects, Record
from rehearsal.wire import UNKNOWN, Refused

State = dict[str, Any]

# Names of the kinds as the API server's messages have them.
_PLURALS = {
    "limit_range": "limitranges",
    "namespace": "namespaces",
    "network_policy": "networkpolicies.networking.k8s.io",
    "pod_disruption_budget": "poddisruptionbudgets.policy",
    "priority_class": "priorityclasses.scheduling.k8s.io",
    "resource_quota": "resourcequotas",
    "role": "roles.rbac.authorization.k8s.io",
    "role_binding": "rolebindings.rbac.authorization.k8s.io",
    "secret": "secrets",
    "service_account": "serviceaccounts",
}
_NAMESPACE = "kubernetes_namespace_v1"
_SECRET = "kubernetes_secret_v1"  # noqa: S105 - a resource type
_BORN_WITH = frozenset(
    {"default", "kube-node-lease", "kube-public", "kube-system"}
)  # namespaces of every new cluster


class KubernetesObjects:
    """Create, read, update, delete and import, with the API server's refusals."""

    def __init__(self, record: Record, schemas: dict[str, Block]) -> None:
        self._record = record
        self._schemas = schemas

    def plan(self, kind: str, prior: State | None, plan: State, _config: State) -> tuple[State, list[str]]:
        """The plan, and what else forces a replacement: the data of an immutable Secret."""
        immutable = kind == _SECRET and prior is not None and prior["immutable"]
        fields = ("data", "binary_data", "immutable") if immutable else ()
        return plan, [name for name in fields if prior is not None and prior[name] != plan[name]]

    def create(self, kind: str, plan: State, config: State) -> State:
        state: State = settled(plan)
        metadata = state["metadata"][0]
        with self._record.changing() as (objects, revision):
            if not metadata["name"] and not metadata["generate_name"]:
                required = "metadata.name: Required value: name or generateName is required"
                raise Refused(f"{_plural(kind)} is invalid: {required}", "", ("metadata", 0, "name"))
            metadata["name"] = metadata["name"] or metadata["generate_name"] + secrets.token_hex(3)[:5]
            if "namespace" in metadata:
                require_namespace(objects, metadata["namespace"])
            state["id"] = "/".join(filter(None, [metadata.get("namespace"), metadata["name"]]))
            if state["id"] in objects.get(kind, {}) or (kind == _NAMESPACE and state["id"] in _BORN_WITH):
                raise Refused(f'{_plural(kind)} "{metadata["name"]}" already exists')
            metadata |= {
                "uid": str(uuid.uuid4()),
                "resource_version": str(revision),
                "generation": int("spec" in state),
            }
            entry = {"state": state}
            if kind == _SECRET:
                _fill_secret(entry, None, plan, config)
            objects.setdefault(kind, {})[state["id"]] = entry
        return state

    def read(self, kind: str, state: State) -> State | None:
        entry = self._record.objects().get(kind, {}).get(state["id"])
        if entry is None:
            return None
        found: State = (
            {**entry["state"], "timeouts": state["timeouts"]} if "timeouts" in state else entry["state"]
        )
        if kind == _SECRET and not (state["data_wo_revision"] or state["binary_data_wo_revision"]):
            # The real provider reads a Secret's data back unless the state says that it was written
            # write-only.
            found = {
                **found,
                "data": entry["data"],
                "data_wo_revision": None,
                "binary_data_wo_revision": None,
            }
        return found

    def update(self, kind: str, prior: State, plan: State, config: State) -> State:
        state: State = settled(plan)
        with self._record.changing() as (objects, revision):
            entry = objects.get(kind, {}).get(state["id"])
            if entry is None:
                raise Refused(f'{_plural(kind)} "{prior["metadata"][0]["name"]}" not found')
            metadata = state["metadata"][0]
            metadata["resource_version"] = str(revision)
            if state.get("spec") != prior.get("spec"):
                metadata["generation"] += 1
            entry["state"] = state
            if kind == _SECRET:
                _fill_secret(entry, prior, plan, config)
        return state

    def delete(self, kind: str, state: State) -> None:
        with self._record.changing() as (objects, _):
            objects.get(kind, {}).pop(state["id"], None)
            if kind == _NAMESPACE:  # takes with it what is in it, releases (kept as Secrets there) included
                for entries in objects.values():
                    for key in [key for key in entries if key.startswith(f"{state['id']}/")]:
                        del entries[key]

    def imported(self, kind: str, name: str) -> State:
        """A state with only its id; Terraform reads the rest, and says so when there is none."""
        return {**blank(self._schemas[kind]), "id": name}


def require_namespace(objects: Objects, name: str) -> None:
    """Refuse a namespace that is not there, in the API server's words."""
    if name not in _BORN_WITH and name not in objects.get(_NAMESPACE, {}):
        raise Refused(f'namespaces "{name}" not found')


def create_namespace(objects: Objects, block: Block, name: str, revision: int) -> None:
    """A namespace that no resource of Terraform's manages (Helm's --create-namespace)."""
    if name in _BORN_WITH or name in objects.get(_NAMESPACE, {}):
        return
    metadata = {"name": name, "uid": str(uuid.uuid4()), "resource_version": str(revision), "generation": 0}
    state = {**blank(block), "id": name, "metadata": [{**blank(block["blocks"]["metadata"]), **metadata}]}
    objects.setdefault(_NAMESPACE, {})[name] = {"state": state}


def _fill_secret(entry: dict[str, Any], prior: State | None, plan: State, config: State) -> None:
    """Put the Secret's data into the record.

    As the real provider 2.38 does it: write-only data counts only when its revision is set or changes, so
    that data_wo without a revision makes an empty Secret (terraform-provider-kubernetes issue 2833).
    """
    state = entry["state"]
    for field in ("data", "binary_data"):
        revision = f"{field}_wo_revision"
        if plan[revision] != (prior or {}).get(revision):
            entry[field] = config[f"{field}_wo"] or {}
        elif not plan[revision] and plan[field] is not UNKNOWN:
            entry[field] = plan[field] or {}
        entry.setdefault(field, {})
    if not plan["data_wo_revision"] and not plan["binary_data_wo_revision"]:
        state["data"] = entry["data"]


def _plural(kind: str) -> str:
    return _PLURALS[kind.removeprefix("kubernetes_").removesuffix("_v1")]
