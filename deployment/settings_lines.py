"""The line of the environment's file that a finding is about, for reports in a merge request."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from plan_review.findings import Finding
from plan_review.locations import Locate, Location
from stacks.settings.load import PROJECT

# The section of the settings that a stack is made from.
_SECTIONS = {"network": "network", "cluster": "cluster", "workloads": "runners"}


def read_lines(environment: str, project: Path = PROJECT) -> Locate:
    """Return a function that finds the line of a finding.

    It is the line of the node group or the fleet whose name is in the address, else that of the section.
    """
    file = project / "environments" / f"{environment}.yaml"
    document = YAML().load(file.read_text(encoding="utf-8"))
    path = file.relative_to(project).as_posix()
    named = {"cluster": document.get("cluster", {}).get("node_groups"), "workloads": document.get("runners")}

    def locate(stack: str, finding: Finding) -> Location:
        found = [name for name in named.get(stack) or {} if _is_in(str(name), finding)]
        if found:
            return Location(path, _get_line(named[stack], max(found, key=len)))
        section = _SECTIONS.get(stack)
        return Location(path, _get_line(document, section) if section in document else 1)

    return locate


def _is_in(name: str, finding: Finding) -> bool:
    return bool(re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", finding.address))


def _get_line(node: Any, key: Any) -> int:
    line: int = node.lc.key(key)[0]  # from 0
    return line + 1
