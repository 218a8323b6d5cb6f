"""What may be said of a managed node group."""

import re
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from stacks.settings.model import SettingsModel, mistake, refuse_duplicates

NODE_GROUP_LABEL = "node-group"
"""The node label by which pods are placed on a node group of the settings."""

# Kubernetes, "Labels and Selectors"; EKS, "CreateNodegroup", for the prefixes it refuses.
_LABEL_KEY = r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$"
_RESERVED_LABEL = re.compile(r"([^/]*\.)?(kubernetes\.io|k8s\.io|eks\.amazonaws\.com)/")

# Amazon EC2, "Instance type naming conventions": a "g" behind the generation is Graviton (ARM).
_ARM_INSTANCE_TYPE = re.compile(r"(a1|[a-z]+\d+[a-z-]*g[a-z-]*)\.")

LabelKey = Annotated[str, Field(pattern=_LABEL_KEY)]
LabelValue = Annotated[str, Field(pattern=_LABEL_VALUE)]
InstanceType = Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]


class TaintSettings(SettingsModel):
    """A taint on every node of a group; only pods that tolerate it run there."""

    key: LabelKey = Field(description="Taint key.")
    value: LabelValue = Field(default="", description="Taint value.")
    effect: Literal["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"] = Field(
        description="What happens to pods that do not tolerate it, in EKS's spelling."
    )


class NodeGroupSettings(SettingsModel):
    """One managed node group."""

    ami_type: Literal["AL2023_x86_64_STANDARD", "AL2023_ARM_64_STANDARD"] = Field(
        default="AL2023_x86_64_STANDARD",
        description="Amazon Linux 2023 for x86 or for ARM (Graviton) instances.",
    )
    instance_types: tuple[InstanceType, ...] = Field(
        description="Instance types of the ami_type's architecture. Several must have equal vCPU and "
        "memory: the autoscaler takes the first as the template of all.",
        min_length=1,
        max_length=20,
    )
    capacity_type: Literal["ON_DEMAND", "SPOT"] = Field(
        default="ON_DEMAND", description="How the nodes are bought."
    )
    min_size: int = Field(default=0, description="Fewest nodes; 0 lets the group vanish when idle.", ge=0)
    max_size: int = Field(
        description="Most nodes, at least 1 and at least min_size (the EKS quota is 450).", ge=1, le=450
    )
    disk_size_gib: int = Field(
        default=100, description="Encrypted root volume of a node, GiB.", ge=20, le=16384
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default={},
        description=f"Further Kubernetes labels; `{NODE_GROUP_LABEL}: <name of the group>` is always set.",
    )
    taints: tuple[TaintSettings, ...] = Field(default=(), description="Kubernetes taints.", max_length=50)

    @field_validator("instance_types")
    @classmethod
    def _architectures_match(cls, types: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        refuse_duplicates(types)
        for name in types:
            is_arm = bool(_ARM_INSTANCE_TYPE.match(name))
            ami_type = info.data.get("ami_type", "")
            if ami_type and is_arm != ("ARM" in ami_type):
                message = (
                    f"{name} is an {'ARM' if is_arm else 'x86'} instance type, but ami_type is {ami_type}: "
                    f"instance types of that architecture, or ami_type "
                    f"{'AL2023_ARM_64_STANDARD' if is_arm else 'AL2023_x86_64_STANDARD'}"
                )
                raise ValueError(message)
        return types

    @field_validator("max_size")
    @classmethod
    def _max_is_not_below_min(cls, max_size: int, info: ValidationInfo) -> int:
        if max_size < info.data.get("min_size", 0):
            message = f"must be at least min_size, which is {info.data['min_size']}"
            raise ValueError(message)
        return max_size

    @field_validator("labels")
    @classmethod
    def _labels_are_free(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            if key == NODE_GROUP_LABEL or _RESERVED_LABEL.match(key):
                raise mistake((key,), value, "must be a key that neither this project nor EKS sets itself")
        return labels

    @property
    def is_steady(self) -> bool:
        """Whether a node is always there and takes any pod."""
        return self.min_size > 0 and not self.taints
