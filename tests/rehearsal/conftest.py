"""A Terraform folder, and stand-ins that run."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_aws import rehearsal
from tests.rehearsal.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with running stand-ins, without a registry and without the user's configuration file."""
    (tmp_path / "terraform.rc").touch()
    own = {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": str(tmp_path / "terraform.rc")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    with rehearsal.running(tmp_path / "record.json") as reattach:
        yield Workspace(tmp_path, {**clean, **own, "TF_REATTACH_PROVIDERS": json.dumps(reattach)})
