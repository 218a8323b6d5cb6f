"""Settings of the record of approvals."""

from pydantic import Field

from stacks.settings.model import SettingsModel


class ApprovalSettings(SettingsModel):
    """How long an approval counts, and the key that signs the record of approvals."""

    valid_days: int = Field(
        default=7,
        description="Days for which an approval counts, 1 to 90. `approve --valid-for` may give fewer.",
        ge=1,
        le=90,
    )
    kms_key_arn: str | None = Field(
        default=None,
        description="ARN of a KMS key of the spec ECC_NIST_P256 for signing, such as "
        "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab. Approvals are "
        "signed with it, and others don't count. Without it they are not signed.",
        pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$",
    )

    @property
    def kms_region(self) -> str:
        """The key's region."""
        return (self.kms_key_arn or "").split(":")[3]
