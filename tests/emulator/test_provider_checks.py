"""The checks that plan_review leaves to the AWS provider, since there is no plan without them."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws import aws_provider
from stacks.versions import AWS_PROVIDER
from tools import generate_api_limits

UNKNOWN = "no-such-value"
Names = tuple[str, ...]


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder for a configuration, and the variables with which Terraform finds the AWS provider."""
    folder = tmp_path_factory.mktemp("provider")
    types = frozenset(generate_api_limits.ARGUMENTS)
    with aws_provider.running(aws_provider.installed_provider(), types) as reattach:
        variables = {**os.environ, "TF_REATTACH_PROVIDERS": json.dumps(reattach)}
        write(folder, {"provider": {"aws": {"region": "eu-central-1"}}})
        subprocess.run(
            ["terraform", "init", "-input=false"], cwd=folder, env=variables, check=True, capture_output=True
        )
        yield folder, variables


def write(folder: Path, document: dict[str, Any]) -> None:
    """Write a configuration that uses the AWS provider."""
    source = {"source": "hashicorp/aws", "version": AWS_PROVIDER}
    required = {"terraform": {"required_providers": {"aws": source}}}
    (folder / "main.tf.json").write_text(json.dumps(required | document))


def run(terraform: tuple[Path, dict[str, str]], *arguments: str) -> Any:
    """Return what a Terraform command prints as JSON."""
    folder, variables = terraform
    done = subprocess.run(
        ["terraform", *arguments, "-json"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)


def list_arguments(block: dict[str, Any], path: Names = ()) -> Iterator[Names]:
    """Yield the arguments of a block and of the blocks directly in it."""
    for name, attribute in block.get("attributes", {}).items():
        if attribute.get("optional") or attribute.get("required"):
            yield (*path, name)
    if not path:
        for name, inner in block.get("block_types", {}).items():
            yield from list_arguments(inner["block"], (name,))


def is_enumeration(operation: str, path: Names) -> bool:
    """Return whether the API's member of this name is an enumeration, or a list of one."""
    service, _, name = operation.partition(".")
    model = generate_api_limits._read_model(service)  # noqa: SLF001
    shapes, shape = model["shapes"], model["operations"][name]["input"]["shape"]
    for part in path:
        while shapes[shape]["type"] == "list":
            shape = shapes[shape]["member"]["shape"]
        members = {key.lower(): member["shape"] for key, member in shapes[shape].get("members", {}).items()}
        wanted = part.replace("_", "")
        found = members.get(wanted) or members.get(f"{wanted}s")
        if not found:
            return False
        shape = found
    while shapes[shape]["type"] == "list":
        shape = shapes[shape]["member"]["shape"]
    return "enum" in shapes[shape]


def fill(block: dict[str, Any]) -> dict[str, Any]:
    """Return what a block requires; Terraform asks the provider only if nothing is missing."""
    values = {"string": "x", "number": 1, "bool": True}
    filled: dict[str, Any] = {}
    for name, attribute in block.get("attributes", {}).items():
        if attribute.get("required"):
            kind = attribute["type"]
            filled[name] = values[kind] if isinstance(kind, str) else [values[kind[1]]]
    for name, inner in block.get("block_types", {}).items():
        if inner.get("min_items"):
            filled[name] = [fill(inner["block"])]
    return filled


def fill_with(block: dict[str, Any], path: Names) -> dict[str, Any]:
    """Return a block whose argument at a path has an unknown value."""
    name, *rest = path
    filled = fill(block)
    if rest:
        filled[name] = [fill_with(block["block_types"][name]["block"], tuple(rest))]
    else:
        is_text = isinstance(block["attributes"][name]["type"], str)
        filled[name] = UNKNOWN if is_text else [UNKNOWN]
    return filled


@pytest.mark.long
def test_the_provider_refuses_what_no_enumeration_has(terraform: tuple[Path, dict[str, str]]) -> None:
    """So no plan has such a value. docs/decisions.md builds on it."""
    (provider,) = run(terraform, "providers", "schema")["provider_schemas"].values()
    blocks = {kind: schema["block"] for kind, schema in provider["resource_schemas"].items()}
    asked = {
        f"{kind}.r{number}": path
        for kind, (operation, _) in generate_api_limits.ARGUMENTS.items()
        if kind != "aws_wafv2_web_acl"  # a hundred thousand lines of schema
        for number, path in enumerate(list_arguments(blocks[kind]))
        if is_enumeration(operation, path)
    }
    resources: dict[str, dict[str, Any]] = {}
    for address, path in asked.items():
        kind, _, name = address.partition(".")
        resources.setdefault(kind, {})[name] = fill_with(blocks[kind], path)
    write(terraform[0], {"resource": resources})
    refused = {
        item["address"]
        for item in run(terraform, "validate")["diagnostics"]
        if UNKNOWN in item["summary"] + item.get("detail", "")
    }
    assert len(asked) > 60
    assert set(asked) - refused == set()
