"""The reference documents: generated tables, and examples that work."""

import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from deployment.consumer_policy import consumer_policy
from stacks.backend import read_backend
from stacks.settings.load import PROJECT, load_settings
from tests.environments import WriteEnvironment
from tools.generate_docs import DOCUMENTS, MODELS, OUTPUTS, TABLE, main, update_tables

SETTINGS, OUTPUTS_PAGE = (path.read_text(encoding="utf-8") for path in DOCUMENTS)
SECTIONS = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", SETTINGS, re.MULTILINE | re.DOTALL))
BACKEND = json.loads((PROJECT / "backend.tf.json").read_text())["terraform"]["backend"]["s3"]


def find_block(text: str, language: str) -> str:
    """Return the first code block of a language."""
    found = re.search(rf"^```{language}\n(.+?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, text
    return found[1]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_tables_are_current(path: Path) -> None:
    """`make docs` would change nothing."""
    text = path.read_text(encoding="utf-8")
    assert update_tables(text) == text


@pytest.mark.parametrize("path", sorted((PROJECT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_each_section_has_a_blank_line_before_its_heading(path: Path) -> None:
    """Markdown takes a heading that a merge has glued to the text above for a part of that text."""
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"[^\n]\n(## .*)", text)


def test_every_model_and_every_output_has_a_table() -> None:
    """The tables are complete, and each exists once."""
    assert sorted(name for _, name, _ in TABLE.findall(SETTINGS)) == sorted(MODELS)
    dataclasses = [outputs.__name__ for outputs in OUTPUTS.values()]
    assert [name for _, name, _ in TABLE.findall(OUTPUTS_PAGE)] == dataclasses


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_setting_is_described(model: type[BaseModel]) -> None:
    """Documents and messages quote the description of a field, which is a sentence."""
    assert model.model_fields
    for name, field in model.model_fields.items():
        assert re.fullmatch(r"\S.*\.", field.description or ""), name


@pytest.mark.parametrize("section", SECTIONS)
def test_every_example_is_a_valid_change(write_environment: WriteEnvironment, section: str) -> None:
    """On top of environments/example.yaml, the example of each section makes an environment."""
    base = YAML(typ="safe").load((PROJECT / "environments" / "example.yaml").read_text())
    changes = YAML(typ="safe").load(find_block(SECTIONS[section], "yaml"))
    if "existing" in changes.get("network", {}):
        base["network"] = {}  # beside `existing` only the zones may be set
    assert load_settings(write_environment(merge(base, changes)))


def merge(base: Any, changes: Any) -> Any:
    """Return `base` with `changes` on top, map by map."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return base | {key: merge(base.get(key), part) for key, part in changes.items()}


@pytest.mark.parametrize("stack", OUTPUTS)
def test_each_example_of_a_consumer_reads_an_output(stack: str) -> None:
    """The key is the state's key, and the output is one of the stack's."""
    section = OUTPUTS_PAGE.split(f"\n## {stack}\n")[1]
    example = find_block(section, "hcl")
    assert f'"example/{stack}.tfstate"' in example
    output = re.search(rf"data\.terraform_remote_state\.{stack}\.outputs\.(\w+)", example)
    assert output
    assert output[1] in {item.name for item in fields(OUTPUTS[stack])}


def test_the_documented_policy_is_the_printed_one() -> None:
    """The document shows what `make consumer-policy` prints for its bucket."""
    shown = find_block(OUTPUTS_PAGE, "json").replace("cicd-terraform-state", BACKEND["bucket"])
    policy = consumer_policy("example", read_backend(PROJECT / "backend.tf.json"), ["network", "cluster"])
    assert json.loads(shown) == policy


def test_help_writes_no_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` prints the help and changes no file."""
    before = [path.stat().st_mtime_ns for path in DOCUMENTS]
    monkeypatch.setattr(sys, "argv", ["generate_docs.py", "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    assert capsys.readouterr().out.startswith("usage: python -m tools.generate_docs")
    assert [path.stat().st_mtime_ns for path in DOCUMENTS] == before
