"""Helm values as YAML that the reader of a plan can follow line by line."""

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import walk_tree


def values_yaml(values: Mapping[str, Any]) -> str:
    """Return Helm values as YAML; a string of several lines becomes a block."""
    tree = dict(values)
    walk_tree(tree)
    yaml = YAML()
    yaml.version = (1, 1)  # Helm reads YAML 1.1, where an unquoted `on` or `no` is a boolean
    yaml.width = 2**16  # a wrapped line would break a Terraform reference inside it
    document = StringIO()
    yaml.dump(tree, document)
    return document.getvalue().removeprefix("%YAML 1.1\n---\n")
