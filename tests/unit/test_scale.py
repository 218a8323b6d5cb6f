"""Large environments: the settings accept them, and the cost of a check grows with the number of fleets."""

import json
import re
import subprocess
import sys
import typing
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from cdktf_cdktf_provider_helm import release

from stacks import settings
from stacks.settings import MAX_NODE_GROUPS
from stacks.settings.load import PROJECT, load_settings
from tests.environments import write_document
from tools.bench.scale import FLEETS, NODE_GROUPS, Measurement, copy_main, describe_environment
from tools.bench.scale_picture import write_table
from tools.sections import write_section

PICTURE = PROJECT / "docs" / "pictures" / "scale.svg"


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


def test_the_bench_copies_all_that_a_synth_imports(tmp_path: Path) -> None:
    """The copy lies outside the project, so that Python finds nothing else there."""
    copy_main(tmp_path)
    command = (sys.executable, "-c", "import main, stacks.app")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


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
    """They come from the same measurements."""
    picture = ET.parse(PICTURE)
    description = picture.find(".//{http://purl.org/dc/elements/1.1/}description")
    assert description is not None
    measurements = [Measurement(**each) for each in json.loads(str(description.text))]
    assert "\n".join(write_table(measurements)) in (PROJECT / "docs" / "performance.md").read_text()
    measured = {(each.fleets, each.node_groups) for each in measurements}
    assert measured == {(fleets, groups) for fleets in FLEETS for groups in NODE_GROUPS}
    legend = re.findall(r">(\d+) node groups?<", PICTURE.read_text())
    assert set(map(int, legend)) == {groups for _, groups in measured}


def test_figures_without_a_place_in_the_document_are_not_lost(
    tmp_path: Path,
) -> None:
    """The bench says that the section is missing, and leaves the document alone."""
    document = tmp_path / "performance.md"
    document.write_text("<!-- begin scale -->\nold\n<!-- end scale -->\n")
    with pytest.raises(LookupError, match="no section synths"):
        write_section(document, "synths", ["new"])
    write_section(document, "scale", ["new"])
    assert document.read_text() == "<!-- begin scale -->\nnew\n<!-- end scale -->\n"
