"""Other versions of what runs: Kubernetes, add-ons, charts, machine images, databases."""

from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from plan_review.findings import Danger, Finding
from plan_review.plan import Change
from plan_review.values import Difference

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "aws_eks_cluster": ("version",),
    "aws_eks_node_group": ("version", "release_version", "ami_type", "launch_template"),
    "aws_eks_addon": ("addon_version",),
    "helm_release": ("chart", "version"),
    "aws_launch_template": ("image_id",),
    "aws_launch_configuration": ("image_id",),
    "aws_instance": ("ami",),
    "aws_lambda_function": ("runtime",),
    "google_container_cluster": ("min_master_version", "node_version"),
    "google_container_node_pool": ("version",),
    "azurerm_kubernetes_cluster": ("kubernetes_version",),
}
# AWS calls it so in databases, caches, brokers and search.
_EVERYWHERE = ("engine_version",)
# Keys of a chart's values that name what runs.
_VALUES_KEYS = frozenset({"tag", "image", "version", "appVersion"})
# A control plane goes back to an older version by its maker's own commands, if at all (Amazon EKS,
# "Rollback cluster to previous Kubernetes version").
_NO_WAY_BACK = frozenset({"aws_eks_cluster", "google_container_cluster", "azurerm_kubernetes_cluster"})


def find(change: Change) -> Iterator[Finding]:
    """Yield the finding of a resource that gets another version."""
    if change.action not in ("update", "replace"):
        return
    watched = (*ATTRIBUTES.get(change.type, ()), *_EVERYWHERE)
    items = [
        item
        for item in change.differences
        if item.path.split("[")[0] in watched and item.before is not None and _is_version(item)
    ]
    if change.type == "helm_release":
        items += _values_tags(change)
    if items:
        final = change.type in _NO_WAY_BACK and change.action == "update"
        yield Finding(
            Danger.VERSION,
            needs_approval=final,
            address=change.address,
            text="gets another version" + (", and Terraform has no way back" if final else ""),
            differences=tuple(items),
        )


def _is_version(item: Difference) -> bool:
    """Return whether it is a version, not the id or name of a launch template."""
    return "." not in item.path or item.path.endswith(".version")


def _values_tags(change: Change) -> Iterator[Difference]:
    """Yield what differs in a chart's values under a key that names an image or its version."""
    old, new = (dict(_tags(_values(side), "", set())) for side in change.get("values"))
    for path in old:
        if old[path] != new.get(path):
            yield Difference(f"values: {path}", old[path], new.get(path))


def _tags(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, str]]:
    """Yield the versions in a chart's values by path; each node once, since YAML's aliases may go round."""
    if id(value) in seen:
        return
    if isinstance(value, dict | list):
        seen.add(id(value))
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            inner = f"[{key}]" if isinstance(value, list) else f".{key}" if path else str(key)
            if key in _VALUES_KEYS and not isinstance(part, dict | list):
                yield f"{path}{inner}", str(part)
            else:
                yield from _tags(part, f"{path}{inner}", seen)


def _values(given: Any) -> list[Any]:
    return [
        _yaml(text) if isinstance(text, str) else None for text in (given if isinstance(given, list) else [])
    ]


def _yaml(text: str) -> Any:
    """Return what a text holds; nothing if Helm could not read it either."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return None
