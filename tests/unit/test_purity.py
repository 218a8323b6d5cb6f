"""The same settings make the same bytes, wherever, whenever and by whomever they are synthesized."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stacks.settings.load import PROJECT
from tests.environments import STACKS

Synth = Callable[..., dict[str, bytes]]
SECRETS = {"AWS_ACCESS_KEY_ID": "AKIAMADEUPMADEUPMADE", "AWS_SECRET_ACCESS_KEY": "made-up-secret-of-a-test"}


@pytest.fixture(scope="module")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Synth:
    """Run main.py as cdktf does, in a new folder, and return every file that it writes."""

    def run(**environment: str) -> dict[str, bytes]:
        folder, output = tmp_path_factory.mktemp("anywhere"), tmp_path_factory.mktemp("cdktf.out")
        inherited = {key: value for key, value in os.environ.items() if key not in {"ENV", "LEAN_IMPORTS"}}
        subprocess.run(
            [sys.executable, PROJECT / "main.py"],
            cwd=folder,
            env=inherited | {"CDKTF_OUTDIR": str(output)} | environment,
            check=True,
            capture_output=True,
        )
        assert not list(folder.iterdir())
        files = (path for path in output.rglob("*") if path.is_file())
        return {str(path.relative_to(output)): path.read_bytes() for path in files}

    return run


@pytest.fixture(scope="module")
def once(synth: Synth) -> dict[str, bytes]:
    """Return the files of one synth of the example environment, run with credentials around."""
    return synth(ENV="example", TZ="UTC", PYTHONHASHSEED="1", **SECRETS)


def test_two_synths_are_byte_identical(synth: Synth, once: dict[str, bytes]) -> None:
    """Working folder, time, time zone, hash seed, locale and credentials leave no trace."""
    assert {f"stacks/{stack}/cdk.tf.json" for stack in STACKS} <= set(once)
    assert synth(ENV="example", TZ="Asia/Tokyo", PYTHONHASHSEED="2", LC_ALL="C", LANG="C") == once


def test_lean_imports_change_no_byte(synth: Synth, once: dict[str, bytes]) -> None:
    """With the provider packages imported in the ordinary way the result is the same."""
    assert synth(ENV="example", LEAN_IMPORTS="0") == once


def test_there_is_no_path_of_this_machine_in_it(once: dict[str, bytes]) -> None:
    """Neither the project's folder nor the home or temporary folder is named."""
    text = b"".join(once.values()).decode()
    places = {str(PROJECT), str(Path.home()), str(Path(os.environ.get("TMPDIR", "/tmp")).resolve())}
    assert not [place for place in places if f"{place}/" in text]
    assert "cdktf.out" not in text


def test_there_is_no_date_of_today_in_it(once: dict[str, bytes]) -> None:
    """Nothing is stamped with the time of the synth."""
    now = datetime.now(tz=UTC)
    text = b"".join(once.values()).decode()
    assert not re.search(rf"{now:%Y-%m}-|{now:%Y%m}[0-3]|{int(now.timestamp()) // 10**5}[0-9]{{5}}", text)


def test_there_are_no_credentials_in_it(once: dict[str, bytes]) -> None:
    """Neither the credentials that were around nor anything that looks like some is there."""
    text = b"".join(once.values()).decode()
    assert not [value for value in SECRETS.values() if value in text]
    assert not re.search(
        r"(AKIA|ASIA)[A-Z0-9]{16}|gl(rt|pat|dt|cbt)-[A-Za-z0-9_-]{10}|-----BEGIN|secret_key", text
    )


def test_env_chooses_the_environment(synth: Synth, once: dict[str, bytes]) -> None:
    """`ENV` names a file under environments/; without it, it is the emulated AWS."""
    assert b'"example/network.tfstate"' in once["stacks/network/cdk.tf.json"]
    assert b'"local/network.tfstate"' in synth()["stacks/network/cdk.tf.json"]


def test_importing_main_does_nothing(tmp_path: Path) -> None:
    """Only running main.py reads an environment and writes files."""
    done = subprocess.run(
        [sys.executable, "-c", "import main"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "ENV": "there-is-none", "CDKTF_OUTDIR": str(tmp_path)},
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0
    assert not list(tmp_path.iterdir())
