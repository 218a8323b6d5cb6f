"""The lock files that `make setup` and `make scan` install from."""

import re

import pytest

from stacks.settings.load import PROJECT

PINNED = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
LOCKED = re.compile(r"^([\w.-]+)==(\S+)(.*?)\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", ("constraints.txt", "requirements.txt", "requirements-dev.txt")),
        ("requirements-scan.lock", ("requirements-scan.txt",)),
    ],
)
def test_a_lock_holds_the_pinned_versions_with_their_hashes(lock: str, requirements: tuple[str, ...]) -> None:
    """`make lock` was run after each change of a version: no package is missing, outdated or left over."""
    text = (PROJECT / lock).read_text()
    packages = LOCKED.findall(text)
    assert len(packages) == len(PINNED.findall(text)), "a package has no hashes"
    locked = {
        (normalize(name), version)
        for name, version, marker, _ in packages
        if "sys_platform == 'win32'" not in marker  # not among the tested packages
    }
    pinned = "".join((PROJECT / file).read_text() for file in requirements)
    assert {(normalize(name), version) for name, version in PINNED.findall(pinned)} == locked


def normalize(name: str) -> str:
    """Return a package's name as a lock has it (PyPA, "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()
