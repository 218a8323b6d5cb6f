"""The settings of an environment: one frozen model per section, with a description of every field.

The models refuse values that AWS, Kubernetes or GitLab Runner would refuse an hour into a deployment.
The descriptions become docs/settings.md and parts of messages.
Not here: reading the YAML file (load.py). No cdktf import, so that a mistake is reported at once.
"""

import re
from collections.abc import Iterator
from itertools import product
from typing import Annotated, Self

from pydantic import Field, model_validator

from stacks.settings.alarms import AlarmSettings
from stacks.settings.approvals import ApprovalSettings
from stacks.settings.autoscaler import AutoscalerSettings
from stacks.settings.aws import AwsSettings
from stacks.settings.cluster import ClusterSettings
from stacks.settings.model import MAP_KEY_RULE, MapKey, Mistake, SettingsModel, refuse
from stacks.settings.network import NetworkSettings
from stacks.settings.runners import RunnerSettings
from stacks.settings.versions import PROVIDERS, VersionSettings
from stacks.settings.waiting_times import WaitingTimeSettings
from stacks.versions import AWS_PROVIDER_6_SETTINGS, CLUSTER_AUTOSCALER_IMAGE_TAGS

# Amazon EKS, "View and manage Amazon EKS and Fargate service quotas": managed node groups per cluster.
MAX_NODE_GROUPS = 30

EnvironmentName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$")]


