"""The stand-ins' schema is the bindings' schema."""

import json
import subprocess
from typing import Any

from local_aws.rehearsal import generate
from tests.rehearsal.workspace import Workspace


def _attributes(schema: dict[str, Any]) -> dict[str, Any]:
    """Return every attribute and nested block by its path, without the attributes inside it."""
    return {
        path: {name: value for name, value in item.items() if name != "block"}
        for provider, own in schema.items()
        for name, resource in {provider: own["provider"], **own["resource_schemas"]}.items()
        for path, item in generate.walk(name, resource["block"])
    }


def test_schema_agrees_with_the_bindings_attribute_by_attribute() -> None:
    """schema.json agrees with the installed bindings and facts.json; write it anew when they change."""
    schema = generate.build()
    assert _attributes(json.loads(generate.SCHEMA.read_text())) == _attributes(schema)
    assert generate.SCHEMA.read_text() == generate.render(schema)


def test_terraform_sees_every_attribute_that_the_bindings_offer(workspace: Workspace) -> None:
    """Terraform gets the bindings' names, and the real providers' write-only attributes."""
    workspace.write({"terraform_data": {"nothing": {}}})
    command = ["terraform", "providers", "schema", "-json"]
    printed = subprocess.check_output(command, cwd=workspace.folder, env=workspace.environment)
    seen, write_only = set(), set()

    def walk(block: dict[str, Any], path: str) -> None:
        nested = {name: item["block"] for name, item in block.get("block_types", {}).items()}
        for name, item in block.get("attributes", {}).items():
            write_only.update([f"{path}.{name}"] if item.get("write_only") else [])
            nested[name] = item.get("nested_type", {})
        for name, item in nested.items():
            seen.add(f"{path}.{name}")
            walk(item, f"{path}.{name}")

    ours = {
        source: item
        for source, item in json.loads(printed)["provider_schemas"].items()
        if "/hashicorp/" in source
    }
    for source, item in ours.items():
        walk(item["provider"]["block"], source.rpartition("/")[2])
        for name, resource in item["resource_schemas"].items():
            walk(resource["block"], name)
    assert seen == _attributes(json.loads(generate.SCHEMA.read_text())).keys()
    assert write_only == {
        "helm_release.set_wo",
        "helm_release.set_wo.name",
        "helm_release.set_wo.type",
        "helm_release.set_wo.value",
        "kubernetes_secret_v1.binary_data_wo",
        "kubernetes_secret_v1.data_wo",
    }
