"""Where an environment lives."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from stacks.settings.model import SettingsModel

# The emulator's placeholders. With them in place the credentials of a real account are never looked for.
EMULATOR_CREDENTIALS = {"access_key": "local", "secret_key": "local"}

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")

# "Tag your AWS resources": characters and lengths that every service takes.
TagKey = Annotated[str, Field(pattern=r"^[\w .:/=+@-]+$", max_length=128)]
TagValue = Annotated[str, Field(pattern=r"^[\w .:/=+@-]*$", max_length=256)]


class AwsSettings(SettingsModel):
    """The account and region that an environment lives in."""

    region: str = Field(description="AWS region, such as eu-central-1.", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    endpoint_url: str | None = Field(
        default=None,
        description="Only for an emulated AWS: its URL on this machine, such as http://127.0.0.1:4566. "
        "It makes the environment a local one; without it the environment is a real account.",
    )
    account_id: str | None = Field(
        default=None,
        description="The 12-digit account that may be touched; required for a real account, and "
        "Terraform refuses to work with credentials of any other.",
        pattern=r"^\d{12}$",
    )
    tags: dict[TagKey, TagValue] = Field(
        default={}, description="Tags put on every AWS resource that can carry them."
    )

    @field_validator("endpoint_url")
    @classmethod
    def _emulator_is_on_this_machine(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "http://localhost")
        if parts.scheme != "http" or parts.hostname not in LOOPBACK_HOSTS or parts.path.strip("/"):
            message = "must be an http:// URL of this machine (127.0.0.1 or localhost) without a path"
            raise ValueError(message)
        return url

    @field_validator("account_id")
    @classmethod
    def _real_account_is_named(cls, account_id: str | None, info: ValidationInfo) -> str | None:
        if account_id is None and "endpoint_url" in info.data and info.data["endpoint_url"] is None:
            message = "must be the 12-digit number of the AWS account that this environment may touch"
            raise ValueError(message)
        return account_id

    @property
    def is_local(self) -> bool:
        """Whether this is the emulated AWS of this machine."""
        return self.endpoint_url is not None
