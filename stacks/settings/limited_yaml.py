"""Read YAML files within limits of size, values and depth: no file takes long or fills the memory.

Not here: the meaning of the values (load.py, jobs/ci_yaml.py). plan_review/yaml_text.py has the same limits:
other projects copy plan_review alone, so it imports nothing of the stacks.
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import SequenceNode

# The parser reads about 10,000 keys and values a second, or a million letters in three seconds. 200 fleets
# with 60 keys and values each, and 30 node groups, are 14,000.
MAX_BYTES = 1_000_000
MAX_NODES = 40_000
"""Keys and values of a file. Aliases may repeat as many, and merge keys ten times as many."""
# GitLab, "GitLab application limits": 100 levels. The parser needs several calls of Python for each.
MAX_DEPTH = 40


class LargeFileError(Exception):
    """A file is larger than MAX_BYTES."""


class TooManyNodesError(YAMLError):
    """A file has more than MAX_NODES keys and values, or its merge keys repeat too many."""


class _LimitedComposer(Composer):
    """A composer that ends at a number of nodes, and at a number of keys that merge keys repeat."""

    nodes = 0
    repeated = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one node, and count it."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise TooManyNodesError(f"more than {MAX_NODES} keys and values")
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Compose one map, and count the keys that it gets from other maps."""
        node = super().compose_mapping_node(anchor)
        size = len(node.value)
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                merged = value.value if isinstance(value, SequenceNode) else [value]
                size += sum(self._sizes.get(id(part), 0) for part in merged)
        self.repeated += size - len(node.value)
        if self.repeated > 10 * MAX_NODES:
            raise TooManyNodesError(f"merge keys that repeat more than {10 * MAX_NODES} keys")
        self._sizes[id(node)] = size
        return node


def read_limited(path: Path) -> str:
    """Return the text of a file.

    Raises:
        LargeFileError: If it is larger than MAX_BYTES.
        OSError: If it can't be read.
        UnicodeDecodeError: If it is not UTF-8.

    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise LargeFileError
    return content.decode()


def limited_yaml() -> YAML:
    """Return a safe parser that ends at MAX_NODES and MAX_DEPTH."""
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.Composer = _LimitedComposer
    return yaml
