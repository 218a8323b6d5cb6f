"""Write schema.json, the schema of the stand-ins, from the bindings of the real providers.

There are three sources. The bindings' jsii assembly has the names, and says which fields are required and
which only the provider sets. The compiled class beside it has the types. facts.json adds the rest, which was
read in the providers' code: computed and write-only fields, defaults, limits, and the fields whose change
replaces the resource, and the identities. schema.json is the JSON form of the protocol's schema message, with
these facts added.

Run `python -m local_aws.rehearsal.generate` after an update of a bindings package; a test fails until then.
"""

import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("schema.json")
FACTS = Path(__file__).with_name("facts.json")

_FIELD = re.compile(r' (\w+): \{\n.*\n +isBlock: \w+,\n +type: "(\w+)",\n +storageClassType: "(\w+)"')
_SCALARS = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}


class _Module:
    """One class of a provider's bindings, and the structs of its nested blocks."""

    def __init__(self, provider: str, name: str, assembly: dict[str, Any], source: str) -> None:
        self._types = f"@cdktf/provider-{provider}.{_camel(name)}."
        self._assembly = assembly["types"]
        self._source = source
        # Helm's is a plugin-framework provider: it has nested attributes and never blocks.
        self._nests_attributes = provider == "helm"

    def block(self, name: str, config: str = "") -> dict[str, Any]:
        """Return the block of a struct, or of a class with its `Config`; computed fields come last."""
        given = self._properties(name + config)
        found: dict[str, Any] = {"attributes": [], "block_types": []}
        for field, kind, storage in _FIELD.findall(self._serializer(name, whole=bool(config))):
            about = given[_camel(field)]
            required, struct = not about.get("optional"), _struct(about)
            mode = {"required" if required else "optional": True}
            nesting = "SINGLE" if kind == "struct" else kind.upper()
            if not struct:
                found["attributes"].append({"name": field, **mode, "type": _type(kind, storage)})
            elif self._nests_attributes:
                block = {"nesting": nesting, **self.block(struct)}
                found["attributes"].append({"name": field, **mode, "block": block})
            else:
                limits = {"min_items": int(required), "max_items": int("collection" not in json.dumps(about))}
                limits = {} if nesting == "SINGLE" else limits  # it allows one and requires none
                block = self.block(struct)
                found["block_types"].append({"name": field, "nesting": nesting, **limits, "block": block})
        for field, about in self._properties(name if config else f"{name}OutputReference").items():
            # A field that only the provider sets is a getter without a getter ...Input beside it.
            getter = about.get("immutable") and not about.get("static")
            if not getter or field.endswith("Input") or field in given:
                continue
            attribute = {"name": _snake(field), "computed": True}
            if struct := _struct(about).removesuffix("OutputReference"):
                attribute["block"] = {"nesting": "SINGLE", **self.block(struct)}
            else:
                kind = "map" if about["type"].get("fqn") == "cdktf.StringMap" else "simple"
                attribute["type"] = _type(kind, about["type"].get("primitive", "string"))
            found["attributes"].append(attribute)
        return found

    def _properties(self, name: str) -> dict[str, Any]:
        properties = self._assembly.get(self._types + name, {}).get("properties", [])
        return {item["name"]: item for item in properties}

    def _serializer(self, name: str, *, whole: bool) -> str:
        """Return the function that lists a struct's fields with their types; empty for a computed struct."""
        start = (
            "\n    synthesizeHclAttributes()"
            if whole
            else f"\nfunction {name[0].lower()}{name[1:]}ToHclTerraform("
        )
        return self._source.partition(start)[2].partition("\n    }\n" if whole else "\n}\n")[0]


def _camel(snake: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), snake)


def _snake(camel: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", camel)


def _struct(about: dict[str, Any]) -> str:
    """Return the name of the struct in the type of a property; empty if it has none."""
    found = re.search(r'"@cdktf/[\w-]+\.\w+\.(\w+)"', json.dumps(about["type"]))
    return found[1] if found else ""


def _type(kind: str, storage: str) -> str | list[str]:
    """Return the type in Terraform's JSON: "string" or ["list", "string"]."""
    scalar = next(name for prefix, name in _SCALARS.items() if storage.startswith(prefix))
    return scalar if kind == "simple" else [kind, scalar]


def _provider(provider: str, resources: dict[str, int]) -> dict[str, Any]:
    """Return the answer to GetProviderSchema without facts, and the version of the provider."""
    package = distribution(f"cdktf-cdktf-provider-{provider}")
    (archive,) = Path(str(package.locate_file(f"cdktf_cdktf_provider_{provider}/_jsii"))).glob("*.tgz")
    names = {item: item.removeprefix(f"{provider}_") for item in resources}
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as files:
        modules = {name: f"lib/{name.replace('_', '-')}/index.js" for name in ("provider", *names.values())}
        for item in (".jsii", *modules.values()):
            files.extract(f"package/{item}", folder, filter="data")
        assembly = json.loads(Path(folder, "package/.jsii").read_text())
        sources = {name: Path(folder, "package", path).read_text() for name, path in modules.items()}

    def block(module: str, name: str) -> dict[str, Any]:
        return _Module(provider, module, assembly, sources[module]).block(name, "Config")

    own = block("provider", f"{provider.capitalize()}Provider")
    own["attributes"] = [item for item in own["attributes"] if item["name"] != "alias"]  # cdktf's own
    schemas = {
        item: {
            "version": resources[item],
            "block": block(name, "".join(map(str.capitalize, name.split("_")))),
        }
        for item, name in names.items()
    }
    (version,) = set(re.findall(rf"providers/hashicorp/{provider}/([\d.]+)/", json.dumps(assembly["types"])))
    return {"version": version, "provider": {"block": own}, "resource_schemas": schemas}


def walk(path: str, block: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every attribute and nested block below `path` with its path."""
    for item in [*block["attributes"], *block.get("block_types", [])]:
        yield f"{path}.{item['name']}", item
        if "block" in item:
            yield from walk(f"{path}.{item['name']}", item["block"])


def build() -> dict[str, Any]:
    """Return the schema of both providers.

    Raises:
        ValueError: If a fact is about an attribute that the bindings do not have.

    """
    facts = json.loads(FACTS.read_text())
    schema = {provider: _provider(provider, resources) for provider, resources in facts["resources"].items()}
    for own in schema.values():
        own["identities"] = {
            name: facts["identities"][name] for name in own["resource_schemas"] if name in facts["identities"]
        }
    blocks = [item for provider in schema.values() for item in provider["resource_schemas"].items()]
    paths = [item for name, resource in blocks for item in walk(name, resource["block"])]
    for pattern, fact in facts["attributes"].items():
        found = [item for path, item in paths if fnmatchcase(path, pattern)]
        if not found:
            raise ValueError(f"facts.json: {pattern}: the bindings have no such attribute")
        for item in found:
            item.update(fact)
    return schema


def render(schema: dict[str, Any]) -> str:
    """Return the schema as JSON with a line for each attribute, so that its changes are readable."""
    lines = json.dumps(schema, indent=1)
    return re.sub(r"\{[^{}]*\}", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), lines) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(render(build()))
