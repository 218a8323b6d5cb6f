"""Let Terraform find its providers without a registry: for the local environment and the tests.

Terraform also looks for providers in `terraform.d/plugins` under its working folder ("CLI Configuration
File", "Implied Local Mirror Directories"). If this machine has a mirror in one of the usual places for add-on
software, each stack's folder gets a link to it, and a lock file: without it cdktf would ask the registry for
checksums. If there is no mirror, Terraform asks the registry. The user's own configuration file takes
precedence. The synthesis of another environment removes the link (stacks/backend.py).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stacks import STACKS
from stacks.backend import PROVIDER_LINK, PROVIDER_LOCK
from stacks.versions import AWS_PROVIDER

PLACES = ("/opt", "/srv", "/usr/local", "/usr/lib", "/usr/share")
DEPTH = 5  # folders below a place


def prepare(output: Path) -> None:
    """Link the first mirror that holds our version of the AWS provider into each stack's folder.

    Args:
        output: The folder that cdktf synthesizes to.

    """
    mirror = next(_mirrors(), None)
    folders = [output / "stacks" / stack for stack in STACKS]
    if mirror is None or all(
        (folder / PROVIDER_LINK).exists() and (folder / PROVIDER_LOCK).exists() for folder in folders
    ):
        return
    lock = _lock_file(mirror)
    for folder in folders:
        _link(folder, mirror)
        if not (folder / PROVIDER_LOCK).exists():
            (folder / PROVIDER_LOCK).write_text(lock, encoding="utf-8")


def link(folder: Path) -> None:
    """Link the first mirror that holds our version of the AWS provider into a folder, if there is one."""
    if mirror := next(_mirrors(), None):
        _link(folder, mirror)


def _mirrors() -> Iterator[Path]:
    """Yield each folder `<host>/<namespace>/<provider>/<version>` that holds our version."""
    for place in PLACES:
        for folder, names, _ in os.walk(place):
            if "hashicorp" in names and (Path(folder) / "hashicorp/aws" / AWS_PROVIDER).is_dir():
                names.clear()
                yield Path(folder).parent
            elif folder.count(os.sep) - place.count(os.sep) >= DEPTH:
                names.clear()


def _link(folder: Path, mirror: Path) -> None:
    link = folder / PROVIDER_LINK
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(mirror)


def _lock_file(mirror: Path) -> str:
    """Return the lock file that Terraform writes for the mirror's AWS provider."""
    requirement = {"aws": {"source": "hashicorp/aws", "version": AWS_PROVIDER}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _link(folder, mirror)
        (folder / "main.tf.json").write_text(json.dumps({"terraform": {"required_providers": requirement}}))
        init = [shutil.which("terraform") or "terraform", "init", "-input=false", "-no-color"]
        done = subprocess.run(init, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            sys.exit(f"the provider mirror {mirror} can't be used:\n{done.stderr}")
        return (folder / PROVIDER_LOCK).read_text(encoding="utf-8")
