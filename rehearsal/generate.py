"""Intent: write schema.json, the stand-ins' schema, from what the provider bindings say of themselves.

Sources: the bindings' jsii assembly (names, types, what is required, what only the provider sets), the
compiled class beside it (list or set, attribute or nested block), and facts.json for what bindings leave out
(optional-and-computed, write-only, defaults, what forces a replacement, limits), read in the providers' own
sources at the bound versions.

Run `python -m rehearsal.generate` after bumping a bindings package; a test fails until it is done.
"""

import json
import re
import tarfile
from fnmatch import fnmatchcase
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parent / "schema.json"
FACTS = Path(__file__).parent / "facts.json"

_FIELD = re.compile(
    r'^ {12}(\w+): \{\n.*\n +isBlock: (true|false),\n +type: "(\w+)",\n +storageClassType: "(\w+)"',
    re.MULTILINE,
)
_SCALARS = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}


class _Bindings:
    """One provider's bindings package, unpacked."""

    def __init__(self, provider: str) -> None:
        installed = distribution(f"cdktf-cdktf-provider-{provider}")
        (archive,) = Path(str(installed.locate_file(f"cdktf_cdktf_provider_{provider}/_jsii"))).glob("*.tgz")
        with tarfile.open(archive) as files:
            self._types = json.loads(_read(files, ".jsii"))["types"]
            self._sources = {name: _read(files, f"lib/{name}/index.js") for name in self._modules(provider)}
        self._prefix = f"@cdktf/provider-{provider}"
        link = re.search(rf"providers/hashicorp/{provider}/([\d.]+)/", json.dumps(self._types))
        self.version = link[1] if link else "?"
        self._provider = provider

    @staticmethod
    def _modules(provider: str) -> list[str]:
        return [
            "provider",
            *(_module(provider, name) for name in json.loads(FACTS.read_text())["resources"][provider]),
        ]

    def provider(self) -> dict[str, Any]:
        block = self._block("provider", f"{self._provider.capitalize()}Provider", "Config")
        del block["attributes"]["alias"]  # cdktf's own, no part of the provider's schema
        return block

    def resource(self, resource: str) -> dict[str, Any]:
        module = _module(self._provider, resource)
        return self._block(module, _pascal(module), "Config")

    def _block(self, module: str, name: str, suffix: str = "") -> dict[str, Any]:
        """Attributes and nested blocks of the struct `name`: what may be set, then what is only computed."""
        properties = self._properties(module, name + suffix)
        block: dict[str, Any] = {"attributes": {}, "blocks": {}}
        for field, _, kind, storage in self._fields(module, name, top=bool(suffix)):
            given = properties[_camel(field)]
            required = not given.get("optional", False)
            struct = _struct(given["type"])
            if struct is None:
                block["attributes"][field] = {"mode": _mode(required), "type": _type(kind, storage)}
                continue
            nested = self._block(module, struct)
            nesting = {"struct": "single"}.get(kind, kind)
            if self._provider == "helm":  # a plugin-framework provider: nested attributes, never blocks
                block["attributes"][field] = {"mode": _mode(required), "nesting": nesting, **nested}
                continue
            limits = {"min": int(required and nesting != "single"), "max": int(not _is_many(given["type"]))}
            block["blocks"][field] = {"nesting": nesting, **limits, **nested}
        outputs = name if suffix else f"{name}OutputReference"
        for field, given in self._properties(module, outputs).items():
            # What the provider alone sets is a getter without an ...Input twin.
            inner = _struct(given["type"]) or ""
            if (
                not given.get("immutable")
                or given.get("static")
                or field.endswith("Input")
                or field in properties
            ):
                continue
            if inner.endswith("OutputReference"):
                nested = self._block(module, inner.removesuffix("OutputReference"))
                block["attributes"][_snake(field)] = {"mode": "computed", "nesting": "single", **nested}
            else:
                block["attributes"][_snake(field)] = {
                    "mode": "computed",
                    "type": _computed_type(given["type"]),
                }
        return block

    def _properties(self, module: str, name: str) -> dict[str, Any]:
        found = self._types.get(f"{self._prefix}.{_camel(module.replace('-', '_'))}.{name}", {})
        return {each["name"]: each for each in found.get("properties", [])}

    def _fields(self, module: str, name: str, *, top: bool) -> list[tuple[str, ...]]:
        source = self._sources[module]
        if top:
            body = source[source.index("    synthesizeHclAttributes()") :]
        else:
            start = source.find(f"function {name[0].lower()}{name[1:]}ToHclTerraform(")
            body = source[start : source.index("\n}", start)] if start >= 0 else ""
            body = body.replace(
                "\n        ", "\n            "
            )  # functions stand one level further left than methods
        return _FIELD.findall(body)


