"""Create, change and delete objects in the record, as the Kubernetes API and Helm would in a cluster.

No controller acts on the objects: no pod ever runs.
"""

import uuid
from pathlib import Path
from typing import Any

from local_aws.rehearsal import release
from local_aws.rehearsal.planning import UNKNOWN, RefusedError, State, drop_unknown
from local_aws.rehearsal.record import Objects, changing, read

_NAMESPACE, _RELEASE, _SECRET = "kubernetes_namespace_v1", "helm_release", "kubernetes_secret_v1"
_READ_OF_RELEASE = ("id", "metadata", "name", "namespace", "status", "version")
_FOR_THE_PROVIDER = ("data_wo_revision", "timeouts", "wait_for_service_account_token")
_INITIAL_NAMESPACES = {"default", "kube-node-lease", "kube-public", "kube-system"}


class Cluster:
    """The objects of one record; `kind` is a resource type, for example `helm_release`."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def plan(self, kind: str, prior: State | None, plan: State) -> None:
        """Complete a plan with the values that the schema does not describe."""
        if kind != _RELEASE:
            return
        plan["status"] = "deployed"  # so that a failed release is upgraded again
        if plan == prior:
            return
        if prior is not None:
            plan |= {"id": UNKNOWN, "metadata": UNKNOWN}
        release.refuse_wrong_values(plan)

    def apply(self, kind: str, prior: State | None, plan: State, config: State) -> State:
        """Create the object, or change it if it has a prior state; return its new state."""
        state: State = drop_unknown(plan)
        entry = {"state": state}
        if kind == _RELEASE:
            entry |= release.complete_state(state, prior)
        elif prior is None:
            _set_new_metadata(state)
        key = find_key(kind, state)
        with changing(self._record) as objects:
            entries = objects.setdefault(kind, {})
            if prior is None and (key in entries or (kind == _NAMESPACE and key in _INITIAL_NAMESPACES)):
                detail = "cannot re-use a name that is still in use" if kind == _RELEASE else ""
                raise RefusedError(f'{kind} "{key}" already exists', detail)
            if prior is not None and key not in entries:
                raise RefusedError(f'{kind} "{key}" not found')
            if not state.get("create_namespace"):
                _require_namespace(objects, key.rpartition("/")[0])
            if kind == _SECRET:
                entry["data"] = _secret_data(entries.get(key, {}), prior, state, config)
            entries[key] = entry
        return state

    def read(self, kind: str, key: str, known: State) -> State | None:
        """Return the state of an object, or None if the record does not have it.

        What a cluster can't tell stays as in `known`, Terraform's state: most of a release, and what is only
        for the provider, such as the revision of write-only data.
        """
        state = self.find(kind, key)
        if state is None:
            return None
        if kind == _RELEASE:
            return {**known, **{name: state[name] for name in _READ_OF_RELEASE}}
        return {**state, **{name: value for name, value in known.items() if name in _FOR_THE_PROVIDER}}

    def find(self, kind: str, key: str) -> State | None:
        """Return the recorded state of an object, or None if the record does not have it."""
        entry = read(self._record).get(kind, {}).get(key)
        return entry["state"] if entry else None

    def delete(self, kind: str, state: State) -> None:
        """Remove the object if the record has it; remove a namespace with its objects."""
        key = find_key(kind, state)
        self.empty(kind, key)
        with changing(self._record) as objects:
            objects.get(kind, {}).pop(key, None)

    def empty(self, kind: str, key: str) -> None:
        """Remove the objects in a namespace and keep it, as while it is Terminating."""
        with changing(self._record) as objects:
            for entries in objects.values() if kind == _NAMESPACE else []:
                for inside in [item for item in entries if item.startswith(f"{key}/")]:
                    del entries[inside]

    def fail_release(self, key: str, prior: State | None, plan: State) -> None:
        """Record the revision that a failed install or upgrade leaves: Helm keeps it with its values."""
        state: State = drop_unknown(plan)
        values = release.complete_state(state, prior)
        state["status"] = "failed"
        with changing(self._record) as objects:
            objects.setdefault(_RELEASE, {})[key] = {"state": state, **values}


def find_key(kind: str, state: State) -> str:
    """Return `namespace/name`, or `name` for an object without a namespace."""
    metadata = state if kind == _RELEASE else state["metadata"][0]
    return "/".join(filter(None, [metadata.get("namespace"), metadata["name"]]))


def _set_new_metadata(state: State) -> None:
    """Set the metadata that the API server gives to a new object."""
    metadata = state["metadata"][0]
    if not metadata["name"]:
        raise RefusedError("metadata.name: Required value", path=("metadata", 0, "name"))
    metadata |= {"uid": str(uuid.uuid4()), "resource_version": "1", "generation": 0}
    state["id"] = find_key("", state)


def _require_namespace(objects: Objects, name: str) -> None:
    """Refuse a namespace that the cluster does not have, in the API server's words."""
    if name and name not in _INITIAL_NAMESPACES and name not in objects.get(_NAMESPACE, {}):
        raise RefusedError(f'namespaces "{name}" not found')


def _secret_data(held: dict[str, Any], prior: State | None, state: State, config: State) -> dict[str, Any]:
    """Return the data of a Secret after an apply.

    As in the real provider 2.38, write-only data counts only if its revision is set or changes: data_wo
    without a revision makes an empty Secret (terraform-provider-kubernetes issue 2833).
    """
    if state["data_wo_revision"] is None:
        return state["data"] or {}
    if prior is None or state["data_wo_revision"] != prior["data_wo_revision"]:
        return config["data_wo"] or {}
    data: dict[str, Any] = held["data"]
    return data
