"""Divide the tests among the workers of pytest-xdist: a plugin for pytest.

A deployment takes minutes. So one worker gets all files that use the fixture `deployed_by_cdktf`, and one
gets those that use `deployed`, but for test_plans.py, which takes as long as all the others. Every other file
goes to one worker as a whole.
"""

import re
from functools import cache
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from stacks.settings.load import PROJECT

LONGEST = {"test_aws_stacks.py", "test_auto_scaling_groups.py", "test_plans.py", "test_side_by_side.py"}
INTERRUPTING_WORKERS = 6
DEPLOYMENTS = ("deployed_by_cdktf", "deployed")  # fixtures of tests/emulator/conftest.py


class _WholeDeployments(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        """Return the name of the group that a test belongs to."""
        file, _, test = nodeid.partition("::")
        if number := re.search(r"interruption\[(\d+)\]$", test):
            return f"interruptions {int(number[1]) % INTERRUPTING_WORKERS}"  # more than a hundred cases
        if stack := re.search(r"fault_of_aws\[(\w+): ", test):
            return f"faults of {stack[1]}"
        return _find_group(file)


@cache
def _find_group(file: str) -> str:
    text = (PROJECT / file).read_text(encoding="utf-8")
    if file.startswith("tests/unit") and "import recipes" in text:
        return "recipes"  # one worker synthesizes each recipe once for all of these files
    if file.endswith("test_plans.py"):
        return file
    return next((fixture for fixture in DEPLOYMENTS if f"{fixture}: Project" in text), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start what takes longest first, and mix the other files: unit tests work while Terraform waits.

    The first file of each shared deployment stands for all its files.
    """
    files = list(dict.fromkeys(item.path for item in items))
    unit = [file for file in files if file.parent.name == "unit"]
    others = [file for file in files if file.parent.name != "unit"]
    places = {file: number / len(kind) for kind in (unit, others) for number, file in enumerate(kind)}
    items.sort(key=lambda item: (item.path.name not in LONGEST, places[item.path]))


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Return the scheduler of `pytest -n`, whatever `--dist` says."""
    return _WholeDeployments(config, log)
