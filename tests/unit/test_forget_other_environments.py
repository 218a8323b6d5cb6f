"""The synthesis of an environment removes Terraform's files about another one."""

import json
from pathlib import Path
from typing import Any

import pytest

from stacks.backend import PROVIDER_LINK, PROVIDER_LOCK, forget_other_environments, forget_other_versions

BACKEND: dict[str, Any] = {
    "bucket": "cicd-terraform-state",
    "endpoints": {"s3": "http://127.0.0.1:4566"},
    "key": "local/network.tfstate",
    "region": "eu-central-1",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a synthesized stack in which Terraform has worked with `BACKEND`."""
    folder = tmp_path / "stacks" / "network"
    (folder / ".terraform").mkdir(parents=True)
    (folder / "cdk.tf.json").write_text(json.dumps({"terraform": {"backend": {"s3": BACKEND}}}))
    # Terraform records each argument of the backend, also those that are not set.
    recorded = {**BACKEND, "profile": None, "endpoints": {**BACKEND["endpoints"], "iam": None}}
    document = {"backend": {"type": "s3", "config": recorded, "hash": 1}}
    record(folder).write_text(json.dumps(document))
    return folder


def record(folder: Path) -> Path:
    """Return the file in which Terraform records the backend of the last `init`."""
    return folder / ".terraform" / "terraform.tfstate"


def test_the_record_of_the_same_backend_stays(folder: Path) -> None:
    """Terraform needs no second `init`."""
    forget_other_environments(folder.parents[1], is_local=True)
    assert record(folder).exists()


@pytest.mark.parametrize(
    "change",
    [
        {"bucket": "another"},
        {"endpoints": {"s3": "http://127.0.0.1:4577"}},
        {"endpoints": None},
        {"key": "prod/network.tfstate"},
        {"region": "eu-west-1"},
        {"use_path_style": True},
    ],
)
def test_the_record_of_another_backend_is_removed(folder: Path, change: dict[str, Any]) -> None:
    """With the record Terraform would offer to migrate the state, for example to another emulator's port."""
    backend = {name: value for name, value in {**BACKEND, **change}.items() if value is not None}
    (folder / "cdk.tf.json").write_text(json.dumps({"terraform": {"backend": {"s3": backend}}}))
    forget_other_environments(folder.parents[1], is_local=True)
    assert not record(folder).exists()


@pytest.mark.parametrize("is_local", [True, False])
def test_only_the_local_environment_keeps_the_provider_mirror(folder: Path, *, is_local: bool) -> None:
    """In other environments Terraform asks the registry for its providers."""
    link, lock, providers = folder / PROVIDER_LINK, folder / PROVIDER_LOCK, folder / ".terraform/providers"
    link.parent.mkdir()
    link.symlink_to(folder)
    lock.touch()
    providers.mkdir()
    forget_other_environments(folder.parents[1], is_local=is_local)
    assert [link.is_symlink(), lock.exists(), providers.exists()] == [is_local] * 3


def test_the_lock_file_of_a_registry_stays(folder: Path) -> None:
    """Without a link to a mirror the lock file is not from a mirror."""
    (folder / PROVIDER_LOCK).touch()
    forget_other_environments(folder.parents[1], is_local=False)
    assert (folder / PROVIDER_LOCK).exists()


@pytest.mark.parametrize("version", ["2.38.0", "3.2.1"])
def test_a_lock_file_with_another_version_of_a_provider_is_removed(folder: Path, version: str) -> None:
    """`terraform init` refuses it, and only it."""
    source, lock = "registry.terraform.io/hashicorp/kubernetes", folder / PROVIDER_LOCK
    required = {"kubernetes": {"source": source, "version": "2.38.0"}}
    (folder / "cdk.tf.json").write_text(json.dumps({"terraform": {"required_providers": required}}))
    lock.write_text(f'provider "{source}" {{\n  version     = "{version}"\n  constraints = "{version}"\n}}\n')
    forget_other_versions(folder.parents[1])
    assert lock.exists() == (version == "2.38.0")
