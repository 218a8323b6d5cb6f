"""Write a cdktf program in TypeScript that makes the same Terraform JSON as a synth of this project.

Each resource of the synthesized JSON becomes one call of its class in `@cdktf/provider-*`. The names of
classes and properties come from the packages' type declarations. So the program is what a person would write
who wrote all values out: it checks no settings and computes nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PROVIDERS = ("aws", "helm", "kubernetes")
# As `cdktf init --template=typescript` of cdktf 0.21 writes it, without the options of its tests.
TSCONFIG = {
    "compilerOptions": {
        "alwaysStrict": True,
        "lib": ["es2018"],
        "module": "CommonJS",
        "noImplicitAny": True,
        "strict": True,
        "target": "ES2018",
        "incremental": True,
        "skipLibCheck": True,
    }
}
_INTERFACE = re.compile(r"^export interface (\w+)[^{]*\{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
# Its comment has a link that ends in Terraform's name: `…#cidr_block Vpc#cidr_block}`.
_PROPERTY = re.compile(
    r"#(\w+) \w+#\w+\}(?:(?!\*/).)*?\*/\s*readonly (\w+)\??: (.*?);\n(?=    /\*\*|\Z)", re.DOTALL
)
_CONSTRUCTOR = re.compile(r"constructor\(scope: Construct, id: string, config\??: (\w+)\)")
_CLASS = re.compile(
    r"^export declare class (\w+) extends cdktf\.Terraform(?:Resource|DataSource|Provider) ", re.MULTILINE
)

Properties = dict[str, tuple[str, str]]
"""Terraform's name of a property → its name and its type in TypeScript."""


def write_program(stacks: Mapping[str, dict[str, Any]], folder: Path) -> None:
    """Write main.ts and tsconfig.json to `folder`, where the packages are installed.

    Args:
        stacks: The synthesized JSON of each stack.
        folder: The folder.

    """
    program = _Program(folder / "node_modules" / "@cdktf")
    body = [line for name, document in stacks.items() for line in program.write_stack(name, document)]
    text = [
        'import * as cdktf from "cdktf";',
        *(f'import {{ {names} }} from "{module}";' for module, names in program.imports()),
        "const app = new cdktf.App({ outdir: process.env.CDKTF_OUTDIR });",
        *body,
        "app.synth();",
    ]
    (folder / "main.ts").write_text("\n".join(text) + "\n", encoding="utf-8")
    (folder / "tsconfig.json").write_text(json.dumps(TSCONFIG, indent=2) + "\n", encoding="utf-8")


class _Program:
    """The parts of a program, and the modules that it needs so far."""

    def __init__(self, packages: Path) -> None:
        self._packages = packages
        self._imports: dict[str, str] = {}

    def imports(self) -> Iterator[tuple[str, str]]:
        """Yield each module with the class that the program imports from it."""
        yield from self._imports.items()

    def write_stack(self, name: str, document: Mapping[str, Any]) -> Iterator[str]:
        """Yield the lines of one stack."""
        yield "{"
        yield f"const stack = new cdktf.TerraformStack(app, {_literal(name)});"
        for provider, blocks in document["provider"].items():
            for index, block in enumerate(blocks):
                yield from self._write_construct(f"{provider}{index}", provider, "provider", block)
        for type_, id_, values in _list_blocks(document.get("data", {})):
            if type_ == "terraform_remote_state":
                yield from _write_remote_state(id_, values)
            else:
                yield from self._write_construct(id_, type_.partition("_")[0], f"data_{type_}", values)
        for type_, id_, values in _list_blocks(document["resource"]):
            provider, _, kind = type_.partition("_")
            yield from self._write_construct(id_, provider, kind, values)
        yield from _write_other_sections(document)
        yield "}"

    def _write_construct(
        self, id_: str, provider: str, kind: str, values: Mapping[str, Any]
    ) -> Iterator[str]:
        module = f"@cdktf/provider-{provider}/lib/{kind.replace('_', '-')}"
        declarations = self._packages.joinpath(*module.split("/")[1:], "index.d.ts")
        interfaces, config, class_ = _read_declarations(declarations)
        self._imports[module] = class_
        properties = interfaces[config]
        known = {name: value for name, value in values.items() if name in properties}
        others = {name: value for name, value in values.items() if name not in properties and name != "//"}
        line = f"new {class_}(stack, {_literal(id_)}, {_write_struct(known, properties, interfaces)})"
        if others:
            # Meta-arguments: the same values, without references between objects.
            yield "{"
            yield f"const construct = {line};"
            for name, value in others.items():
                yield f"construct.addOverride({_literal(name)}, {_literal(value)});"
            yield "}"
        else:
            yield f"{line};"


