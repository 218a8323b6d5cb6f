"""Environment: the values that all stacks of one environment share. No cdktf import."""

from dataclasses import dataclass
from typing import Any

from stacks.backend import Backend, state_key
from stacks.settings.aws import EMULATOR_CREDENTIALS, AwsSettings
from stacks.settings.versions import VersionSettings


@dataclass(frozen=True)
class Environment:
    """One environment, as every stack sees it.

    `name` is part of each state's key and of each tag. Names in AWS begin with `resource_prefix`, which
    stays when an environment is renamed.
    """

    name: str
    resource_prefix: str
    aws: AwsSettings
    backend: Backend
    versions: VersionSettings

    @property
    def tags(self) -> dict[str, str]:
        """The tags of every AWS resource that can have tags."""
        return {"environment": self.name, **self.aws.tags}

    def backend_arguments(self, stack: str) -> dict[str, Any]:
        """Return the arguments of Terraform's `s3` backend for the state of one stack."""
        return {
            **self.backend.model_dump(),
            "key": state_key(self.name, stack),
            **_build_emulator_options(self.aws),
        }


def _build_emulator_options(aws: AwsSettings) -> dict[str, Any]:
    """Return the options that send Terraform's own S3 client to the emulated AWS; none for a real one."""
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
