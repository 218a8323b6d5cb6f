"""Remote state: where each stack keeps its state, what it publishes, how the next one reads it.

Intent: the only file that knows of Terraform's backends and outputs.
Not here: the bucket and the keys (backend.py); what the outputs are (each stack's Outputs dataclass).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from cdktf import DataTerraformRemoteStateS3, S3Backend, TerraformOutput, TerraformStack, Token
from constructs import Construct

from stacks.backend import state_key
from stacks.settings.aws import EMULATOR_CREDENTIALS, AwsSettings

Outputs = TypeVar("Outputs")


@dataclass(frozen=True)
class Environment:
    """What every stack of one environment shares.

    `name` is where state is kept and what tags say; `name_prefix` is what names in AWS begin with, and
    stays when an environment is renamed.
    """

    name: str
    name_prefix: str
    aws: AwsSettings
    backend: Mapping[str, Any]

    def state(self, stack: str) -> dict[str, Any]:
        """Return the arguments of Terraform's `s3` backend for the state of one stack."""
        return {**self.backend, "key": state_key(self.name, stack), **_emulator_options(self.aws)}


def _emulator_options(aws: AwsSettings) -> dict[str, Any]:
    """Return what makes Terraform's own S3 client talk to the emulated AWS; nothing for a real one."""
    if not aws.is_local:
        return {}
    return {
        "endpoints": {"s3": aws.endpoint_url},
        **EMULATOR_CREDENTIALS,
        "use_path_style": True,
        "skip_credentials_validation": True,
        "skip_metadata_api_check": True,
        "skip_requesting_account_id": True,
        "max_retries": 2,
    }


def use_backend(stack: TerraformStack, environment: Environment) -> None:
    """Keep the state of `stack` in the environment's bucket, under its own key."""
    arguments = environment.state(stack.node.id)
    # The binding makes cdktf drop its default local backend, but knows no `use_lockfile` (0.21).
    lock = arguments.pop("use_lockfile")
    S3Backend(stack, **arguments)
    stack.add_override("terraform.backend.s3.use_lockfile", lock)


def output(description: str) -> Any:
    """Declare a field of an Outputs dataclass with the description that consumers read."""
    return field(metadata={"description": description})


def publish_outputs(stack: TerraformStack, outputs: object) -> None:
    """Make every field of an Outputs dataclass a Terraform output of the same name."""
    for item in fields(outputs):  # type: ignore[arg-type]
        TerraformOutput(
            stack,
            item.name,
            value=getattr(outputs, item.name),
            description=item.metadata["description"],
        )


def read_outputs(
    scope: Construct, stack: str, outputs: type[Outputs], *, environment: Environment
) -> Outputs:
    """Return the outputs that the stack of this id published, from its remote state."""
    arguments = environment.state(stack)
    state = DataTerraformRemoteStateS3(scope, stack, bucket=arguments["bucket"], key=arguments["key"])
    state.add_override("config", arguments)
    read: dict[Any, Callable[[str], Any]] = {
        str: state.get_string,
        list[str]: state.get_list,
        dict[str, str]: lambda name: Token.as_string_map(state.get(name)),
    }
    return outputs(**{item.name: read[item.type](item.name) for item in fields(outputs)})  # type: ignore[arg-type]
