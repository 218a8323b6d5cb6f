"""The state bucket that `backend.tf.json` names, and the key of each state in it.

Not here: Terraform's backend blocks (state.py). No cdktf import.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stacks.errors import UserError
from stacks.settings.limited_yaml import MAX_BYTES, LargeFileError, read_limited
from stacks.settings.load import PROJECT
from stacks.settings.messages import escape_control_characters, shorten
from stacks.settings.model import Region

# Terraform, "CLI Configuration File", "Implied Local Mirror Directories".
PROVIDER_LINK = Path("terraform.d/plugins")
PROVIDER_LOCK = ".terraform.lock.hcl"
_LOCKED = re.compile(r'^provider "(.+)" \{\n +version += "(.+)"$', re.MULTILINE)

_ACCEPTED = "terraform.backend.s3 with bucket, region, encrypt and use_lockfile, and no other key"


class BackendError(UserError):
    """Terraform or this project can't use backend.tf.json."""


class Backend(BaseModel):
    """The arguments of the s3 backend that all states share; the descriptions say what is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # Amazon S3, "General purpose bucket naming rules".
    bucket: Annotated[
        str, Field(pattern=r"^[a-z0-9]([a-z0-9-]|\.[a-z0-9]){1,61}[a-z0-9]$", max_length=63)
    ] = Field(description="a bucket name: 3 to 63 of a-z, 0-9, - and ., such as cicd-terraform-state")
    region: Region = Field(description="an AWS region, such as eu-central-1")
    encrypt: Literal[True] = Field(description="true")
    use_lockfile: Literal[True] = Field(description="true")


def read_backend(path: Path) -> Backend:
    """Read the one s3 backend of `backend.tf.json`.

    Raises:
        BackendError: If the file has anything but one s3 backend with these four arguments.

    """
    try:
        arguments = json.loads(read_limited(path), object_pairs_hook=_build_map)
    except (OSError, UnicodeDecodeError) as error:
        raise BackendError(f"{path.name}: can't be read: {error}") from None
    except LargeFileError:
        raise BackendError(
            f"{path.name}: larger than {MAX_BYTES // 1000} kB. Accepted: {_ACCEPTED}"
        ) from None
    except (ValueError, RecursionError):  # also a number of thousands of digits
        raise BackendError(f"{path.name}: not valid JSON. Accepted: {_ACCEPTED}") from None
    for key in ("terraform", "backend", "s3"):
        if not isinstance(arguments, dict) or set(arguments) != {key}:
            raise BackendError(f"{path.name}: is not one s3 backend. Accepted: {_ACCEPTED}")
        arguments = arguments[key]
    try:
        return Backend.model_validate(arguments)
    except ValidationError as error:
        lines = [f"{path.name}: terraform.backend.s3{_describe(item)}" for item in error.errors()]
        raise BackendError("\n".join(lines)) from None


def _build_map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a map of JSON; Python's parser would take the last one of two equal keys without a word."""
    built = dict(pairs)
    if len(built) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BackendError(f"backend.tf.json: {_show(twice)}: the same key twice. Accepted: {_ACCEPTED}")
    return built


def state_key(environment: str, stack: str) -> str:
    """Return the key of one stack's state in the bucket: `<environment>/<stack>.tfstate`."""
    return f"{environment}/{stack}.tfstate"


def _describe(mistake: Any) -> str:
    key = ".".join(map(str, mistake["loc"]))
    field = Backend.model_fields.get(key)
    if field is None:
        # The value is not shown: it may be a credential.
        return f"{'.' * bool(key)}{_show(key)}: unknown here. Accepted: {_ACCEPTED}"
    value = "missing" if mistake["type"] == "missing" else _show(json.dumps(mistake["input"]))
    return f".{key}: {value}. Accepted: {field.description}"


def _show(text: str) -> str:
    return escape_control_characters(shorten(text))


def find_output_folder() -> Path:
    """Return the folder that the stacks are synthesized to: CDKTF_OUTDIR, or cdktf.out."""
    return Path(os.environ.get("CDKTF_OUTDIR") or PROJECT / "cdktf.out").resolve()


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
        if record.exists() and _read_recorded_backend(record) != _read_synthesized(folder)["backend"]["s3"]:
            record.unlink()
        link = folder / PROVIDER_LINK
        if link.is_symlink() and not is_local:
            link.unlink()
            (folder / PROVIDER_LOCK).unlink(missing_ok=True)
            shutil.rmtree(folder / ".terraform" / "providers", ignore_errors=True)


def forget_other_versions(output: Path) -> None:
    """Remove each lock file that holds another version of a provider than the stack requires.

    `terraform init` refuses such a lock file. The stacks require exact versions, so it holds no choice.
    """
    for lock in output.glob(f"stacks/*/{PROVIDER_LOCK}"):
        locked = dict(_LOCKED.findall(lock.read_text(encoding="utf-8")))
        required = _read_synthesized(lock.parent)["required_providers"].values()
        if any(locked.get(item["source"], item["version"]) != item["version"] for item in required):
            lock.unlink()


def _read_recorded_backend(record: Path) -> Any:
    return _drop_unset(json.loads(record.read_text(encoding="utf-8")).get("backend", {}).get("config"))


def _read_synthesized(folder: Path) -> Any:
    return json.loads((folder / "cdk.tf.json").read_text(encoding="utf-8"))["terraform"]


def _drop_unset(value: Any) -> Any:
    """Return the value without the arguments that are not set."""
    if not isinstance(value, dict):
        return value
    return {name: _drop_unset(item) for name, item in value.items() if item is not None}