def _list_blocks(section: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the type, the name and the values of each resource or data source."""
    for type_, entries in section.items():
        for name, values in entries.items():
            yield type_, name, values


def _write_other_sections(document: Mapping[str, Any]) -> Iterator[str]:
    for name, value in document.get("locals", {}).items():
        yield f"new cdktf.TerraformLocal(stack, {_literal(name)}, {_literal(value)});"
    for name, values in document.get("output", {}).items():
        line = f"new cdktf.TerraformOutput(stack, {_literal(f'output_{name}')}, {_literal(values)})"
        yield f"{line}.overrideLogicalId({_literal(name)});"
    terraform = document["terraform"]
    backend = terraform["backend"]["s3"]
    location = ", ".join(f"{name}: {_literal(backend[name])}" for name in ("bucket", "key"))
    yield f"new cdktf.S3Backend(stack, {{ {location} }});"
    yield f"stack.addOverride('terraform.backend.s3', {_literal(backend)});"
    for name in ("required_version", "required_providers"):
        yield f"stack.addOverride('terraform.{name}', {_literal(terraform[name])});"
    # cdktf 0.21 has no classes for these.
    for section in ("check", "import", "ephemeral"):
        if section in document:
            yield f"stack.addOverride({_literal(section)}, {_literal(document[section])});"


def _write_remote_state(id_: str, values: Mapping[str, Any]) -> Iterator[str]:
    config = values["config"]
    names = ", ".join(f"{name}: {_literal(config[name])}" for name in ("bucket", "key"))
    yield (
        f"new cdktf.DataTerraformRemoteStateS3(stack, {_literal(id_)}, {{ {names} }})"
        f".addOverride('config', {_literal(config)});"
    )


@cache
def _read_declarations(file: Path) -> tuple[dict[str, Properties], str, str]:
    """Return the interfaces of a module, and the names of its configuration and of its class."""
    text = file.read_text(encoding="utf-8")
    interfaces = {
        name: {terraform: (own, type_) for terraform, own, type_ in _PROPERTY.findall(body)}
        for name, body in _INTERFACE.findall(text)
    }
    (config,) = _CONSTRUCTOR.findall(text)
    (class_,) = _CLASS.findall(text)
    return interfaces, config, class_


def _write_struct(
    values: Mapping[str, Any], properties: Properties, interfaces: Mapping[str, Properties]
) -> str:
    entries = []
    for name, value in values.items():
        own, type_ = properties[name]
        entries.append(f"{own}: {_write_value(value, type_, interfaces)}")
    return f"{{ {', '.join(entries)} }}"


def _write_value(value: Any, type_: str, interfaces: Mapping[str, Properties]) -> str:
    names = [name for name in re.findall(r"\w+", type_) if name in interfaces]
    if names and "[key: string]" not in type_:
        if isinstance(value, list):
            return f"[{', '.join(_write_struct(each, interfaces[names[0]], interfaces) for each in value)}]"
        return _write_struct(value, interfaces[names[0]], interfaces)
    if isinstance(value, str) and not type_.startswith("string"):
        value, token = _literal(value), "asNumber" if type_ == "number" else "asAny"
        return f"cdktf.Token.{token}({value})"
    if isinstance(value, str) and type_ == "string[]":
        return f"cdktf.Token.asList({_literal(value)})"
    if type_ == "string" and not isinstance(value, str):
        return _literal(json.dumps(value))
    return _literal(value)


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
