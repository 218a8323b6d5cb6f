"""The conversion to cdktn, without a package of it. `make test-cdktn` has the whole."""

import re
from pathlib import Path

import pytest

from stacks.errors import UserError
from stacks.settings.load import PROJECT
from tools import to_cdktn

LEFT = re.compile(r"import cdktf\b|from cdktf\b|cdktf_cdktf|cdktf-cdktf|cdktf==|cdktf-cli|@cdktf/")


def test_no_import_and_no_requirement_of_cdktf_is_left() -> None:
    """In a converted copy all code and requirements name cdktn, in the versions that fit together."""
    converted = {}
    for file in to_cdktn.find_files(PROJECT):
        converted[file] = to_cdktn.convert_text(file.read_text())
        assert not LEFT.search(converted[file]), file
    for name in ("requirements.txt", "constraints.txt"):
        lines = converted[PROJECT / name].splitlines()
        assert {f"{package}=={version}" for package, version in to_cdktn.VERSIONS.items()} <= set(lines)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from cdktf import App\n", "from cdktn import App\n"),
        ('"cdktf-cli": "0.21.0"', '"cdktn-cli": "0.24.0"'),
        ("npx cdktf deploy", "npx cdktn deploy"),
        ("cdktf==0.21.0\n", "cdktn==0.24.0\n"),
        ('"cdktf.out/stacks"', '"cdktf.out/stacks"'),
        ("# cdktf 0.21 has no class for it; cdktf's own", "# cdktf 0.21 has no class for it; cdktf's own"),
        ("examples/cdktf_consumer/cdktf.json", "examples/cdktf_consumer/cdktf.json"),
    ],
)
def test_packages_and_commands_are_renamed_and_nothing_else(before: str, after: str) -> None:
    """Files and folders of cdktf keep their names in cdktn, and prose stays as it is."""
    assert to_cdktn.convert_text(before) == after


def test_a_folder_without_cdktf_is_refused(tmp_path: Path) -> None:
    """The message says what is accepted, also for a copy that was converted before."""
    (tmp_path / "requirements.txt").write_text("cdktn==0.24.0\n")
    with pytest.raises(UserError, match="Accepted: a copy of this project, with cdktf"):
        to_cdktn.convert(tmp_path)
