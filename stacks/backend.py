"""Where state lies: `backend.tf.json`, the one place that names the bucket, and each state's key in it.

Not here: what Terraform makes of it (state.py). No cdktf import.
"""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stacks.errors import UserError
from stacks.settings.model import Region

# Amazon S3, "General purpose bucket naming rules".
Bucket = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]|\.[a-z0-9]){1,61}[a-z0-9]$", max_length=63)]

# Terraform, "CLI Configuration File", "Implied Local Mirror Directories".
PROVIDER_LINK = Path("terraform.d/plugins")
PROVIDER_LOCK = ".terraform.lock.hcl"

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


def forget_other_environments(output: Path, *, is_local: bool) -> None:
    """Remove from the stacks' folders what Terraform keeps there about another environment.

    Terraform records the backend of the last `init`. For another backend `init` would offer to migrate the
    state. Only this record is deleted, never a state. Only the local environment uses a provider mirror of
    this machine: for others its link goes, with the lock file and the providers that came from it.

    Args:
        output: The folder that was synthesized to.
        is_local: Whether the environment is on the emulated AWS.

    """
    for folder in output.glob("stacks/*"):
        record = folder / ".terraform" / "terraform.tfstate"
        if record.exists() and _read_recorded_backend(record) != _read_synthesized_backend(folder):
            record.unlink()
        link = folder / PROVIDER_LINK
        if link.is_symlink() and not is_local:
            link.unlink()
            (folder / PROVIDER_LOCK).unlink(missing_ok=True)
            shutil.rmtree(folder / ".terraform" / "providers", ignore_errors=True)


def _read_recorded_backend(record: Path) -> Any:
    return _drop_unset(json.loads(record.read_text(encoding="utf-8")).get("backend", {}).get("config"))


def _read_synthesized_backend(folder: Path) -> Any:
    document = json.loads((folder / "cdk.tf.json").read_text(encoding="utf-8"))
    return document["terraform"]["backend"]["s3"]


def _drop_unset(value: Any) -> Any:
    """Return the value without the arguments that are not set."""
    if not isinstance(value, dict):
        return value
    return {name: _drop_unset(item) for name, item in value.items() if item is not None}


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
