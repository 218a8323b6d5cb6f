"""Settings of the alarms."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from stacks.settings.model import SettingsModel, find_duplicates, refuse

EmailAddress = Annotated[str, Field(pattern=r"^[^@\s]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$", max_length=254)]


class AlarmSettings(SettingsModel):
    """Alarms of the cluster, its nodes and its way to the internet, and where they are sent.

    docs/operations.md lists them. An empty block makes the topic without a subscription.
    """

    emails: tuple[EmailAddress, ...] = Field(
        default=(),
        description="Up to 10 email addresses that get the alarms, such as [ops@example.com]. SNS asks each "
        "of them to confirm; an address that does not confirm gets nothing.",
        max_length=10,
    )
    sns_topic_arn: (
        Annotated[str, Field(pattern=r"^arn:aws(-[a-z-]+)?:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$")]
        | None
    ) = Field(
        default=None,
        description="ARN of an existing SNS topic of the environment's region that gets the alarms, such as "
        "arn:aws:sns:eu-central-1:123456789012:ops, instead of a new topic. Its policy must let "
        "cloudwatch.amazonaws.com and events.amazonaws.com publish.",
    )

    @field_validator("emails")
    @classmethod
    def _refuse_duplicates(cls, emails: tuple[str, ...]) -> tuple[str, ...]:
        refuse(find_duplicates(emails))
        return emails

    @model_validator(mode="after")
    def _require_one_way(self) -> Self:
        if self.emails and self.sns_topic_arn:
            accepted = "must not be set beside `sns_topic_arn`: subscribe them to that topic"
            refuse([(("emails",), list(self.emails), accepted)])
        return self
