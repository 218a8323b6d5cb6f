"""Read YAML within limits of size, values and depth, so that no text takes long or fills the memory.

stacks/settings/limited_yaml.py takes the parser from here, and not the other way round: other projects copy
plan_review alone.
"""

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import SequenceNode

# Kubernetes, "Secrets": Helm stores a release with its values in one, which has up to 1 MiB. The parser reads
# about 10,000 keys and values a second, or a million letters in three seconds. The settings of 200 fleets
# with 60 keys and values each, and of 30 node groups, are 14,000.
MAX_BYTES = 1_000_000
MAX_NODES = 40_000
"""Keys and values of a text. Aliases may repeat as many, and merge keys ten times as many."""
# GitLab, "GitLab application limits": 100 levels. The parser needs several calls of Python for each.
MAX_DEPTH = 40
# What the parser raises besides its own errors: for tags, numbers, keys and deep values that are not right.
ERRORS = (YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_ACCEPTED = f"Accepted: up to {MAX_BYTES // 1000} kB and {MAX_NODES} keys and values"


class TooManyNodesError(YAMLError):
    """A text has more than MAX_NODES keys and values, or its merge keys repeat too many."""


class _LimitedComposer(Composer):
    """A composer that ends at a number of nodes, and at a number of keys that merge keys repeat."""

    nodes = 0
    repeated = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise TooManyNodesError(f"more than {MAX_NODES} keys and values")
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> Any:
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


def limited_yaml() -> YAML:
    """Return a safe parser that ends at MAX_NODES and MAX_DEPTH."""
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.Composer = _LimitedComposer
    return yaml


def load_yaml(text: str | bytes) -> Any:
    """Return the content of a text; aliases share one value.

    Raises:
        Exception: One of `ERRORS`, if the text is no YAML, or is beyond the limits.

    """
    if len(text) > MAX_BYTES:
        raise YAMLError(f"{len(text)} bytes. {_ACCEPTED}")
    try:
        return limited_yaml().load(text)
    except TooManyNodesError as error:
        raise TooManyNodesError(f"{error}. {_ACCEPTED}") from None
