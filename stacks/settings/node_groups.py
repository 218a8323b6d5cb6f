"""What may be said of a managed node group."""

import re
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from stacks.settings.model import SettingsModel, refuse, refuse_duplicates

NODE_GROUP_LABEL = "node-group"
"""The node label by which pods are placed on a node group of the settings."""

# EKS spells effects in its own way; Kubernetes, the runner and the autoscaler's tags in theirs.
KUBERNETES_EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "NO_EXECUTE": "NoExecute",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
}

# Kubernetes, "Labels and Selectors"; EKS, "CreateNodegroup", for the prefixes it refuses.
_DNS_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = rf"^({_DNS_LABEL}(\.{_DNS_LABEL})*/)?{_LABEL_NAME}$"
_LABEL_VALUE = rf"^({_LABEL_NAME})?$"
_RESERVED_LABEL = re.compile(r"([^/]*\.)?(kubernetes\.io|k8s\.io|eks\.amazonaws\.com)/")

# Amazon EC2, "Instance type naming conventions": a "g" behind the generation is Graviton (ARM).
_ARM_INSTANCE_TYPE = re.compile(r"(a1|[a-z]+[0-9]+[a-z0-9-]*g[a-z0-9-]*)\.")

# 82: what an Auto Scaling tag's 128 leave behind "k8s.io/cluster-autoscaler/node-template/label/".
LabelKey = Annotated[str, Field(pattern=_LABEL_KEY, max_length=82)]
LabelValue = Annotated[str, Field(pattern=_LABEL_VALUE)]
InstanceType = Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]


class TaintSettings(SettingsModel):
    """A taint on every node of a group; only pods that tolerate it run there."""

    key: LabelKey = Field(description="Taint key, of a label's form and up to 82 characters.")
    value: LabelValue = Field(default="", description="Taint value, of a label's form.")
    effect: Literal["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"] = Field(
        description="What happens to pods that do not tolerate it, in EKS's spelling (NO_SCHEDULE)."
    )


class NodeGroupSettings(SettingsModel):
    """One managed node group."""

    ami_type: Literal["AL2023_x86_64_STANDARD", "AL2023_ARM_64_STANDARD"] = Field(
        default="AL2023_x86_64_STANDARD",
        description="Amazon Linux 2023 for x86 or for ARM (Graviton) instances.",
    )
    instance_types: tuple[InstanceType, ...] = Field(
        description="Instance types of the ami_type's architecture, such as [m5.2xlarge]. Several must "
        "have equal vCPU and memory: the autoscaler takes the first as the template of all.",
        min_length=1,
        max_length=20,
    )
    capacity_type: Literal["ON_DEMAND", "SPOT"] = Field(
        default="ON_DEMAND", description="How the nodes are bought."
    )
    min_size: int = Field(
        default=0,
        description="Fewest nodes in all zones together, 0 or more; 0 lets the group vanish when idle.",
        ge=0,
    )
    max_size: int = Field(
        description="Most nodes in all zones together, at least 1 and at least min_size (the EKS quota is "
        "450).",
        ge=1,
        le=450,
    )
    disk_size_gib: int = Field(
        default=100, description="Encrypted root volume of a node, 20 to 16384 GiB.", ge=20, le=16384
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default={},
        description=f"Further Kubernetes labels; `{NODE_GROUP_LABEL}: <name of the group>` is always set. "
        "Up to 20; keys up to 82 characters, values up to 63: letters, digits, - _ and . between.",
        max_length=20,  # with the taints, ours and those of EKS: at most 50 Auto Scaling tags
    )
    taints: tuple[TaintSettings, ...] = Field(
        default=(), description="Kubernetes taints, up to 20, each with its own key.", max_length=20
    )

    @field_validator("instance_types")
    @classmethod
    def _architectures_match(cls, types: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        refuse_duplicates(types)
        ami_type = info.data.get("ami_type", "")
        here, there = ("ARM", "x86_64") if "ARM" in ami_type else ("x86", "ARM_64")
        refuse(
            (
                (str(index),),
                name,
                f"must be of the ami_type's architecture, {here}; or ami_type: AL2023_{there}_STANDARD",
            )
            for index, name in enumerate(types)
            if ami_type and bool(_ARM_INSTANCE_TYPE.match(name)) != ("ARM" in ami_type)
        )
        return types

    @field_validator("max_size")
    @classmethod
    def _max_is_not_below_min(cls, max_size: int, info: ValidationInfo) -> int:
        if max_size < info.data.get("min_size", 0):
            raise ValueError(f"must be at least min_size, which is {info.data['min_size']}")
        return max_size

    @field_validator("labels")
    @classmethod
    def _labels_are_free(cls, labels: dict[str, str]) -> dict[str, str]:
        free = (
            f"must be a key that neither this project nor EKS sets itself: not {NODE_GROUP_LABEL}, "
            "nothing under kubernetes.io, k8s.io or eks.amazonaws.com"
        )
        refuse(
            ((key,), value, free)
            for key, value in labels.items()
            if key == NODE_GROUP_LABEL or _RESERVED_LABEL.match(key)
        )
        # The Terraform address of a label's Auto Scaling tag has _ for /.
        addresses = [key.replace("/", "_") for key in labels]
        refuse(
            ((key,), value, "must differ from the keys before it in more than / for _")
            for index, (key, value) in enumerate(labels.items())
            if addresses[index] in addresses[:index]
        )
        return labels

    @field_validator("taints")
    @classmethod
    def _taint_keys_are_distinct(cls, taints: tuple[TaintSettings, ...]) -> tuple[TaintSettings, ...]:
        # An Auto Scaling tag, by which the autoscaler knows an empty group, holds one effect a key.
        addresses = [taint.key.replace("/", "_") for taint in taints]
        refuse(
            ((str(index), "key"), taint.key, "must be the key of one taint only")
            for index, taint in enumerate(taints)
            if addresses[index] in addresses[:index]
        )
        return taints

    @property
    def is_steady(self) -> bool:
        """Whether a node is always there and takes any pod."""
        return self.min_size > 0 and not self.taints

    @property
    def architecture(self) -> Literal["amd64", "arm64"]:
        """The nodes' architecture, in the spelling of the node label `kubernetes.io/arch`."""
        return "arm64" if "ARM" in self.ami_type else "amd64"

    def node_labels(self, name: str) -> dict[str, str]:
        """Return the Kubernetes labels of every node of the group called `name` in the settings."""
        return {NODE_GROUP_LABEL: name, **self.labels}

    @property
    def node_tolerations(self) -> dict[str, str]:
        """What a job pod must tolerate here, in the form of the runner's `node_tolerations`.

        GitLab Runner, "Kubernetes executor": `"key=value" = "Effect"`; without a value the key alone.
        """
        return {
            f"{taint.key}={taint.value}" if taint.value else taint.key: KUBERNETES_EFFECTS[taint.effect]
            for taint in self.taints
        }

    def sizes_by_zone(self, zones: int) -> list[tuple[int, int]]:
        """Divide the nodes among as many groups as there are zones, the first ones getting the rest.

        Returns:
            (min_size, max_size) of each zone's group; the last zones have none if max_size is below `zones`.

        """

        def share(total: int, zone: int) -> int:
            return total // zones + (zone < total % zones)

        sizes = [(share(self.min_size, zone), share(self.max_size, zone)) for zone in range(zones)]
        return [(least, most) for least, most in sizes if most]
