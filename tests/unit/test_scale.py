"""Large environments: the settings accept them, and the cost of a check grows with the number of fleets."""

import json
import sys
import typing
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from xml.etree import ElementTree as ET

from cdktf_cdktf_provider_helm import release

from stacks import settings
from stacks.settings import MAX_NODE_GROUPS
from stacks.settings.load import PROJECT, load_settings
from tests.environments import write_document
from tools.bench.scale import Measurement, describe_environment
from tools.bench.scale_picture import write_table


def count_lines(function: Callable[[], Any], file: str) -> int:
    """Return how many lines of a file Python runs during a call."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename == file else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def test_the_checks_between_fleets_take_linear_time(tmp_path: Path) -> None:
    """The settings accept 100 fleets and 30 node groups; four times the fleets take four times as long.

    Lines of Python are counted: their number is the same on every machine.
    """
    lines = []
    for fleets in (25, 100):
        file = tmp_path / f"fleets-{fleets}.yaml"
        write_document(
            describe_environment(fleets, MAX_NODE_GROUPS, endpoint_url="http://127.0.0.1:4566"), file
        )
        lines.append(count_lines(partial(load_settings, file), settings.__file__))
    few, many = lines
    assert few < many < 5 * few


def test_type_hints_of_argument_checks_are_evaluated_once() -> None:
    """A synth calls each check of jsii's bindings many times; other functions are evaluated as ever."""
    module = release.Release.generate_config_for_import.__globals__  # the package hides these functions
    check = next(value for name, value in module.items() if name.startswith("_typecheckingstub__"))
    assert typing.get_type_hints(check) is typing.get_type_hints(check)
    assert typing.get_type_hints(count_lines) is not typing.get_type_hints(count_lines)


def test_the_table_of_large_environments_is_that_of_the_picture() -> None:
    """docs/performance.md and its picture come from the same measurements."""
    picture = ET.parse(PROJECT / "docs" / "pictures" / "scale.svg")
    description = picture.find(".//{http://purl.org/dc/elements/1.1/}description")
    assert description is not None
    measurements = [Measurement(**each) for each in json.loads(str(description.text))]
    assert "\n".join(write_table(measurements)) in (PROJECT / "docs" / "performance.md").read_text()
