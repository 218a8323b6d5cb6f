"""The base class of the tables below `kubernetes`, and their shared types."""

from typing import Annotated, Any, Self

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from stacks.settings.model import SettingsModel, refuse

# Kubernetes, "Object Names and IDs": DNS label, DNS subdomain.
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


class RunnerTable(SettingsModel):
    """A table of GitLab Runner's configuration: names and types are those of common/config.go of 18.9.

    The keys keep their order, so that the TOML is written in the order of the file.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _keep_order(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        keys = list(data) if isinstance(data, dict) else []
        accepted = "must be a value of the key's type; leave the key out if you don't need it"
        refuse(((key,), None, accepted) for key in keys if data[key] is None)
        table = validate(data)
        for key in keys:  # the ones that the file does not have come first; they are not written
            table.__dict__[key] = table.__dict__.pop(key)
        return table
