"""Read YAML files within limits of size, values and depth: no file takes long or fills the memory.

Not here: the meaning of the values (load.py, jobs/ci_yaml.py).
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import YAMLError

# The parser reads about 10,000 values a second, or a million letters in three seconds. 16,000 values are
# about a thousand jobs of a CI file.
MAX_BYTES = 1_000_000
MAX_NODES = 16_000
# GitLab, "GitLab application limits": 100 levels. The parser needs several calls of Python for each.
MAX_DEPTH = 40


class LargeFileError(Exception):
    """A file is larger than MAX_BYTES."""


class TooManyNodesError(YAMLError):
    """A file has more than MAX_NODES values."""


class _LimitedComposer(Composer):
    """A composer that ends at a number of nodes: it does not build what no file of people has."""

    nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one node, and count it."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise TooManyNodesError(f"more than {MAX_NODES} values")
        return super().compose_node(parent, index)


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