def _read(files: tarfile.TarFile, name: str) -> str:
    member = files.extractfile(f"package/{name}")
    if member is None:
        message = f"the bindings hold no {name}"
        raise FileNotFoundError(message)
    return member.read().decode()


def _module(provider: str, resource: str) -> str:
    return resource.removeprefix(f"{provider}_").replace("_", "-")


def _camel(snake: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), snake)


def _pascal(module: str) -> str:
    return "".join(part.capitalize() for part in module.split("-"))


def _snake(camel: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", camel)


def _mode(required: bool) -> str:  # noqa: FBT001 - a pure mapping of one flag
    return "required" if required else "optional"


def _is_many(kind: dict[str, Any]) -> bool:
    return "collection" in json.dumps(kind)


def _struct(kind: dict[str, Any]) -> str | None:
    """Name of the bindings' own struct in a jsii type, if there is one."""
    found = re.search(r'"@cdktf/[\w-]+\.\w+\.(\w+)"', json.dumps(kind))
    return found[1] if found else None


def _type(kind: str, storage: str) -> Any:  # noqa: ANN401 - Terraform's JSON type: "string" or ["list", "string"]
    scalar = next(name for prefix, name in _SCALARS.items() if storage.startswith(prefix))
    return scalar if kind == "simple" else [kind, scalar]


def _computed_type(kind: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
    return (
        _SCALARS[kind["primitive"]]
        if "primitive" in kind
        else {"cdktf.StringMap": ["map", "string"]}[kind["fqn"]]
    )


def walk(path: str, block: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every attribute and nested block below `path`, with its dotted path."""
    found = []
    for name, each in {**block.get("attributes", {}), **block.get("blocks", {})}.items():
        found += [(f"{path}.{name}", each), *walk(f"{path}.{name}", each)]
    return found


def build() -> dict[str, Any]:
    """The schema of both providers. Fails when a fact names nothing: facts can't outlive their attribute."""
    facts = json.loads(FACTS.read_text())
    schema: dict[str, Any] = {}
    unused = set(facts["attributes"])
    for provider, resources in facts["resources"].items():
        bindings = _Bindings(provider)
        blocks = {name: bindings.resource(name) for name in resources}
        versions = facts["schema_versions"]
        schema[provider] = {
            "version": bindings.version,
            "provider": bindings.provider(),
            "resources": {
                name: {"version": versions.get(name, 0), **block} for name, block in blocks.items()
            },
        }
        for path, each in [item for name, block in blocks.items() for item in walk(name, block)]:
            for pattern, fact in facts["attributes"].items():
                if fnmatchcase(path, pattern):
                    each.update(fact)
                    unused.discard(pattern)
    if unused:
        message = f"facts.json names what no binding has: {', '.join(sorted(unused))}"
        raise ValueError(message)
    return schema


def render(schema: dict[str, Any]) -> str:
    """One line an attribute, so that a bump of the bindings is a readable diff."""
    lines = json.dumps(schema, indent=1)
    return re.sub(r"\{[^{}]*\}", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), lines) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(render(build()))
