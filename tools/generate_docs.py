"""Write the tables of docs/settings.md and docs/outputs.md: `python -m tools.generate_docs`.

A table stands between two markers and is made from a settings model or from the outputs of a stack.
Not here: any other text of the documents, and the descriptions in the tables.
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from stacks.cluster import ClusterOutputs
from stacks.network import NetworkOutputs
from stacks.settings import Settings
from stacks.settings.load import PROJECT
from stacks.settings.model import SettingsModel
from stacks.workloads import WorkloadsOutputs

DOCUMENTS = [PROJECT / "docs" / name for name in ("settings.md", "outputs.md")]
OUTPUTS = {"network": NetworkOutputs, "cluster": ClusterOutputs, "workloads": WorkloadsOutputs}


def list_models(base: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the models that no other model is made from: the sections of a settings file."""
    subclasses = base.__subclasses__()
    return [model for subclass in subclasses for model in list_models(subclass)] or [base]


MODELS = {model.__name__: model for model in list_models(SettingsModel)}
TABLE = re.compile(r"(<!-- begin generated: (\w+) -->\n).*?(<!-- end generated -->)", re.DOTALL)


def main() -> None:
    """Write each document with current tables."""
    argparse.ArgumentParser(
        prog="python -m tools.generate_docs",
        description="Write the tables of docs/settings.md and docs/outputs.md from the code.",
    ).parse_args()
    for path in DOCUMENTS:
        path.write_text(update_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


def update_tables(document: str) -> str:
    """Return a document with current tables between its markers."""
    outputs = {dataclass.__name__: dataclass for dataclass in OUTPUTS.values()}

    def write_table(match: re.Match[str]) -> str:
        name = match[2]
        rows = describe_outputs(outputs[name]) if name in outputs else describe_settings(MODELS[name])
        return "".join([match[1], *(f"| {' | '.join(row)} |\n" for row in rows), match[3]])

    return TABLE.sub(write_table, document)


def describe_settings(model: type[BaseModel]) -> Iterator[list[str]]:
    """Yield the rows of a settings model's table."""
    yield ["setting", "type", "default", "description"]
    yield ["---"] * 4
    for name, field in model.model_fields.items():
        if (model, name) == (Settings, "environment"):
            continue  # the file's name, not a key
        kind, default = name_type(field.annotation), name_default(field.get_default())
        yield [f"`{name}`", kind, default, escape_cell(field.description or "")]


def describe_outputs(outputs: type[Any]) -> Iterator[list[str]]:
    """Yield the rows of a stack's outputs."""
    yield ["output", "type", "description"]
    yield ["---"] * 3
    for item in fields(outputs):
        yield [f"`{item.name}`", name_type(item.type), escape_cell(item.metadata["description"])]


def escape_cell(text: str) -> str:
    """Escape | everywhere, since it ends a cell, and < outside of code, since it begins a tag."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts).replace("|", "&#124;")


def name_type(annotation: Any) -> str:
    """Return the name of a type for a YAML user."""
    names = {str: "string", int: "integer", float: "number", bool: "boolean", Any: "any value"}
    origin = get_origin(annotation)
    arguments = [item for item in get_args(annotation) if item not in (type(None), ...)]
    if origin is dict:
        key, value = map(name_type, arguments)
        return f"map of {value}" if key == "string" else f"map of {key} to {value}"
    if origin in (tuple, list):
        return f"list of {name_type(arguments[-1])}"
    if arguments and all(isinstance(item, str | int) for item in arguments):
        return ", ".join(f"`{item}`" for item in arguments)
    if arguments:  # optional or annotated
        return name_type(arguments[0])
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return "section" if is_section else names.get(annotation, "string")


def name_default(value: Any) -> str:
    """Return a default as YAML, or that there is none."""
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    main()
