"""Check the versions of Python, Node.js and Terraform before the set-up.

This file runs on every Python 3, so that an old one gets a message and no syntax error.
"""
# ruff: noqa: TC003, UP032

import json
import re
import subprocess
import sys
from collections.abc import Iterator


def find_problems() -> "Iterator[str]":
    """Yield a message for each tool that is missing or too old."""
    if sys.version_info < (3, 11, 5):  # soupsieve 4.1.3
        yield "Python 3.11.5 or newer is needed, this is {}; PYTHON=<command> names another".format(
            sys.version.split()[0]
        )
    for name, command, wanted in (
        ("Node.js", ["node", "--version"], (20, 0)),
        ("npm", ["npm", "--version"], (0, 0)),
        ("Terraform", ["terraform", "version", "-json"], (1, 11)),
    ):
        needed = "{} {}.{} or newer is needed".format(name, *wanted) if any(wanted) else name + " is needed"
        try:
            printed = subprocess.check_output(command, stderr=subprocess.DEVNULL).decode()  # noqa: S603
            text = json.loads(printed)["terraform_version"] if name == "Terraform" else printed.strip()
        except (OSError, subprocess.CalledProcessError, KeyError, TypeError, ValueError):
            yield needed + " on the PATH"
            continue
        found = tuple(int(number) for number in re.findall(r"[0-9]+", text)[:2])
        if found < wanted:
            yield "{}, this is {}".format(needed, text)


if __name__ == "__main__":
    PROBLEMS = list(find_problems())
    if PROBLEMS:
        sys.exit("\n".join(PROBLEMS))
