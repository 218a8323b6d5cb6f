"""Settings of the cluster autoscaler."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stacks.settings.model import MapKey, SettingsModel, refuse

FlagDuration = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,4}[smh]){1,3}$")]


class AutoscalerSettings(SettingsModel):
    """The cluster autoscaler; each key is one of its command-line flags, with _ for -."""

    expander: Literal["least-waste", "most-pods", "random", "priority"] = Field(
        default="least-waste",
        description="How the autoscaler chooses among node groups that fit; priority needs "
        "expander_priorities.",
    )
    expander_priorities: dict[MapKey, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        default={},
        description="Only with the expander priority: an integer of 1 to 1000000 for every node group, "
        "such as {spot: 20, main: 10}. The autoscaler tries the highest first.",
    )
    balance_similar_node_groups: bool = Field(
        default=True,
        description="Keep similar node groups, such as those of one group's zones, at similar sizes.",
    )
    skip_nodes_with_system_pods: bool = Field(
        default=False,
        description="Whether the autoscaler waits an hour before it removes a node that runs a pod of "
        "kube-system without a PodDisruptionBudget. Daemon sets do not count.",
    )
    skip_nodes_with_local_storage: bool = Field(
        default=True,
        description="Never remove a node with a pod that has an emptyDir volume. Job pods have such "
        "volumes, so false endangers running jobs.",
    )
    scale_down_unneeded_time: FlagDuration = Field(
        default="10m",
        description="How long a node must be idle before the autoscaler removes it, such as 30s, 10m or "
        "1h30m.",
    )
    scale_down_delay_after_add: FlagDuration = Field(
        default="10m",
        description="How long the autoscaler removes no node after it added one, such as 30s, 10m or 1h30m.",
    )

    @model_validator(mode="after")
    def _require_priorities_with_their_expander(self) -> Self:
        if (self.expander == "priority") != bool(self.expander_priorities):
            accepted = "must be given with `expander: priority`, and only then"
            refuse([(("expander_priorities",), self.expander_priorities, accepted)])
        return self
