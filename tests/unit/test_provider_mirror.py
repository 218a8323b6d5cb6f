"""The AWS provider of the local environment, with a program that stands in for `terraform init`."""

import os
import shutil
from pathlib import Path

import pytest

from local_aws import provider_mirror
from stacks.versions import AWS_PROVIDER

# It takes the provider from the implied mirror, as Terraform does, or else notes that it asks the registry.
# With a plugin cache it links the provider.
TERRAFORM = f"""#!/bin/sh
provider=registry.terraform.io/hashicorp/aws/{AWS_PROVIDER}
mkdir -p .terraform/providers/registry.terraform.io/hashicorp/aws
if test -d terraform.d/plugins/$provider; then
  ln -s "$PWD/terraform.d/plugins/$provider" .terraform/providers/$provider
else
  echo asked >> "$ASKED"
  mkdir .terraform/providers/$provider; echo half > .terraform/providers/$provider/program
  test ! -e "$ASKED.fail" || exit 1
  echo whole > .terraform/providers/$provider/program
  if test -d "$ASKED.cache"; then
    mv .terraform/providers/$provider "$ASKED.cache/aws"
    ln -s "$ASKED.cache/aws" .terraform/providers/$provider
  fi
fi
"""
PROGRAM = f".terraform/providers/registry.terraform.io/hashicorp/aws/{AWS_PROVIDER}/program"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a provider mirror; the file has a line for each question to the registry."""
    (tmp_path / "terraform").write_text(TERRAFORM)
    (tmp_path / "terraform").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setattr(provider_mirror, "PLACES", ())
    monkeypatch.setattr(provider_mirror, "WORK", tmp_path / ".work")
    monkeypatch.setattr(provider_mirror, "MIRROR", tmp_path / ".work" / "terraform-mirror")
    return tmp_path / "asked"


def init(folder: Path) -> str:
    """Install the provider into a new folder, and return what its program is."""
    folder.mkdir()
    provider_mirror.init(folder)
    return (folder / PROGRAM).read_text()


def test_the_registry_is_asked_once(asked: Path, tmp_path: Path) -> None:
    """The next demos need no network."""
    assert init(tmp_path / "first") == "whole\n"
    assert init(tmp_path / "second") == "whole\n"
    assert asked.read_text() == "asked\n"


def test_half_a_provider_is_not_kept(asked: Path, tmp_path: Path) -> None:
    """After an `init` that was killed or failed, the next one asks the registry again."""
    fail = asked.with_name("asked.fail")
    fail.touch()
    with pytest.raises(provider_mirror.ProviderError):
        init(tmp_path / "first")
    fail.unlink()
    assert init(tmp_path / "second") == "whole\n"
    assert sorted(path.name for path in (tmp_path / ".work").iterdir()) == [
        "terraform-mirror",
        "terraform-mirror.lock",
    ]


def test_what_a_killed_process_has_left_is_removed(asked: Path, tmp_path: Path) -> None:
    """SIGKILL in a download leaves up to 1 GB in .work; the next download removes it."""
    left = tmp_path / ".work" / "terraform-mirror.half" / ".terraform"
    left.mkdir(parents=True)
    (left / "program").touch()
    assert init(tmp_path / "first") == "whole\n"
    assert not left.parent.exists()
    assert asked.read_text() == "asked\n"


def test_the_mirror_is_no_link_into_the_plugin_cache(asked: Path, tmp_path: Path) -> None:
    """A user may empty `plugin_cache_dir` of the command line's configuration file."""
    cache = asked.with_name("asked.cache")
    cache.mkdir()
    init(tmp_path / "first")
    shutil.rmtree(cache)
    assert init(tmp_path / "second") == "whole\n"
    assert asked.read_text() == "asked\n"
