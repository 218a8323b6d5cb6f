"""Settings of the AWS account and region."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from stacks.settings.addresses import URL_PORT
from stacks.settings.model import Region, SettingsModel, refuse

# With these placeholders no program looks for the credentials of a real account.
EMULATOR_CREDENTIALS = {"access_key": "local", "secret_key": "local"}


def _write_integer_as_string(value: object) -> object:
    # Users write `cost_center: 4711`.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


# "Tag your AWS resources": characters and lengths that every service takes.
TagKey = Annotated[str, Field(pattern=r"^[\w .:/=+@-]+$", max_length=128)]
TagValue = Annotated[
    str, Field(pattern=r"^[\w .:/=+@-]*$", max_length=256), BeforeValidator(_write_integer_as_string)
]

PolicyArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws(-[a-z-]+)?:iam::(aws|[0-9]{12}):policy/([A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,128}$",
        max_length=640,
    ),
]

# AWS and EKS reserve the first two. The autoscaler and Kubernetes find Auto Scaling groups by the others.
_RESERVED_TAG_KEYS = ("aws:", "eks:", "k8s.io/", "kubernetes.io/")


class AwsSettings(SettingsModel):
    """The AWS account and region of an environment."""

    region: Region = Field(description="AWS region, such as eu-central-1.")
    endpoint_url: str | None = Field(
        default=None,
        description="URL of an emulated AWS on this machine, http:// and without a path, such as "
        "http://127.0.0.1:4566. With it the environment is a local one; without it Terraform works with a "
        "real account.",
        pattern=rf"^http://(127\.0\.0\.1|localhost|\[::1\]){URL_PORT}/?$",
    )
    account_id: str | None = Field(
        default=None,
        description="The 12-digit account ID, in quotes. Required for a real account: Terraform refuses "
        "credentials of any other account.",
        pattern=r"^[0-9]{12}$",
    )
    tags: dict[TagKey, TagValue] = Field(
        default={},
        description="Up to 40 tags for every AWS resource that can have tags, besides `environment`, and for "
        "the nodes with their volumes. A change replaces the nodes of all groups in a rolling update. Keys "
        "have up to 128 characters, values up to 256: letters, digits, spaces and _.:/=+@-. A value is a "
        "string or an integer.",
        max_length=40,  # AWS allows 50 a resource; some of them are the project's
    )
    permissions_boundary_arn: PolicyArn | None = Field(
        default=None,
        description="Managed policy that is the permissions boundary of every IAM role of the environment, "
        "such as arn:aws:iam::123456789012:policy/boundary. A change is an update in place. It must allow "
        "what the roles need: docs/operations.md lists it.",
    )
    role_path: str | None = Field(
        default=None,
        description="Path of every IAM role of the environment, such as /cicd/: letters, digits and _+=,.@- "
        "between slashes, up to 512 characters. Only for a new environment: another path replaces the "
        "roles, and with its role the cluster. Without it the path is /.",
        pattern=r"^/([A-Za-z0-9_+=,.@-]+/)*$",
        max_length=512,
    )

    @model_validator(mode="after")
    def _require_account_of_real_environment(self) -> Self:
        if self.account_id is None and self.endpoint_url is None:
            accepted = "must be the 12-digit number of the AWS account that Terraform may change"
            refuse([(("account_id",), None, accepted)])
        return self

    @model_validator(mode="after")
    def _require_boundary_of_this_account(self) -> Self:
        arn = self.permissions_boundary_arn
        if arn and self.account_id and arn.split(":")[4] not in ("aws", self.account_id):
            accepted = f"must be a policy of AWS or of this account, arn:aws:iam::{self.account_id}:policy/…"
            refuse([(("permissions_boundary_arn",), arn, accepted)])
        return self

    @field_validator("tags")
    @classmethod
    def _refuse_reserved_tag_keys(cls, tags: dict[str, str]) -> dict[str, str]:
        # IAM compares keys without regard to case, and refuses a role that has one twice.
        keys = ["environment", *(key.lower() for key in tags)]
        refuse(
            ((key,), value, f"must be a key that does not begin with {', '.join(_RESERVED_TAG_KEYS)}")
            for key, value in tags.items()
            if key.lower().startswith(_RESERVED_TAG_KEYS)
        )
        refuse(
            ((key,), value, "must differ from `environment` and the keys before it in more than case")
            for index, (key, value) in enumerate(tags.items(), start=1)
            if keys[index] in keys[:index]
        )
        return tags

    @property
    def is_local(self) -> bool:
        """Whether the environment is an emulated AWS on this machine."""
        return self.endpoint_url is not None
