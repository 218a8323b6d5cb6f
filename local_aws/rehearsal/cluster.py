"""Intent: what a Kubernetes API and Helm would do with the objects of both providers, on the record.

Not here: a release's values (release.py), and all that controllers do: no pod ever runs.
"""

import uuid
from pathlib import Path
from typing import Any

from local_aws.rehearsal import release
from local_aws.rehearsal.planning import UNKNOWN, RefusedError, State, settled
from local_aws.rehearsal.record import Objects, changing, read

_NAMESPACE, _RELEASE, _SECRET = "kubernetes_namespace_v1", "helm_release", "kubernetes_secret_v1"
_BORN_WITH = {"default", "kube-node-lease", "kube-public", "kube-system"}  # namespaces of every new cluster


class Cluster:
    """Plan, create, read, update, delete and import; `kind` is a resource type, e.g. `helm_release`."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def plan(self, kind: str, prior: State | None, plan: State) -> None:
        """Finish a plan that the schema alone has filled in."""
        if kind != _RELEASE or plan == prior:
            return
        if prior is not None:
            plan |= {"id": UNKNOWN, "metadata": UNKNOWN}
        release.refuse_wrong_values(plan)

    def apply(self, kind: str, prior: State | None, plan: State, config: State) -> State:
        """Create the object, or change it where there is a prior state."""
        state: State = settled(plan)
        entry = {"state": state}
        if kind == _RELEASE:
            entry |= release.deployed(state, prior)
        elif prior is None:
            _born(state)
        key = key_of(kind, state)
        with changing(self._record) as objects:
            entries = objects.setdefault(kind, {})
            if prior is None and (key in entries or (kind == _NAMESPACE and key in _BORN_WITH)):
                raise RefusedError(f'{kind} "{key}" already exists')
            if prior is not None and key not in entries:
                raise RefusedError(f'{kind} "{key}" not found')
            if not state.get("create_namespace"):
                _require_namespace(objects, key.rpartition("/")[0])
            if kind == _SECRET:
                entry["data"] = _secret_data(entries.get(key, {}), prior, state, config)
            entries[key] = entry
        return state

    def read(self, kind: str, key: str) -> State | None:
        """The object as recorded, None when it is not there; its key is also its id to import it by."""
        entry = read(self._record).get(kind, {}).get(key)
        return entry["state"] if entry else None

    def delete(self, kind: str, state: State) -> None:
        """Remove the object, a namespace with all that is in it; one that is gone already is no error."""
        key = key_of(kind, state)
        with changing(self._record) as objects:
            objects.get(kind, {}).pop(key, None)
            for entries in objects.values() if kind == _NAMESPACE else []:
                for inside in [item for item in entries if item.startswith(f"{key}/")]:
                    del entries[inside]


def key_of(kind: str, state: State) -> str:
    """`namespace/name`, or `name` for what has no namespace."""
    where = state if kind == _RELEASE else state["metadata"][0]
    return "/".join(filter(None, [where.get("namespace"), where["name"]]))


def _born(state: State) -> None:
    """Give a new object of Kubernetes what the API server gives it."""
    metadata = state["metadata"][0]
    if not metadata["name"]:
        raise RefusedError("metadata.name: Required value", path=("metadata", 0, "name"))
    metadata |= {"uid": str(uuid.uuid4()), "resource_version": "1", "generation": 0}
    state["id"] = key_of("", state)


def _require_namespace(objects: Objects, name: str) -> None:
    """Refuse a namespace that is not there, in the API server's words."""
    if name and name not in _BORN_WITH and name not in objects.get(_NAMESPACE, {}):
        raise RefusedError(f'namespaces "{name}" not found')


def _secret_data(held: dict[str, Any], prior: State | None, state: State, config: State) -> dict[str, Any]:
    """Return the data of a Secret after an apply.

    As in the real provider 2.38, write-only data counts only if its revision is set or changes. So data_wo without
    a revision makes an empty Secret (terraform-provider-kubernetes issue 2833).
    """
    if state["data_wo_revision"] is None:
        return state["data"] or {}
    if prior is None or state["data_wo_revision"] != prior["data_wo_revision"]:
        return config["data_wo"] or {}
    data: dict[str, Any] = held["data"]
    return data
