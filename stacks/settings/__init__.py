"""What an environment may say: one frozen model per part, every field described.

Intent: whatever AWS, Kubernetes or GitLab Runner would refuse an hour into a deployment is refused
here, before anything is synthesized. The descriptions become docs/settings.md.
Not here: reading the YAML file and wording the messages (file.py). No cdktf import.
"""

import re
from itertools import combinations

from pydantic import Field, ValidationInfo, field_validator

from stacks.settings.aws import AwsSettings
from stacks.settings.cluster import ClusterSettings
from stacks.settings.model import MAP_KEY_RULE, MapKey, SettingsModel, refuse
from stacks.settings.network import NetworkSettings
from stacks.settings.runners import AutoscalerSettings, RunnerSettings


class Settings(SettingsModel):
    """Everything that one environment says."""

    environment: str = Field(
        description="The file's name is the environment's name: up to 20 of a-z, 0-9 and -, starting "
        "with a letter, not ending with -.",
        pattern=r"^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$",
    )
    aws: AwsSettings = Field(description="Account and region.")
    network: NetworkSettings = Field(description="The network stack.")
    cluster: ClusterSettings = Field(description="The cluster stack.")
    autoscaler: AutoscalerSettings = Field(
        default=AutoscalerSettings(), description="The cluster autoscaler."
    )
    runners: dict[MapKey, RunnerSettings] = Field(
        description=f"Runner fleets by name, one at least; {MAP_KEY_RULE}.", min_length=1
    )

    @field_validator("network")
    @classmethod
    def _zones_are_of_the_region(cls, network: NetworkSettings, info: ValidationInfo) -> NetworkSettings:
        region = info.data["aws"].region if "aws" in info.data else ""
        refuse(
            (("availability_zones", str(index)), zone, f"must be a zone of the region, such as {region}a")
            for index, zone in enumerate(network.availability_zones)
            if region and not re.fullmatch(rf"{region}[a-z]", zone)
        )
        return network

    @field_validator("runners")
    @classmethod
    def _tokens_are_not_shared(cls, runners: dict[str, RunnerSettings]) -> dict[str, RunnerSettings]:
        refuse(
            (
                (other_name, "token_parameter"),
                other.token_parameter,
                f"must be a parameter of its own: the fleet {name} reads this one",
            )
            for (name, fleet), (other_name, other) in combinations(runners.items(), 2)
            if fleet.token_parameter == other.token_parameter
        )
        return runners
