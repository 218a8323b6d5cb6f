"""Install the Python packages of a lock file: `.venv/bin/python -m tools.install_packages requirements.lock`.

uv needs a fifth of pip's processor time. pip installs uv first, and installs all packages where uv can't.
A file without hashes is for pip alone.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tools.set_up import run_until_signal

PYTHON = ".venv/bin/python"
PIP_INSTALL = (PYTHON, "-m", "pip", "install", "--quiet", "--no-compile")
UV_INSTALL = (".venv/bin/uv", "pip", "install", "--quiet", "--python", PYTHON, "--require-hashes")
SIGNALLED = 128
TRUE = ("1", "true", "yes", "on", "y", "t")
LOCKED_UV = re.compile(r"^uv==.*\n(?: +--hash=.*\n)+", re.MULTILINE)
# pip's option: uv's environment variable (pip, "Configuration"; uv, "Environment variables").
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
}


def read_pip_options(listed: str, get: Callable[[str], str]) -> dict[str, str]:
    """Return the value of each of pip's options by its name; pip ignores an empty value, and so does this.

    Args:
        listed: The output of `pip config list`: lines such as `global.index-url='https://…'`.
        get: Returns the value of `section.option`, as `pip config get`. Newer versions of pip list an option
            once for each file that has it, and do not say which file wins.

    """
    values: dict[str, str] = {}
    lines = [line.partition("=")[::2] for line in listed.splitlines() if "=" in line]
    times = Counter(name for name, _ in lines)
    # pip's own order: its variables win over the section of a command, which wins over `global`.
    for section in ("global.", "install.", ":env:."):
        for name, text in lines:
            if name.startswith(section):
                value = get(name) if times[name] > 1 else str(ast.literal_eval(text))
                values |= {name.removeprefix(section): " ".join(value.split())} if value.strip() else {}
    return values


def uv_environment(pip_options: dict[str, str]) -> dict[str, str]:
    """Return the environment variables with which uv uses the package indexes that pip is configured for."""
    found = {UV_VARIABLES[name]: value for name, value in pip_options.items() if name in UV_VARIABLES}
    if "UV_FIND_LINKS" in found:
        found["UV_FIND_LINKS"] = found["UV_FIND_LINKS"].replace(" ", ",")
    # The hash decides which file is right, and not the index that has it.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_PYTHON_DOWNLOADS": "never", **found}


def install(requirements: str) -> int:
    """Install all packages of a file of requirements, and return the exit status of uv or pip."""
    locked_uv = LOCKED_UV.search(Path(requirements).read_text(encoding="utf-8"))
    if not locked_uv:
        return run_until_signal([*PIP_INSTALL, "--requirement", requirements])
    status = _install_with_uv(requirements, locked_uv[0])
    if status == 0 or status > SIGNALLED:
        return status
    print("Python: uv did not install the packages; pip does it now", file=sys.stderr)
    # pip would take a package that uv has left half installed for a whole one.
    return run_until_signal([*PIP_INSTALL, "--ignore-installed", "--requirement", requirements])


def _install_with_uv(requirements: str, locked_uv: str) -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as uv_alone:
        uv_alone.write(locked_uv)
        uv_alone.flush()
        status = run_until_signal([*PIP_INSTALL, "--requirement", uv_alone.name])
    if status:
        return status
    listed = _run_pip_config("list")
    if listed is None:
        return 1
    options = read_pip_options(listed, lambda name: _run_pip_config("get", name) or "")
    no_index = ["--no-index"] if options.get("no-index", "").lower() in TRUE else []
    try:
        return run_until_signal(
            [*UV_INSTALL, *no_index, "--requirement", requirements],
            environment={**os.environ, **uv_environment(options)},
        )
    except OSError:  # uv is not for this machine
        return 1


def _run_pip_config(*arguments: str) -> str | None:
    command = [PYTHON, "-m", "pip", "config", *arguments]
    done = subprocess.run(command, text=True, capture_output=True, check=False)  # noqa: S603 - our own
    return None if done.returncode else done.stdout


if __name__ == "__main__":
    sys.exit(install(sys.argv[1]))
