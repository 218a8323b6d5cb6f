"""What an environment may say: one frozen model per part, every field described.

Intent: whatever AWS, Kubernetes or GitLab Runner would refuse an hour into a deployment is refused
here, before anything is synthesized. The descriptions become docs/settings.md.
Not here: reading the YAML file and wording the messages (file.py). No cdktf import.
"""

import re
from itertools import combinations
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from stacks.settings.aws import AwsSettings
from stacks.settings.cluster import ClusterSettings
from stacks.settings.model import MAP_KEY_RULE, MapKey, SettingsModel, refuse
from stacks.settings.network import NetworkSettings
from stacks.settings.runners import AutoscalerSettings, RunnerSettings

EnvironmentName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$")]


class Settings(SettingsModel):
    """Everything that one environment says."""

    environment: EnvironmentName = Field(
        description="The file's name is the environment's name: up to 20 of a-z, 0-9 and -, starting "
        "with a letter, not ending with -.",
    )
    aws: AwsSettings = Field(description="Account and region.")
    network: NetworkSettings = Field(description="The network stack.")
    protect_running_jobs: bool = Field(
        default=True,
        description="Keep nodes that run jobs: job pods are marked not safe to evict and covered by a pod "
        "disruption budget, each node group is made once per zone (so that no Auto Scaling group moves "
        "nodes between zones), and managers let their jobs finish. Changing it replaces the node groups.",
    )
    cluster: ClusterSettings = Field(description="The cluster stack.")
    autoscaler: AutoscalerSettings = Field(
        default=AutoscalerSettings(), description="The cluster autoscaler."
    )
    cache_expiration_days: int = Field(
        default=30,
        description="How long the fleets' S3 cache keeps what no job uploads again, 1 to 3650 days.",
        ge=1,
        le=3650,
    )
    runners: dict[MapKey, RunnerSettings] = Field(
        description=f"Runner fleets by name, one at least; {MAP_KEY_RULE}.", min_length=1
    )
    name_prefix: EnvironmentName | None = Field(
        default=None,
        description="What names in AWS begin with (`<name_prefix>-<thing>`); without it, the environment's "
        "name. Only for an environment that was renamed: its old name, up to 20 of a-z, 0-9 and -, starting "
        "with a letter, not ending with -. Another prefix replaces roles and the cluster.",
    )

    @property
    def resource_prefix(self) -> str:
        """What names in AWS begin with."""
        return self.name_prefix or self.environment

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

    @field_validator("autoscaler")
    @classmethod
    def _prioritized_groups_exist(
        cls, autoscaler: AutoscalerSettings, info: ValidationInfo
    ) -> AutoscalerSettings:
        cluster = info.data.get("cluster")
        refuse(
            (
                ("expander_priorities", name),
                priority,
                f"must be the priority of one of {', '.join(cluster.node_groups)}",
            )
            for name, priority in autoscaler.expander_priorities.items()
            if cluster and name not in cluster.node_groups
        )
        return autoscaler

    @field_validator("runners")
    @classmethod
    def _jobs_have_nodes(
        cls, runners: dict[str, RunnerSettings], info: ValidationInfo
    ) -> dict[str, RunnerSettings]:
        groups = info.data["cluster"].node_groups if "cluster" in info.data else {}
        refuse(
            ((fleet, "node_groups", str(index)), name, f"must be one of {', '.join(groups)}")
            for fleet, runner in runners.items()
            for index, name in enumerate(runner.node_groups)
            if groups and name not in groups
        )
        if groups:
            kinds = ", ".join(f"{name} is {group.architecture}" for name, group in groups.items())
            mixed = (
                "must name groups of one architecture (empty: every group without taints), since GitLab "
                f"Runner takes its helper image for one; {kinds}"
            )
            refuse(
                (
                    (name, "node_groups"),
                    list(runner.node_groups),
                    mixed,
                )
                for name, runner in runners.items()
                if len({group.architecture for group in runner.placed_on(groups).values()}) != 1
            )
        return runners

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
