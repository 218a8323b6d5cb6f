"""Remote state: each stack's backend and outputs, and the data source that reads them.

Intent: no other file uses Terraform's backends and outputs.
Not here: the bucket and the keys (backend.py); the outputs themselves (each stack's Outputs dataclass).
"""

from dataclasses import field, fields
from typing import Any, TypeVar

from cdktf import DataTerraformRemoteStateS3, S3Backend, TerraformOutput, TerraformStack, Token
from constructs import Construct

from stacks.environment import Environment

Outputs = TypeVar("Outputs")


def use_backend(stack: TerraformStack, environment: Environment) -> None:
    """Keep the state of `stack` in the environment's bucket, under its own key."""
    arguments = environment.backend_arguments(stack.node.id)
    # S3Backend replaces cdktf's default local backend, but has no argument `use_lockfile` (0.21).
    lock = arguments.pop("use_lockfile")
    S3Backend(stack, **arguments)
    stack.add_override("terraform.backend.s3.use_lockfile", lock)


def output(description: str) -> Any:
    """Declare a field of an Outputs dataclass, with the description that consumers read."""
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
    """Return the outputs that another stack published, as references to its remote state."""
    arguments = environment.backend_arguments(stack)
    state = DataTerraformRemoteStateS3(scope, stack, bucket=arguments["bucket"], key=arguments["key"])
    state.add_override("config", arguments)
    read: dict[Any, Any] = {
        str: state.get_string,
        list[str]: state.get_list,
        dict[str, str]: lambda name: Token.as_string_map(state.get(name)),
    }
    return outputs(**{item.name: read[item.type](item.name) for item in fields(outputs)})  # type: ignore[arg-type]
