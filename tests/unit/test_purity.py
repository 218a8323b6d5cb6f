"""The same settings make the same bytes, on every machine and at any time."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cdktf_cdktf_provider_helm.release import Release

import main
from stacks import STACKS
from stacks.lean_imports import ordinary_node_options
from stacks.settings.load import PROJECT, load_settings
from tests.environments import Synthesized, synthesize

RunMain = Callable[..., dict[str, bytes]]
SECRETS = {"AWS_ACCESS_KEY_ID": "AKIAMADEUPMADEUPMADE", "AWS_SECRET_ACCESS_KEY": "made-up-secret-of-a-test"}


def read_files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_python(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, with the project on its path."""
    inherited = {key: value for key, value in os.environ.items() if key not in {"ENV", "LEAN_IMPORTS"}}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=inherited | {"PYTHONPATH": str(PROJECT)} | env,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def run_main(tmp_path_factory: pytest.TempPathFactory) -> RunMain:
    """Run main.py as cdktf does, in a new folder, and return every file that it writes."""

    def run(**env: str) -> dict[str, bytes]:
        folder, output = tmp_path_factory.mktemp("anywhere"), tmp_path_factory.mktemp("cdktf.out")
        done = run_python(str(PROJECT / "main.py"), cwd=folder, CDKTF_OUTDIR=str(output), **env)
        assert done.returncode == 0, done.stderr
        assert not list(folder.iterdir())
        return read_files(output)

    return run


@pytest.fixture(scope="module")
def once(run_main: RunMain) -> dict[str, bytes]:
    """Return the files of the example environment from a process with unusual surroundings."""
    return run_main(ENV="example", TZ="Asia/Tokyo", PYTHONHASHSEED="2", LC_ALL="C", LANG="C", **SECRETS)


def test_two_synths_are_byte_identical(once: dict[str, bytes], tmp_path: Path) -> None:
    """Working folder, time, time zone, hash seed, locale and credentials leave no trace."""
    synthesize(load_settings(PROJECT / "environments" / "example.yaml"), tmp_path)
    assert {f"stacks/{stack}/cdk.tf.json" for stack in STACKS} <= set(once)
    assert read_files(tmp_path) == once


def test_a_stack_alone_has_the_same_json(once: dict[str, bytes], example: Synthesized) -> None:
    """Most tests read one stack, and synthesize it without the others."""
    for stack in STACKS:
        assert example[stack] == json.loads(once[f"stacks/{stack}/cdk.tf.json"])


@pytest.mark.long
def test_lean_imports_change_no_byte(run_main: RunMain, once: dict[str, bytes]) -> None:
    """With the provider packages imported in the ordinary way the result is the same."""
    assert run_main(ENV="example", LEAN_IMPORTS="0") == once


def test_an_end_of_node_is_one_message(tmp_path: Path) -> None:
    """After a Ctrl-C, or if Node.js crashes, jsii's own end is a traceback."""
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\nexit 0\n")
    node.chmod(0o755)
    done = run_python(str(PROJECT / "main.py"), cwd=tmp_path, JSII_NODE=str(node), ENV="example")
    assert (done.returncode, done.stderr) == (1, "the synthesis failed: Node.js has ended\n")


def test_other_programs_get_the_ordinary_options_of_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line of cdktf warns of options of others: `local_aws run` does not hand ours on."""
    ours = os.environ["NODE_OPTIONS"]
    assert "lean_modules.cjs" in ours
    monkeypatch.setenv("NODE_OPTIONS", f"--max-old-space-size=4000 {ours}")
    assert ordinary_node_options().startswith("--max-old-space-size=4000")
    assert "lean_modules.cjs" not in ordinary_node_options()


def test_lean_imports_change_no_class(tmp_path: Path) -> None:
    """The helm package, imported in the ordinary way, has the same class of a release.

    Of the three packages it is the small one; the AWS package takes half a minute.
    """
    program = (
        "import stacks, cdktf_cdktf_provider_helm as package\n"
        "from cdktf_cdktf_provider_helm.release import Release\n"
        "print(package.__file__)\n"
        "print(*sorted(vars(Release)))"
    )
    done = run_python("-c", program, cwd=tmp_path, LEAN_IMPORTS="0")
    package, names = done.stdout.splitlines()
    assert package.endswith("__init__.py")  # with lean imports the package has no file
    assert names.split() == sorted(vars(Release))


def test_node_loads_a_provider_module_at_its_first_use(tmp_path: Path) -> None:
    """Node.js takes a provider package's lazy index, also from a folder with a space and an umlaut."""
    copy = tmp_path / "a foldér" / "lean_modules.cjs"
    library = copy.parent / "node_modules" / "@cdktf" / "provider-x" / "lib"
    library.mkdir(parents=True)
    copy.write_text((PROJECT / "stacks" / "lean_modules.cjs").read_text())
    (library.parent / "package.json").write_text('{"main": "lib/index.js"}')
    (library / "index.js").write_text("module.exports = 'every module'")

    def load() -> str:
        done = subprocess.run(
            ["node", "--print", "require('@cdktf/provider-x')"],
            cwd=copy.parent,
            env=os.environ | {"NODE_OPTIONS": f'--require "{copy}"'},
            check=False,
            capture_output=True,
            text=True,
        )
        return done.stdout

    # The cdktf command line has a package of such a name without a lazy index.
    assert load() == "every module\n"
    (library / "lazy-index.js").write_text("module.exports = 'a module at its first use'")
    assert load() == "a module at its first use\n"


