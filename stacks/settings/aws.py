"""Where an environment lives."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from stacks.settings.model import PORT, Region, SettingsModel, refuse

# The emulator's placeholders. With them in place the credentials of a real account are never looked for.
EMULATOR_CREDENTIALS = {"access_key": "local", "secret_key": "local"}

# "Tag your AWS resources": characters and lengths that every service takes.
TagKey = Annotated[str, Field(pattern=r"^[\w .:/=+@-]+$", max_length=128)]
TagValue = Annotated[str, Field(pattern=r"^[\w .:/=+@-]*$", max_length=256)]


class AwsSettings(SettingsModel):
    """The account and region that an environment lives in."""

    region: Region = Field(description="AWS region, such as eu-central-1.")
    endpoint_url: str | None = Field(
        default=None,
        description="Only for an emulated AWS: its http:// URL on this machine without a path, such as "
        "http://127.0.0.1:4566. It makes the environment a local one; without it the environment is a "
        "real account.",
        pattern=rf"^http://(127\.0\.0\.1|localhost|\[::1\]){PORT}/?$",
    )
    account_id: str | None = Field(
        default=None,
        description="The 12-digit account, in quotes, that may be touched; required for a real account, and "
        "Terraform refuses to work with credentials of any other.",
        pattern=r"^[0-9]{12}$",
    )
    tags: dict[TagKey, TagValue] = Field(
        default={},
        description="Tags put on every AWS resource that can carry them, besides `environment`: up to 40; "
        "letters, digits, spaces and _.:/=+@- in keys (up to 128) and values (up to 256, in quotes if "
        "they look like a number).",
        max_length=40,  # AWS: 50 a resource, some of which are ours
    )

    @field_validator("account_id")
    @classmethod
    def _real_account_is_named(cls, account_id: str | None, info: ValidationInfo) -> str | None:
        if account_id is None and "endpoint_url" in info.data and info.data["endpoint_url"] is None:
            raise ValueError("must be the 12-digit number of the AWS account that this environment may touch")
        return account_id

    @field_validator("tags")
    @classmethod
    def _tag_keys_are_free(cls, tags: dict[str, str]) -> dict[str, str]:
        # IAM compares keys without regard to case, and refuses a role that has one twice.
        keys = ["environment", *(key.lower() for key in tags)]
        refuse(
            ((key,), value, "must be a key that does not begin with aws:, which AWS keeps for itself")
            for key, value in tags.items()
            if key.lower().startswith("aws:")
        )
        refuse(
            ((key,), value, "must be a key of its own, upper and lower case alike; `environment` is set")
            for index, (key, value) in enumerate(tags.items(), start=1)
            if keys[index] in keys[:index]
        )
        return tags

    @property
    def is_local(self) -> bool:
        """Whether this is the emulated AWS of this machine."""
        return self.endpoint_url is not None
