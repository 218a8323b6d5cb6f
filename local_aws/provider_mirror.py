"""Let Terraform find its providers without a registry: for the local environment and the tests.

Terraform also looks for providers in `terraform.d/plugins` under its working folder ("CLI Configuration
File", "Implied Local Mirror Directories"). If this machine has a mirror in one of the usual places for add-on
software, each stack's folder gets a link to it, and a lock file: without it cdktf would ask the registry for
checksums. If there is no mirror, Terraform asks the registry once, and a mirror in .work keeps the answer.
The user's own configuration file takes precedence. The synthesis of another environment removes the link
(stacks/backend.py).
"""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from local_aws.emulator import WORK
from stacks import STACKS
from stacks.backend import PROVIDER_LINK, PROVIDER_LOCK
from stacks.errors import UserError
from stacks.versions import AWS_PROVIDER

PLACES = ("/opt", "/srv", "/usr/local", "/usr/lib", "/usr/share")
MIRROR = WORK / "terraform-mirror"  # what the registry has given once
DEPTH = 5  # folders below a place


class ProviderError(UserError):
    """Terraform can't have the AWS provider; the message is Terraform's."""


def prepare(output: Path) -> None:
    """Link the first mirror that holds our version of the AWS provider into each stack's folder.

    Args:
        output: The folder that cdktf synthesizes to.

    """
    folders = [output / "stacks" / stack for stack in STACKS]
    if all((folder / PROVIDER_LINK).exists() and (folder / PROVIDER_LOCK).exists() for folder in folders):
        return
    mirror = next(_mirrors(), None)
    if mirror is None:
        return
    with tempfile.TemporaryDirectory() as name:
        init(Path(name))
        lock = (Path(name) / PROVIDER_LOCK).read_text(encoding="utf-8")
    for folder in folders:
        _link(folder, mirror)
        if not (folder / PROVIDER_LOCK).exists():
            (folder / PROVIDER_LOCK).write_text(lock, encoding="utf-8")


def init(folder: Path) -> None:
    """Let Terraform install our version of the AWS provider into an empty folder, and write a lock file.

    Raises:
        ProviderError: If Terraform can't have the provider; the message is Terraform's.

    """
    _link(folder, next(_mirrors(), None) or _download())
    _run_init(folder)


def _download() -> Path:
    """Let Terraform ask the registry, and return the mirror that keeps the provider for the next times.

    The plugin cache would not do: Terraform asks the registry for the versions of a provider in it, and a
    killed `init` may leave half a provider there.
    """
    WORK.mkdir(exist_ok=True)
    with (WORK / "terraform-mirror.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mirror := next(_mirrors(), None):  # another process has just downloaded it
            return mirror
        half = WORK / "terraform-mirror.half"  # a process that was killed may have left it
        shutil.rmtree(half, ignore_errors=True)
        try:
            half.mkdir()
            _run_init(half)
            (provider,) = half.glob(f".terraform/providers/*/hashicorp/aws/{AWS_PROVIDER}")
            # A link leads into the user's plugin cache, whose files may go.
            files = shutil.copytree(provider, half / "copy") if provider.is_symlink() else provider
            kept = MIRROR / provider.relative_to(half / ".terraform" / "providers")
            kept.parent.mkdir(parents=True, exist_ok=True)
            files.rename(kept)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    return MIRROR


def _run_init(folder: Path) -> None:
    requirement = {"aws": {"source": "hashicorp/aws", "version": AWS_PROVIDER}}
    (folder / "main.tf.json").write_text(json.dumps({"terraform": {"required_providers": requirement}}))
    done = subprocess.run(
        ["terraform", "init", "-input=false", "-no-color"],  # noqa: S607 - the user's Terraform
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "TF_PLUGIN_CACHE_DIR"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ProviderError(f"the AWS provider can't be installed:\n{done.stderr.strip()}")


def _mirrors() -> Iterator[Path]:
    """Yield each folder `<host>/<namespace>/<provider>/<version>` that holds our version."""
    for place in (*PLACES, str(MIRROR)):
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