def test_no_path_of_this_machine_is_in_it(once: dict[str, bytes]) -> None:
    """Neither the project's folder nor the home or temporary folder is named."""
    text = b"".join(once.values()).decode()
    places = {str(PROJECT), str(Path.home()), str(Path(os.environ.get("TMPDIR", "/tmp")).resolve())}
    assert not [place for place in places if f"{place}/" in text]
    assert "cdktf.out" not in text


def test_no_date_of_today_is_in_it(once: dict[str, bytes]) -> None:
    """No file has the time of the synth in it."""
    now = datetime.now(tz=UTC)
    text = b"".join(once.values()).decode()
    assert not re.search(rf"{now:%Y-%m}-|{now:%Y%m}[0-3]|{int(now.timestamp()) // 10**5}[0-9]{{5}}", text)


def test_no_credentials_are_in_it(once: dict[str, bytes]) -> None:
    """Neither the credentials of the process nor any string of a credential's form is written."""
    text = b"".join(once.values()).decode()
    assert not [value for value in SECRETS.values() if value in text]
    assert not re.search(
        r"(AKIA|ASIA)[A-Z0-9]{16}|gl(rt|pat|dt|cbt)-[A-Za-z0-9_-]{10}|-----BEGIN|secret_key", text
    )


@pytest.mark.parametrize(("env", "environment"), [("example", "example"), (None, "local")])
def test_env_chooses_the_environment(
    env: str | None, environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ENV` names a file under environments/; without it, the environment is the emulated AWS."""
    monkeypatch.setattr(sys, "argv", ["main.py"])
    monkeypatch.setenv("CDKTF_OUTDIR", str(tmp_path))
    monkeypatch.setenv("ENV", env or "")
    main.main()
    assert f'"{environment}/network.tfstate"' in (tmp_path / "stacks/network/cdk.tf.json").read_text()


def test_importing_main_does_nothing(tmp_path: Path) -> None:
    """Only running main.py reads an environment and writes files."""
    done = run_python("-c", "import main", cwd=tmp_path, ENV="there-is-none", CDKTF_OUTDIR=str(tmp_path))
    assert done.returncode == 0
    assert not list(tmp_path.iterdir())


def test_a_mistake_is_told_before_cdktf_is_imported(tmp_path: Path) -> None:
    """The message comes within a second: the process has not loaded cdktf, which takes several."""
    program = (
        "import atexit, sys, main\n"
        "atexit.register(lambda: print('cdktf' in sys.modules))\n"
        "sys.argv = ['main.py']\n"
        "main.main()"
    )
    done = run_python("-c", program, cwd=tmp_path, ENV="there-is-none", CDKTF_OUTDIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("environments/there-is-none.yaml: no such environment.")
    assert done.stdout == "False\n"


def test_help_synthesizes_nothing(tmp_path: Path) -> None:
    """`python main.py --help` names the variables that main.py reads, and writes no file."""
    done = run_python(str(PROJECT / "main.py"), "--help", cwd=tmp_path, CDKTF_OUTDIR=str(tmp_path))
    assert done.returncode == 0
    assert "ENV" in done.stdout
    assert "CDKTF_OUTDIR" in done.stdout
    assert not list(tmp_path.iterdir())
