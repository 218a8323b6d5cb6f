"""Settings of a managed node group."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from stacks.settings.model import Mistake, SettingsModel, find_duplicates, refuse
from stacks.versions import AWS_PROVIDER_6_SETTINGS

NODE_GROUP_LABEL = "node-group"
"""Node label with the name of the node group; pods select their nodes by it."""

RECOMMENDED_RELEASE = "recommended"
"""A `release_version`: the newest release, which each plan reads."""

# EKS's spelling → the spelling of Kubernetes, the runner and the autoscaler's tags.
KUBERNETES_EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "NO_EXECUTE": "NoExecute",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
}

# Kubernetes, "Labels and Selectors". EKS, "CreateNodegroup": the prefixes that EKS refuses.
_DNS_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = rf"^({_DNS_LABEL}(\.{_DNS_LABEL})*/)?{_LABEL_NAME}$"
_RESERVED_LABEL = re.compile(r"([^/]*\.)?(kubernetes\.io|k8s\.io|eks\.amazonaws\.com)/")

# Amazon EC2, "Instance type naming conventions": a "g" behind the generation is Graviton (ARM).
_ARM_INSTANCE_TYPE = re.compile(r"(a1|[a-z]+[0-9]+[a-z0-9-]*g[a-z0-9-]*)\.")

# Amazon EC2, "Instance type naming conventions": the sizes, smallest first, with a number of xlarge or of
# metal's xl.
_INSTANCE_SIZES = ("nano", "micro", "small", "medium", "large", "xlarge", "metal")
_INSTANCE_TYPE = re.compile(r"([a-z][a-z0-9-]*)\.((?:[1-9][0-9]*)?)([a-z]+)(-[1-9][0-9]*xl)?")


def _require_instance_type(name: str) -> str:
    match = _INSTANCE_TYPE.fullmatch(name)
    if match is None:
        raise ValueError("must be an instance type as family.size, such as m5.2xlarge")
    family, number, size, metal_size = match.groups()
    if size not in _INSTANCE_SIZES or (number and size != "xlarge") or (metal_size and size != "metal"):
        close = get_close_matches(size, ["xlarge"] if number else _INSTANCE_SIZES, n=1)
        hint = f"; did you mean {family}.{number}{close[0]}?" if close else ""
        raise ValueError(f"must end with a size that EC2 has, such as large, 2xlarge or metal{hint}")
    return name


# Amazon EKS API Reference, "CreateNodegroup" and "Taint": 63 characters with the prefix, where Kubernetes
# accepts 317, and no empty label value.
LabelKey = Annotated[str, Field(pattern=_LABEL_KEY, max_length=63)]
LabelValue = Annotated[str, Field(pattern=rf"^{_LABEL_NAME}$")]
TaintValue = Annotated[str, Field(pattern=rf"^({_LABEL_NAME})?$")]
InstanceType = Annotated[str, AfterValidator(_require_instance_type)]


# Amazon EBS, "General Purpose SSD volumes", "gp3 volume performance".
DEFAULT_IOPS, IOPS_PER_GIB, IOPS_PER_MIB_PER_SECOND = 3000, 500, 4


class TaintSettings(SettingsModel):
    """A taint on every node of a group; pods that do not tolerate it stay off these nodes."""

    key: LabelKey = Field(
        description="Taint key, in the form of a label key, up to 63 characters with its prefix."
    )
    value: TaintValue = Field(
        default="", description="Taint value, in the form of a label value; it may be empty."
    )
    effect: Literal["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"] = Field(
        description="Effect on pods that do not tolerate the taint, in EKS's spelling: NO_SCHEDULE, "
        "NO_EXECUTE or PREFER_NO_SCHEDULE."
    )


class WarmPoolSettings(SettingsModel):
    """Instances of a node group that have started once and wait for the next peak.

    An instance never comes back to the pool when a node goes: its volume has what the jobs left.
    """

    max_prepared: int = Field(
        description="Waiting instances and nodes together, at most; 1 to 450. With `protect_running_jobs` in "
        "each zone. EC2 fills the pool up to this number.",
        ge=1,
        le=450,
    )
    min_size: int = Field(
        default=0,
        description="Instances that wait at any time, even beside `max_prepared` nodes; 0 to 450. With "
        "`protect_running_jobs` in each zone.",
        ge=0,
        le=450,
    )
    state: Literal["STOPPED", "HIBERNATED", "RUNNING"] = Field(
        default="STOPPED",
        description="STOPPED: a waiting instance costs its volume. HIBERNATED: its volume with the memory, "
        "only for instance types that can hibernate. RUNNING: as much as a node.",
    )


class NodeGroupSettings(SettingsModel):
    """One managed node group."""

    ami_type: Literal["AL2023_x86_64_STANDARD", "AL2023_ARM_64_STANDARD"] = Field(
        default="AL2023_x86_64_STANDARD",
        description="Amazon Linux 2023 for x86 or for ARM (Graviton) instances.",
    )
    instance_types: tuple[InstanceType, ...] = Field(
        description="1 to 20 instance types of the ami_type's architecture, such as [m5.2xlarge]. All must "
        "have the same vCPU and memory: the autoscaler calculates with those of the first.",
        min_length=1,
        max_length=20,
    )
    capacity_type: Literal["ON_DEMAND", "SPOT"] = Field(
        default="ON_DEMAND", description="ON_DEMAND, or SPOT: cheaper nodes that AWS may take back."
    )
    min_size: int = Field(
        default=0,
        description="Minimum number of nodes in all zones together, 0 or more. With 0 an idle group has no "
        "nodes.",
        ge=0,
    )
    max_size: int = Field(
        description="Maximum number of nodes in all zones together, 1 to 450 (the EKS quota) and at least "
        "min_size.",
        ge=1,
        le=450,
    )
    disk_size_gib: int = Field(
        default=100, description="Size of a node's encrypted root volume, 20 to 16384 GiB.", ge=20, le=16384
    )
    disk_iops: int | None = Field(
        default=None,
        description="Input and output operations per second of the root volume (gp3), 3000 to 80000, at most "
        "500 for each GiB of `disk_size_gib`. EBS's default is 3000; more costs extra. A change replaces the "
        "nodes in a rolling update.",
        ge=3000,
        le=80000,
    )
    disk_throughput_mib_per_second: int | None = Field(
        default=None,
        description="Throughput of the root volume (gp3), 125 to 1000 MiB/s, at most a quarter of "
        "`disk_iops`. EBS's default is 125; more costs extra. All jobs of a node share it. A change replaces "
        "the nodes in a rolling update.",
        ge=125,
        le=1000,  # of AWS provider 5.100.0; EBS takes 2000
    )
    kubernetes_version: str | None = Field(
        default=None,
        description="Kubernetes version of the nodes, in quotes: the cluster's, which is the default, or up "
        "to three minor versions older. Only to hold a group back while the cluster is upgraded: EKS "
        "creates no group in an older version, and upgrades the cluster again only when all groups have its "
        "version.",
        pattern=r"^1\.[0-9]+$",
    )
    release_version: str | None = Field(
        default=None,
        description="Release of the AMI, such as 1.35.2-20260520, of the group's Kubernetes version; or "
        "recommended: each plan asks AWS for the newest, and shows an update if the group has an older one. "
        "Without it EKS takes the newest when it creates or updates the group. EKS never goes back to an "
        "older one: set a newer one together with a change of `disk_size_gib` or `aws.tags`.",
        pattern=rf"^({RECOMMENDED_RELEASE}|1\.[0-9]+\.[0-9]+-[0-9]{{8}})$",
    )
    force_update_version: bool = Field(
        default=False,
        description="true: an update ends the pods, jobs included, that have not left a node after 15 "
        "minutes. false: the update then fails.",
    )
    update_strategy: Literal["DEFAULT", "MINIMAL"] | None = Field(
        default=None,
        description="DEFAULT: an update starts new nodes before it drains old ones, which is EKS's default. "
        "MINIMAL: it ends old ones first and needs no spare capacity. To go back, write DEFAULT instead of "
        "taking it away. Needs `versions.aws_provider` "
        f"{AWS_PROVIDER_6_SETTINGS['update_strategy']} or newer.",
    )
    warm_pool: WarmPoolSettings | None = Field(
        default=None,
        description="Instances that have started once and wait, so that a node is there sooner. Not with "
        f"SPOT. Needs `versions.aws_provider` {AWS_PROVIDER_6_SETTINGS['warm_pool']} or newer.",
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default={},
        description=f"Up to 20 Kubernetes labels of the nodes, besides `{NODE_GROUP_LABEL}: <name of the "
        "group>`. Keys have up to 63 characters with their prefix, values 1 to 63: letters and digits, with "
        "- _ and . between them.",
        max_length=20,  # with the taints, the project's tags and those of EKS: at most 50 Auto Scaling tags
    )
    taints: tuple[TaintSettings, ...] = Field(
        default=(),
        description="Up to 20 Kubernetes taints of the nodes, each with its own key.",
        max_length=20,
    )

    @field_validator("instance_types")
    @classmethod
    def _refuse_duplicates(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        refuse(find_duplicates(types))
        return types

    @field_validator("labels")
    @classmethod
    def _refuse_reserved_labels(cls, labels: dict[str, str]) -> dict[str, str]:
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
            ((key,), value, "must differ from the keys before it in more than / and _")
            for index, (key, value) in enumerate(labels.items())
            if addresses[index] in addresses[:index]
        )
        return labels

    @field_validator("taints")
    @classmethod
    def _refuse_duplicate_taints(cls, taints: tuple[TaintSettings, ...]) -> tuple[TaintSettings, ...]:
        # The autoscaler reads the taints of an empty group from tags; a tag holds one effect a key.
        addresses = [taint.key.replace("/", "_") for taint in taints]
        refuse(
            ((str(index), "key"), taint.key, "must differ from the keys of the taints before it")
            for index, taint in enumerate(taints)
            if addresses[index] in addresses[:index]
        )
        return taints

    @model_validator(mode="after")
    def _require_values_that_agree(self) -> Self:
        refuse(
            [
                *self._find_architecture_mistakes(),
                *self._find_size_mistakes(),
                *self._find_disk_mistakes(),
                *self._find_warm_pool_mistakes(),
            ]
        )
        return self

    def _find_architecture_mistakes(self) -> Iterator[Mistake]:
        is_arm = "ARM" in self.ami_type
        architecture, other_ami = ("ARM", "x86_64") if is_arm else ("x86", "ARM_64")
        for index, name in enumerate(self.instance_types):
            if bool(_ARM_INSTANCE_TYPE.match(name)) != is_arm:
                accepted = (
                    f"must be of the ami_type's architecture, {architecture}; or ami_type: "
                    f"AL2023_{other_ami}_STANDARD"
                )
                yield ("instance_types", str(index)), name, accepted

    def _find_size_mistakes(self) -> Iterator[Mistake]:
        if self.max_size < self.min_size:
            accepted = (
                f"must be at least min_size, which is {self.min_size}: raise max_size or lower min_size"
            )
            yield ("max_size",), self.max_size, accepted

    def _find_disk_mistakes(self) -> Iterator[Mistake]:
        """Yield what EC2 refuses: Amazon EBS, "General Purpose SSD volumes", "gp3 volume performance"."""
        most_iops = self.disk_size_gib * IOPS_PER_GIB
        if self.disk_iops and self.disk_iops > most_iops:
            accepted = (
                f"must be at most {most_iops}, {IOPS_PER_GIB} for each of the {self.disk_size_gib} GiB: "
                "lower it, or raise disk_size_gib"
            )
            yield ("disk_iops",), self.disk_iops, accepted
        iops = self.disk_iops or DEFAULT_IOPS
        throughput = self.disk_throughput_mib_per_second
        if throughput and throughput * IOPS_PER_MIB_PER_SECOND > iops:
            accepted = (
                f"must be at most {iops // IOPS_PER_MIB_PER_SECOND}, a quarter of the volume's {iops} IOPS: "
                f"lower it, or set disk_iops to {throughput * IOPS_PER_MIB_PER_SECOND}"
            )
            yield ("disk_throughput_mib_per_second",), throughput, accepted

    def _find_warm_pool_mistakes(self) -> Iterator[Mistake]:
        # Amazon EC2 Auto Scaling API Reference, "PutWarmPool": not with Spot.
        if self.warm_pool and self.capacity_type == "SPOT":
            yield ("warm_pool",), self.warm_pool.model_dump(), "must not be beside capacity_type: SPOT"

    @property
    def is_steady(self) -> bool:
        """Whether the group always has a node, without taints."""
        return self.min_size > 0 and not self.taints

    @property
    def instance_size(self) -> tuple[int, int]:
        """The size of the group's nodes, for comparisons; its families do not count.

        All types of a group have the same vCPU, so the first stands for them. metal-24xl is 24xlarge, as in
        plan_review/capacity.py, which imports no settings.
        """
        match = _INSTANCE_TYPE.fullmatch(self.instance_types[0])
        assert match  # noqa: S101 - the settings accept no other name
        _, number, size, metal_size = match.groups()
        if metal_size:
            return _INSTANCE_SIZES.index("xlarge"), int(metal_size[1:-2])
        return _INSTANCE_SIZES.index(size), int(number or 1)

    @property
    def architecture(self) -> Literal["amd64", "arm64"]:
        """The nodes' architecture, as the node label `kubernetes.io/arch` spells it."""
        return "arm64" if "ARM" in self.ami_type else "amd64"

    def node_labels(self, name: str) -> dict[str, str]:
        """Return the Kubernetes labels of every node of the group called `name` in the settings."""
        return {NODE_GROUP_LABEL: name, **self.labels}

    @property
    def node_tolerations(self) -> dict[str, str]:
        """The tolerations of a job pod on these nodes, in the form of the runner's `node_tolerations`.

        GitLab Runner, "Kubernetes executor": `"key=value" = "Effect"`; without a value the key alone.
        """
        return {
            f"{taint.key}={taint.value}" if taint.value else taint.key: KUBERNETES_EFFECTS[taint.effect]
            for taint in self.taints
        }

    def sizes_by_zone(self, zones: int) -> list[tuple[int, int]]:
        """Divide the nodes among one group a zone; the first zones get the remainder.

        Returns:
            (min_size, max_size) of each zone's group. If max_size is below `zones`, the last zones have none.

        """

        def share(total: int, zone: int) -> int:
            return total // zones + (zone < total % zones)

        sizes = [(share(self.min_size, zone), share(self.max_size, zone)) for zone in range(zones)]
        return [(minimum, maximum) for minimum, maximum in sizes if maximum]
