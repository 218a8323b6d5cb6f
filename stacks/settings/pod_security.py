"""Find settings of a fleet for which Kubernetes would refuse every job pod.

Sources: Kubernetes, "Pod Security Standards", "Baseline", for fleets with `privileged: false`, whose job
namespace enforces that level; `ValidateSecurityContext` of the API server for the others.
Not here: types and forms of the values (executor.py and the tables beside it).
"""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from stacks.settings.executor import ExecutorSettings
from stacks.settings.executor_pod import (
    BASELINE_CAPABILITIES,
    ContainerSecurityContextSettings,
    PodPatchSettings,
    parse_patch,
)
from stacks.settings.model import Mistake

_BASELINE = "the fleet has `privileged: false`, so its job pods are under Pod Security `baseline`"
_SELINUX_TYPES = ("container_t", "container_init_t", "container_kvm_t", "container_engine_t")

# Keys of a pod's spec that a patch must not set to true under `baseline`.
_HOST_FLAGS = ("hostNetwork", "hostPID", "hostIPC", "privileged", "hostProcess")


def find_contradictions(kubernetes: ExecutorSettings, *, privileged: bool) -> Iterator[Mistake]:
    """Yield each value that does not go together with the fleet's `privileged`."""
    if privileged:
        yield from _find_denied_escalations(kubernetes)
        return
    patches = [_read_patch(patch) for patch in kubernetes.pod_spec or []]
    has_user_namespace = any(part.get("hostUsers") is False for patch in patches for part in patch)
    yield from _find_capabilities(kubernetes)
    yield from _find_in_contexts(kubernetes, has_user_namespace=has_user_namespace)
    yield from _find_volumes(kubernetes)
    for index, patch in enumerate(patches):
        found = [_find_in_pod(part, has_user_namespace=has_user_namespace) for part in patch]
        for what in dict.fromkeys(chain.from_iterable(found)):
            yield ("pod_spec", str(index), "patch"), what, f"must not be in the patch: {_BASELINE}"


def _list_contexts(kubernetes: ExecutorSettings) -> dict[str, ContainerSecurityContextSettings]:
    keys = [
        f"{kind}_container_security_context" for kind in ("build", "helper", "init_permissions", "service")
    ]
    return {key: context for key in keys if (context := getattr(kubernetes, key))}


def _find_denied_escalations(kubernetes: ExecutorSettings) -> Iterator[Mistake]:
    values: dict[tuple[str, ...], bool | None] = {
        ("allow_privilege_escalation",): kubernetes.allow_privilege_escalation
    }
    for key, context in _list_contexts(kubernetes).items():
        values[key, "allow_privilege_escalation"] = context.allow_privilege_escalation
    accepted = (
        "must be true or left out, because the fleet has `privileged: true`: Kubernetes refuses a privileged "
        "container that may not get more privileges"
    )
    return ((path, value, accepted) for path, value in values.items() if value is False)


def _find_capabilities(kubernetes: ExecutorSettings) -> Iterator[Mistake]:
    dropped = kubernetes.cap_drop or []
    added: dict[tuple[str, ...], list[str]] = {("cap_add",): kubernetes.cap_add or []}
    for key, context in _list_contexts(kubernetes).items():
        if context.capabilities:
            added[key, "capabilities", "add"] = context.capabilities.add or []
    accepted = f"must be one of {', '.join(BASELINE_CAPABILITIES)}: {_BASELINE}"
    for path, names in added.items():
        for index, name in enumerate(names):
            # Of the fleet's own lists `cap_drop` wins.
            if name not in BASELINE_CAPABILITIES and not (path == ("cap_add",) and name in dropped):
                yield (*path, str(index)), name, accepted


def _find_in_contexts(kubernetes: ExecutorSettings, *, has_user_namespace: bool) -> Iterator[Mistake]:
    contexts = _list_contexts(kubernetes)
    for key, context in contexts.items():
        if (context.proc_mount or "").lower() == "unmasked" and not has_user_namespace:
            accepted = (
                "must be Default, or a patch in pod_spec must set `hostUsers: false` (Kubernetes 1.35 or "
                f"newer): {_BASELINE}"
            )
            yield (key, "proc_mount"), context.proc_mount, accepted
    for key in ("pod_security_context", *contexts):
        found = getattr(getattr(kubernetes, key), "selinux_type", None)
        if found and found not in _SELINUX_TYPES:
            yield (key, "selinux_type"), found, f"must be one of {', '.join(_SELINUX_TYPES)}: {_BASELINE}"


def _find_volumes(kubernetes: ExecutorSettings) -> Iterator[Mistake]:
    for path, volume in kubernetes.volumes.by_path() if kubernetes.volumes else ():
        if path[0] == "host_path":
            accepted = f"must be a volume of another kind, such as empty_dir or pvc: {_BASELINE}"
            yield ("volumes", *path), volume.model_dump(exclude_none=True), accepted
        elif getattr(volume, "mount_propagation", None) == "Bidirectional":
            accepted = f"must be None or HostToContainer: {_BASELINE}"
            yield ("volumes", *path, "mount_propagation"), "Bidirectional", accepted


def _read_patch(patch: PodPatchSettings) -> list[dict[str, Any]]:
    """Return the maps that a patch puts into a pod's spec; of a JSON patch one for each operation."""
    content = parse_patch(patch.patch) if patch.patch else {}
    if patch.patch_type != "json":
        return [content]
    parts: list[dict[str, Any]] = []
    for operation in content:
        value: Any = operation.get("value") if operation["op"] in ("add", "replace") else None
        for key in reversed(operation["path"].split("/")[1:]):
            value = {key: value}
        parts.append(value)
    return parts


def _find_in_pod(node: object, *, has_user_namespace: bool, key: object = "") -> Iterator[str]:
    """Yield what a part of a pod's spec sets although `baseline` refuses it."""
    entries = list(node.items()) if isinstance(node, dict) else []
    if _is_refused(key, node, has_user_namespace=has_user_namespace):
        yield f"{key}: {json.dumps(node, default=str)}"
    elif key in ("seccompProfile", "appArmorProfile") and ("type", "Unconfined") in entries:
        yield f"{key}.type: Unconfined"
    elif key == "seLinuxOptions":
        yield from (
            f"{key}.{name}: {value}"
            for name, value in entries
            if name in ("user", "role") or (name == "type" and value not in _SELINUX_TYPES)
        )
    elif key == "capabilities":
        added = dict(entries).get("add") or []
        if isinstance(added, dict):  # the path of a JSON patch goes on into the list
            added = list(added.values())
        names = added if isinstance(added, list) else [added]
        yield from (f"{key}.add: {name}" for name in names if name not in BASELINE_CAPABILITIES)
    elif isinstance(node, list):
        entries = [("", part) for part in node]
    for name, value in entries:
        yield from _find_in_pod(value, has_user_namespace=has_user_namespace, key=name)


def _is_refused(key: object, value: object, *, has_user_namespace: bool) -> bool:
    return (
        (key in _HOST_FLAGS and value is True)
        or (key == "hostPath" and value is not None)
        or (key == "hostPort" and value not in (None, 0))
        or (key == "procMount" and value not in (None, "Default") and not has_user_namespace)
    )
