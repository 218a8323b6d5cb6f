"""Where state lies: `backend.tf.json`, the one place that names the bucket, and each state's key in it.

Not here: what Terraform makes of it (state.py). No cdktf import.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stacks.errors import UserError
from stacks.settings.model import Region

# Amazon S3, "General purpose bucket naming rules".
Bucket = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]|\.[a-z0-9]){1,61}[a-z0-9]$", max_length=63)]

_ACCEPTED = {
    "bucket": "a bucket name: 3 to 63 of a-z, 0-9, - and ., such as cicd-terraform-state",
    "region": "an AWS region, such as eu-central-1",
    "encrypt": "true",
    "use_lockfile": "true",
}


class BackendError(UserError):
    """backend.tf.json is not what Terraform and this project can both read."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _S3(_Model):
    bucket: Bucket
    region: Region
    encrypt: Literal[True]
    use_lockfile: Literal[True]


class _Backend(_Model):
    s3: _S3


class _Terraform(_Model):
    backend: _Backend


class _Document(_Model):
    terraform: _Terraform


def read_backend(path: Path) -> dict[str, Any]:
    """Return the arguments of the s3 backend in `backend.tf.json`.

    Raises:
        BackendError: If it has anything but one s3 backend with the four arguments that we rely on.

    """
    try:
        document = _Document.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BackendError(f"{path.name}: can't be read: {error}") from None
    except ValidationError as error:
        raise BackendError("\n".join(f"{path.name}: {_worded(item)}" for item in error.errors())) from None
    return document.terraform.backend.s3.model_dump()


def state_key(environment: str, stack: str) -> str:
    """Return the key of one stack's state in the bucket: `<environment>/<stack>.tfstate`."""
    return f"{environment}/{stack}.tfstate"


def _worded(mistake: Any) -> str:
    if mistake["type"] == "json_invalid":
        return "not valid JSON. Accepted: what Terraform reads as the backend s3"
    path = ".".join(map(str, mistake["loc"])) or "the document"
    accepted = _ACCEPTED.get(path.rpartition(".")[2], "a mapping")
    if mistake["type"] == "extra_forbidden":  # its value may be a credential
        return f"{path}: unknown here. Accepted: terraform.backend.s3 with {', '.join(_ACCEPTED)}"
    if mistake["type"] == "missing":
        return f"{path}: missing. Accepted: {accepted}"
    return f"{path}: {json.dumps(mistake['input'])}. Accepted: {accepted}"
