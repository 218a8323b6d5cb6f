"""What the examples promise before anything is deployed."""

from stacks.settings.load import PROJECT


def test_the_cdktf_example_is_pinned_as_the_project_is() -> None:
    """It is tested with the project's packages, so those are the versions that it asks for."""
    example = PROJECT / "examples" / "cdktf_consumer"
    pinned = (example / "requirements.txt").read_text().splitlines()
    assert pinned
    assert set(pinned) <= set((PROJECT / "requirements.txt").read_text().splitlines())
    cdktf = next(line for line in pinned if line.startswith("cdktf=="))
    assert f"cdktf-cli@{cdktf.removeprefix('cdktf==')}" in (example / "README.md").read_text()
