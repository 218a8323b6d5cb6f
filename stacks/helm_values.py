"""Helm values as YAML that a plan's reader can follow line by line.

Not here: any value.
"""

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import walk_tree


def values_yaml(values: Mapping[str, Any]) -> str:
    """Return Helm values as YAML; a text of several lines becomes a block."""
    tree = dict(values)
    walk_tree(tree)
    yaml = YAML()
    yaml.version = (1, 1)  # Helm's, in which a bare `on` or `no` would be a boolean
    yaml.width = 2**16  # a wrapped line would break Terraform's references inside it
    document = StringIO()
    yaml.dump(tree, document)
    return document.getvalue().removeprefix("%YAML 1.1\n---\n")
