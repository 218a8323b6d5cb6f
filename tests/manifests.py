"""The Kubernetes objects of the workloads stack as manifests, and Kubernetes' strict schemas as their judge.

A strict schema refuses a field that Kubernetes does not know. The API server would drop it silently.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from kubernetes_validate import SchemaNotFoundError, ValidationError, utils, validate

from local_aws.rehearsal.provider import schemas
from stacks.versions import CLUSTER_AUTOSCALER_IMAGE_TAGS
from tests.environments import Synthesized

Manifest = dict[str, Any]

KUBERNETES_VERSIONS = tuple(CLUSTER_AUTOSCALER_IMAGE_TAGS)
# All other kinds are of the API version v1.
_API_VERSIONS = {
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "PriorityClass": "scheduling.k8s.io/v1",
}
_TERRAFORMS_OWN = ("id", "timeouts", "wait_for_", "data_wo", "binary_data_wo")
# Terraform names a repeated block in the singular.
_PLURALS = {
    "limit": "limits",
    "rule": "rules",
    "subject": "subjects",
    "image_pull_secret": "imagePullSecrets",
}
# The kubernetes provider sends a string of digits as a number (intstr.Parse).
_NUMBERS_OR_STRINGS = {"min_available", "max_unavailable", "port"}

utils.schema_contents = functools.cache(utils.schema_contents)  # it reads 1.6 MB for each object otherwise


def manifests_of_stack(stacks: Synthesized) -> Iterator[Manifest]:
    """Yield the objects of the synthesized workloads stack."""
    for kind, resources in stacks["workloads"]["resource"].items():
        if kind.startswith("kubernetes_"):
            for resource in resources.values():
                yield _convert_object(kind, resource, data=resource.get("data_wo"))


def manifests_of_record(objects: dict[str, dict[str, Any]]) -> Iterator[Manifest]:
    """Yield the objects that a rehearsal has recorded."""
    for kind, entries in objects.items():
        if kind.startswith("kubernetes_"):
            for entry in entries.values():
                yield _convert_object(kind, entry["state"], data=entry.get("data"))


def find_mistakes(manifests: Iterable[Manifest]) -> list[str]:
    """Return what the strict schemas of the supported Kubernetes versions refuse, one line for each."""
    mistakes = []
    for manifest in manifests:
        for version in KUBERNETES_VERSIONS:
            where = f"{version}: {manifest['kind']} {manifest['metadata']['name']}"
            try:
                validate(manifest, version, strict=True)
            except ValidationError as wrong:
                mistakes.append(f"{where}: {'.'.join(map(str, wrong.path))}: {wrong.message}")
            except SchemaNotFoundError as unknown:
                mistakes.append(f"{where}: {unknown.message}")
    return mistakes


def _convert_object(kind: str, fields: dict[str, Any], *, data: dict[str, str] | None) -> Manifest:
    """Return the manifest of a Terraform resource; `data` is what a Secret holds."""
    name = kind.removeprefix("kubernetes_").removesuffix("_v1").title().replace("_", "")
    block = schemas()["kubernetes"]["resource_schemas"][kind]["block"]
    sent = {key: value for key, value in fields.items() if not key.startswith(_TERRAFORMS_OWN)}
    manifest = {"apiVersion": _API_VERSIONS.get(name, "v1"), "kind": name, **_convert_block(block, sent)}
    return manifest | ({"stringData": data} if data else {})


def _convert_block(block: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a block that are set, by their names in Kubernetes."""
    found = {}
    for item in (*block["attributes"], *block["block_types"]):
        name, value = item["name"], fields.get(item["name"])
        if value is None or value == []:
            continue
        if "block" in item:
            blocks = value if isinstance(value, list) else [value]
            value = [_convert_block(item["block"], each or {}) for each in blocks]
            if item["max_items"] == 1:
                (value,) = value
        elif name in _NUMBERS_OR_STRINGS and str(value).isdecimal():
            value = int(value)
        found[_PLURALS.get(name) or _camel(name)] = value
    return found


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))
