"""The generated documents, and what they are made of."""

from typing import Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from stacks.settings.load import PROJECT, load_settings
from stacks.settings.model import SettingsModel
from tests.environments import WriteEnvironment
from tools import generate_docs

MODELS = [model for model in SettingsModel.__subclasses__() if model.__module__.startswith("stacks.")]


@pytest.mark.parametrize(
    ("path", "text"), generate_docs.pages().items(), ids=lambda value: getattr(value, "name", "")
)
def test_documents_are_current(path: Any, text: str) -> None:
    """What is written is what `python tools/generate_docs.py` writes now."""
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_is_described(model: type[BaseModel]) -> None:
    """Each field says in a sentence what it is, since messages and documents quote that."""
    assert model.model_fields
    assert not [
        name
        for name, field in model.model_fields.items()
        if not (field.description or "").endswith(".") or not (field.description or "")[:1].strip()
    ]


def test_every_model_has_a_section() -> None:
    """No part of the settings is missing from docs/settings.md."""
    assert {model for model, _ in generate_docs.SECTIONS.values()} == set(MODELS)


@pytest.mark.parametrize("section", generate_docs.SECTIONS)
def test_every_example_is_a_valid_change(write_environment: WriteEnvironment, section: str) -> None:
    """Pasted over environments/example.yaml, each example of docs/settings.md makes an environment."""
    base = YAML(typ="safe").load((PROJECT / "environments" / "example.yaml").read_text())
    changes = YAML(typ="safe").load(generate_docs.SECTIONS[section][1])
    if "existing" in changes.get("network", {}):
        base["network"] = {}  # beside it only the zones may be set
    assert load_settings(write_environment(merged(base, changes)))


def merged(base: Any, changes: Any) -> Any:
    """Return `base` with `changes` on top, mapping by mapping."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return base | {key: merged(base.get(key), part) for key, part in changes.items()}