class Settings(SettingsModel):
    """All settings of one environment."""

    environment: EnvironmentName = Field(
        description="The file's name is the environment's name: up to 20 characters of a-z, 0-9 and -. It "
        "starts with a letter and does not end with -.",
    )
    aws: AwsSettings = Field(description="The AWS account and region.")
    network: NetworkSettings = Field(description="The VPC and its subnets.")
    protect_running_jobs: bool = Field(
        default=True,
        description="Keep nodes that run jobs. Job pods are marked not safe to evict, and a "
        "PodDisruptionBudget covers them. Each node group is created once per zone, so that no Auto "
        "Scaling group moves nodes between zones. Managers wait for their jobs before they stop. Changing "
        "this setting replaces the node groups.",
    )
    cluster: ClusterSettings = Field(description="The EKS cluster, access to it, and its node groups.")
    autoscaler: AutoscalerSettings = Field(
        default=AutoscalerSettings(), description="The cluster autoscaler."
    )
    approvals: ApprovalSettings = Field(
        default=ApprovalSettings(), description="The record of approvals of dangerous plans."
    )
    cache_expiration_days: int = Field(
        default=30,
        description="Days until an unused object in the fleets' S3 cache expires, 1 to 3650.",
        ge=1,
        le=3650,
    )
    runners: dict[MapKey, RunnerSettings] = Field(
        description=f"Runner fleets by name, at least one; {MAP_KEY_RULE}.", min_length=1
    )
    alarms: AlarmSettings | None = Field(
        default=None,
        description="CloudWatch alarms, and the SNS topic that they are sent to. Without the block there are "
        "none.",
    )
    waiting_times: WaitingTimeSettings = Field(
        default=WaitingTimeSettings(),
        description="What `make jobs` expects of the time until a job runs on a new node. Nothing else reads "
        "it.",
    )
    versions: VersionSettings = Field(
        default=VersionSettings(),
        description="Versions of charts, providers and the autoscaler's image. Without the block they are "
        "the tested ones.",
    )
    name_prefix: EnvironmentName | None = Field(
        default=None,
        description="Start of all names in AWS (`<name_prefix>-<name>`); by default the environment's name. "
        "Only for an environment that was renamed: its old name, up to 20 characters of a-z, 0-9 and -, "
        "starting with a letter, not ending with -. Another prefix replaces roles and the cluster.",
    )

    @property
    def resource_prefix(self) -> str:
        """Start of all names in AWS."""
        return self.name_prefix or self.environment

    @model_validator(mode="after")
    def _require_sections_that_agree(self) -> Self:
        refuse(
            [
                *self._find_region_mistakes(),
                *self._find_priority_mistakes(),
                *self._find_node_group_mistakes(),
                *self._find_tag_mistakes(),
                *self._find_token_mistakes(),
                *self._find_neighbours_of_untrusted_jobs(),
                *self._find_policy_mistakes(),
                *self._find_number_of_groups(),
                *self._find_alarm_mistakes(),
                *self._find_region_of_arn_mistakes(),
                *self._find_autoscaler_mistakes(),
                *self._find_provider_mistakes(),
                *self._find_settings_of_newer_aws_providers(),
            ]
        )
        return self

    def _find_region_mistakes(self) -> Iterator[Mistake]:
        region, zones = self.aws.region, self.network.availability_zones
        strangers = [zone for zone in zones if not re.fullmatch(rf"{region}[a-z]", zone)]
        if strangers == list(zones):  # one wrong region is more likely than several wrong zones
            accepted = (
                f"must be the region of network.availability_zones ({', '.join(zones)}): change the "
                "region or the zones"
            )
            yield ("aws", "region"), region, accepted
            return
        for zone in strangers:
            path = ("network", "availability_zones", str(zones.index(zone)))
            yield path, zone, f"must be a zone of the region, such as {region}a"

    def _find_priority_mistakes(self) -> Iterator[Mistake]:
        groups, priorities = self.cluster.node_groups, self.autoscaler.expander_priorities
        for name, priority in priorities.items():
            if name not in groups:
                accepted = f"must be the priority of one of {', '.join(groups)}"
                yield ("autoscaler", "expander_priorities", name), priority, accepted
        missing = [name for name in groups if name not in priorities]
        if priorities and missing:
            accepted = f"must have a number for every node group; {', '.join(missing)} has none"
            yield ("autoscaler", "expander_priorities"), priorities, accepted

    def _find_node_group_mistakes(self) -> Iterator[Mistake]:
        groups = self.cluster.node_groups
        architectures = ", ".join(f"{name} is {group.architecture}" for name, group in groups.items())
        for fleet, runner in self.runners.items():
            unknown = [name for name in runner.node_groups if name not in groups]
            for name in unknown:
                path = ("runners", fleet, "node_groups", str(runner.node_groups.index(name)))
                yield path, name, f"must be one of {', '.join(groups)}"
            if not unknown and len({group.architecture for group in runner.placed_on(groups).values()}) != 1:
                accepted = (
                    "must name groups of one architecture (empty: every group without taints), because "
                    f"GitLab Runner uses the helper image of one; {architectures}"
                )
                yield ("runners", fleet, "node_groups"), list(runner.node_groups), accepted

    def _find_tag_mistakes(self) -> Iterator[Mistake]:
        """Yield node groups whose Auto Scaling group would have more than 50 tags, the quota of EC2.

        10 of them are fixed: five of EKS, three with the resources of a node, the label with the group's
        name, and `environment`.
        """
        left = 40 - len(self.aws.tags)
        for name, group in self.cluster.node_groups.items():
            number = len(group.labels) + len(group.taints)
            if number > left:
                accepted = (
                    f"must leave {number} tags to the labels and taints of the node group {name}: an Auto "
                    "Scaling group has one for each, and 40 with those of aws.tags"
                )
                yield ("aws", "tags"), len(self.aws.tags), accepted

    def _find_token_mistakes(self) -> Iterator[Mistake]:
        readers: dict[str, str] = {}
        for name, fleet in self.runners.items():
            reader = readers.setdefault(fleet.token_parameter, name)
            if reader != name:
                accepted = f"must be a parameter of its own: the fleet {reader} reads this one"
                yield ("runners", name, "token_parameter"), fleet.token_parameter, accepted

    def _find_neighbours_of_untrusted_jobs(self) -> Iterator[Mistake]:
        """Yield untrusted fleets whose nodes run other pods, too: all pods of a node share its kernel."""
        groups = self.cluster.node_groups
        placed = {
            name: fleet.placed_on(groups)
            for name, fleet in self.runners.items()
            if {*fleet.node_groups} <= {*groups}
        }
        fleets = {group: [fleet for fleet in placed if group in placed[fleet]] for group in groups}

        def find_neighbours(name: str) -> Iterator[tuple[str, str]]:
            for group in placed[name]:
                if not groups[group].taints:
                    yield group, "every pod"
                yield from ((group, f"the fleet {other}") for other in fleets[group] if other != name)

        for name in [name for name in placed if not self.runners[name].trusted]:
            if first := next(find_neighbours(name), None):
                group, neighbour = first
                accepted = (
                    "must name groups with taints that no other fleet uses, because the fleet has "
                    f"trusted: false; {neighbour} may run on {group}, too"
                )
                yield ("runners", name, "node_groups"), list(self.runners[name].node_groups), accepted

    def _find_policy_mistakes(self) -> Iterator[Mistake]:
        account = self.aws.account_id
        for name, fleet in self.runners.items():
            for index, arn in enumerate(fleet.job_policy_arns):
                if account and arn.split(":")[4] not in ("aws", account):
                    path = ("runners", name, "job_policy_arns", str(index))
                    yield (
                        path,
                        arn,
                        f"must be a policy of AWS or of this account, arn:aws:iam::{account}:policy/…",
                    )

    def _find_number_of_groups(self) -> Iterator[Mistake]:
        groups, zones = self.cluster.node_groups, len(self.network.availability_zones)
        if not self.protect_running_jobs:
            number = len(groups)
        else:
            number = sum(len(group.sizes_by_zone(zones)) for group in groups.values())
        if number > MAX_NODE_GROUPS:
            accepted = (
                f"must be {MAX_NODE_GROUPS} managed node groups or fewer (the EKS quota), but are {number}: "
                f"with protect_running_jobs each entry is one group in each of the {zones} zones"
            )
            yield ("cluster", "node_groups"), list(groups), accepted

    def _find_alarm_mistakes(self) -> Iterator[Mistake]:
        if not self.alarms:
            return
        topic = self.alarms.sns_topic_arn
        if topic and topic.split(":")[3] != self.aws.region:
            accepted = f"must be a topic in the environment's region, {self.aws.region}"
            yield ("alarms", "sns_topic_arn"), topic, accepted
        kinds = self.cluster.enabled_cluster_log_types
        if "audit" not in kinds:
            accepted = "must have audit beside `alarms`: one of them reads there whether the autoscaler works"
            yield ("cluster", "enabled_cluster_log_types"), list(kinds), accepted

    def _find_region_of_arn_mistakes(self) -> Iterator[Mistake]:
        for name in ("secrets_key_arn", "volumes_key_arn", "docker_hub_credential_arn"):
            arn = getattr(self.cluster, name)
            if arn and arn.split(":")[3] != self.aws.region:
                yield ("cluster", name), arn, f"must be of the region {self.aws.region}"
        credential = self.cluster.docker_hub_credential_arn
        account = self.aws.account_id
        if credential and account and credential.split(":")[4] != account:
            yield ("cluster", "docker_hub_credential_arn"), credential, f"must be of the account {account}"

    def _find_autoscaler_mistakes(self) -> Iterator[Mistake]:
        """Yield what would give the cluster an autoscaler of another minor version.

        "Cluster Autoscaler: Releases" requires the same one. Another one fails in ways that are hard to see.
        """
        version = self.cluster.kubernetes_version
        tag = self.versions.cluster_autoscaler_image_tag
        if tag is None and version not in CLUSTER_AUTOSCALER_IMAGE_TAGS:
            accepted = (
                f"must be one of {', '.join(CLUSTER_AUTOSCALER_IMAGE_TAGS)}, which this project tests. For "
                "another version of EKS set versions.cluster_autoscaler_image_tag to a release of "
                f"kubernetes/autoscaler with the same minor version, such as v{version}.0"
            )
            yield ("cluster", "kubernetes_version"), version, accepted
        elif tag and not tag.startswith(f"v{version}."):
            example = CLUSTER_AUTOSCALER_IMAGE_TAGS.get(version, f"v{version}.0")
            accepted = f"must have the minor version of cluster.kubernetes_version, such as {example}"
            yield ("versions", "cluster_autoscaler_image_tag"), tag, accepted

    def _find_provider_mistakes(self) -> Iterator[Mistake]:
        """Yield providers that the local environment does not have: it runs the tested ones only."""
        for name in PROVIDERS if self.aws.is_local else ():
            version, tested = getattr(self.versions, name), VersionSettings.model_fields[name].default
            if version != tested:
                yield ("versions", name), version, f"must be {tested} in an environment on the emulated AWS"

    def _find_settings_of_newer_aws_providers(self) -> Iterator[Mistake]:
        """Yield settings whose argument the chosen AWS provider does not have."""
        groups = self.cluster.node_groups
        places: dict[tuple[str, ...], SettingsModel] = {
            ("cluster",): self.cluster,
            **{("cluster", "node_groups", name): group for name, group in groups.items()},
        }
        for (path, settings), (name, since) in product(places.items(), AWS_PROVIDER_6_SETTINGS.items()):
            value = getattr(settings, name, None)
            if value is not None and self.versions.has_older_aws_provider_than(since):
                accepted = (
                    f"must be left out with AWS provider {self.versions.aws_provider}, which does not know "
                    f"it; or set versions.aws_provider to {since} or newer"
                )
                written = value.model_dump() if isinstance(value, SettingsModel) else value
                yield (*path, name), written, accepted
