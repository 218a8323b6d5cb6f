"""Settings of the waiting times that `make jobs` expects. They change nothing in AWS or Kubernetes."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from stacks.settings.model import SettingsModel, refuse

Seconds = Annotated[int, Field(ge=0, le=86400)]
SecondsRange = Annotated[tuple[Seconds, Seconds], Field(strict=False)]
Gib = Annotated[float, Field(gt=0, le=1000, strict=False, allow_inf_nan=False)]


class WaitingTimeSettings(SettingsModel):
    """What `make jobs` expects of a job that needs a new node; each pair is the shortest and the longest."""

    # cluster-autoscaler FAQ, "What are the Service Level Objectives for Cluster Autoscaler?": 5 s on average,
    # at most 30 s in clusters of up to 100 nodes.
    autoscaler_seconds: SecondsRange = Field(
        default=(5, 30),
        description="Seconds until the autoscaler asks for a node, such as [5, 30]: two integers of 0 to "
        "86400.",
    )
    # Measured by others, since AWS publishes no time: 2 to 5 minutes for a runner on a new EC2 instance
    # (github-aws-runners/terraform-aws-github-runner, pull request 5204).
    on_demand_node_seconds: SecondsRange = Field(
        default=(120, 300),
        description="Seconds from there until an On-Demand node is ready, such as [120, 300]: two integers "
        "of 0 to 86400.",
    )
    # The longest is the autoscaler's --max-node-provision-time, after which it tries another group.
    spot_node_seconds: SecondsRange = Field(
        default=(120, 900),
        description="The same for a Spot node, for which AWS may have no capacity, such as [120, 900].",
    )
    # The shortest: a gp3 volume writes 125 MiB/s (Amazon EBS, "General Purpose SSD volumes"), and an image
    # unpacks to three times its size. The longest: 3 GB in 5 minutes, measured by others (knechtions.com,
    # "Decreasing Container Image Pull Times", 2026).
    image_pull_seconds_per_gib: SecondsRange = Field(
        default=(25, 100),
        description="Seconds in which a node pulls and unpacks 1 GiB of an image, compressed, such as "
        "[25, 100]: two integers of 0 to 86400.",
    )
    image_gib: Gib = Field(
        default=0.5,
        description="GiB of an image as the registry has it, compressed: more than 0, up to 1000. For images "
        "that `image_gib_by_name` does not name.",
    )
    image_gib_by_name: dict[str, Gib] = Field(
        default={},
        description="GiB of images by name, such as {registry.example.com/team/android:*: 9}; * is any text "
        "without a slash, ** any text. The first that matches counts. Up to 100 entries.",
        max_length=100,
    )

    @model_validator(mode="after")
    def _require_the_shorter_first(self) -> Self:
        refuse(
            ((name,), list(value), "must have the shorter time first")
            for name, value in self
            if isinstance(value, tuple) and value[0] > value[1]
        )
        return self
