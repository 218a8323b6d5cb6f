"""The example projects of consumers."""

from stacks.settings.load import PROJECT


def test_the_cdktf_example_has_the_versions_of_the_project() -> None:
    """The example is tested with these versions only."""
    example = PROJECT / "examples" / "cdktf_consumer"
    pinned = (example / "requirements.txt").read_text().splitlines()
    assert pinned
    assert set(pinned) <= set((PROJECT / "requirements.txt").read_text().splitlines())
    cdktf = next(line for line in pinned if line.startswith("cdktf=="))
    assert f"cdktf-cli@{cdktf.removeprefix('cdktf==')}" in (example / "README.md").read_text()
