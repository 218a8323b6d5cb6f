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
from pathlib import Path

from tools.set_up import run_until_signal

PYTHON = ".venv/bin/python"
PIP_INSTALL = (PYTHON, "-m", "pip", "install", "--quiet", "--no-compile")
UV_INSTALL = (".venv/bin/uv", "pip", "install", "--quiet", "--python", PYTHON, "--require-hashes")
SIGNALLED = 128
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


def uv_environment(pip_options: str) -> dict[str, str]:
    """Return the environment variables with which uv uses the package indexes that pip is configured for.

    Args:
        pip_options: The output of `pip config list`: a line of `section.option='value'` each.

    """
    found: dict[str, str] = {}
    # pip's own order: its variables win over the section of a command, which wins over `global`.
    for section in ("global.", "install.", ":env:."):
        for line in pip_options.splitlines():
            name, _, value = line.partition("=")
            variable = UV_VARIABLES.get(name.removeprefix(section)) if name.startswith(section) else None
            if variable:
                found[variable] = " ".join(str(ast.literal_eval(value)).split())
    if "UV_FIND_LINKS" in found:
        found["UV_FIND_LINKS"] = found["UV_FIND_LINKS"].replace(" ", ",")
    # The hash decides which file is right, and not the index that has it.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_PYTHON_DOWNLOADS": "never", **found}


def install(requirements: str) -> int:
    """Install all packages of a file of requirements, and return the exit status of uv or pip."""
    locked_uv = LOCKED_UV.search(Path(requirements).read_text(encoding="utf-8"))
    status = _install_with_uv(requirements, locked_uv[0]) if locked_uv else 1
    if status == 0 or status > SIGNALLED:
        return status
    if locked_uv:
        print("Python: uv did not install the packages; pip does it now", file=sys.stderr)
    return run_until_signal([*PIP_INSTALL, "--requirement", requirements])


def _install_with_uv(requirements: str, locked_uv: str) -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as uv_alone:
        uv_alone.write(locked_uv)
        uv_alone.flush()
        status = run_until_signal([*PIP_INSTALL, "--requirement", uv_alone.name])
    if status:
        return status
    configuration = [PYTHON, "-m", "pip", "config", "list"]
    options = subprocess.run(configuration, text=True, capture_output=True, check=False)  # noqa: S603 - our own
    environment = {**os.environ, **uv_environment(options.stdout)}
    try:
        return run_until_signal([*UV_INSTALL, "--requirement", requirements], environment=environment)
    except OSError:  # uv is not for this machine
        return 1


if __name__ == "__main__":
    sys.exit(install(sys.argv[1]))
