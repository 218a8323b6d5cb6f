"""Read `backend.tf.json`, the one place that names the state bucket.

Not here: which key a stack's state has (state.py). No cdktf import.
"""

import json
from pathlib import Path
from typing import Any

BACKEND_ARGUMENTS = {"bucket": str, "region": str, "encrypt": bool, "use_lockfile": bool}


class BackendError(Exception):
    """backend.tf.json is not what Terraform and this project can both read."""


def read_backend(path: Path) -> dict[str, Any]:
    """Return the arguments of the s3 backend in `backend.tf.json`.

    Raises:
        BackendError: If it has anything but one s3 backend with the four arguments that we rely on.

    """
    accepted = '{"bucket": "<name>", "region": "<region>", "encrypt": true, "use_lockfile": true}'
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        arguments: dict[str, Any] = document["terraform"]["backend"]["s3"]
        kinds = {name: type(value) for name, value in arguments.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path.name}: no terraform.backend.s3 ({error!r}). Accepted there: {accepted}"
        raise BackendError(message) from None
    if kinds != BACKEND_ARGUMENTS:
        message = f"{path.name}: terraform.backend.s3: {json.dumps(arguments)}. Accepted: {accepted}"
        raise BackendError(message)
    return arguments
