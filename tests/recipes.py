"""The recipes of docs/runners.md, as changes of an environment."""

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML

from stacks.settings.load import PROJECT

_RECIPE = re.compile(r"^### (.+?)\n.*?^```yaml\n(.+?)^```$", re.MULTILINE | re.DOTALL)


def recipes() -> dict[str, dict[str, Any]]:
    """Return each recipe by its heading: the value of each setting by its path."""
    page = (PROJECT / "docs" / "runners.md").read_text()
    return {title: dict(_settings(YAML(typ="safe").load(text))) for title, text in _RECIPE.findall(page)}


def _settings(node: dict[str, Any], parents: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _settings(value, (*parents, key))
        else:
            yield ".".join((*parents, key)), value
