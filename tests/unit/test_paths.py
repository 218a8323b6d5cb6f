"""The files and folders that the documents name."""

import re
from pathlib import Path

import pytest

from stacks.settings.load import PROJECT

DOCUMENTS = sorted([PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
# In backquotes: a file with an extension of ours, or a folder with a slash at its end.
PATH = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:json|md|py|tf|toml|txt|ya?ml)|(?:[\w.-]+/)+)`")
MADE_BY_USERS = (
    ".work/",
    "cdktf.out/",
    "code-quality.json",
    "environments/prod.yaml",
    "gitlab.json",
    "plan_review.yaml",
    "plans/",
    "plans.json",
    "report.md",
)
PACKAGES = ("ruamel.yaml",)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_only_paths_that_exist(document: Path) -> None:
    """A file that moves takes its name in the documents along."""
    text = document.read_text(encoding="utf-8")
    named = {*LINK.findall(text), *PATH.findall(text)}
    folders = (PROJECT, document.parent)
    missing = {path for path in named if not any((folder / path).exists() for folder in folders)}
    assert not {path for path in missing if not path.startswith(MADE_BY_USERS + PACKAGES)}
