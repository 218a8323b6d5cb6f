"""What may be said of the workloads stack: the autoscaler and the runner fleets."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from stacks.settings.executor import ExecutorSettings
from stacks.settings.model import PORT, MapKey, SettingsModel, refuse, refuse_duplicates
from stacks.settings.node_groups import LabelKey, NodeGroupSettings
from stacks.settings.quantities import ByteQuantity, CpuQuantity, quantity

FLEET_LABEL = "gitlab-runner-fleet"
"""The label by which a fleet's namespaces and job pods are known."""

SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"

# The runner finds a job's services by the first; the others are this project's.
_TAKEN_KEYS = ("pod", FLEET_LABEL, SAFE_TO_EVICT)

DOCKER_CERTIFICATES = {"name": "docker-certs", "mount_path": "/certs/client", "medium": "Memory"}
"""Volume where docker-in-docker leaves the TLS certificates that its clients read.

GitLab, "Use Docker to build Docker images", "Docker-in-Docker with TLS enabled in Kubernetes".
"""

# The runner replaces $VARIABLES of the job in both.
PodLabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9._${}-]*$", max_length=253)]
PodAnnotationValue = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=4096)]

FlagDuration = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,4}[smh]){1,3}$")]

# "Image reference" of the Open Container Initiative's distribution project: host, path, tag, digest.
_PATH_PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_IMAGE = (
    rf"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?{PORT}/)?{_PATH_PART}(/{_PATH_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
)

# Nothing that Terraform (${, %{) or the chart's templates ({{) would take for their own.
_HOST_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_GITLAB_URL = rf"^https?://{_HOST_LABEL}(\.{_HOST_LABEL})*{PORT}(/[A-Za-z0-9._~-]+)*/?$"

# A runner's token, whole; file.py keeps all kinds of tokens out of messages.
_TOKEN = re.compile(r"(glrtr?-|GR1348941)[\w.-]{16}", re.IGNORECASE)


class AutoscalerSettings(SettingsModel):
    """The cluster autoscaler, in the words of its own command-line flags."""

    expander: Literal["least-waste", "most-pods", "random", "priority"] = Field(
        default="least-waste",
        description="How a node group is chosen when several would do; priority needs expander_priorities.",
    )
    expander_priorities: dict[MapKey, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        default={},
        description="Only for the expander priority: a whole number of 1 to 1000000 for each node "
        "group; the highest that fits is tried first, such as {spot: 20, main: 10}.",
    )
    balance_similar_node_groups: bool = Field(
        default=True, description="Keep alike groups (such as one per zone) at alike sizes."
    )
    skip_nodes_with_system_pods: bool = Field(
        default=False, description="Keep nodes that run pods of kube-system besides daemon sets."
    )
    skip_nodes_with_local_storage: bool = Field(
        default=True,
        description="Keep nodes whose pods have emptyDir volumes. Job pods have them, so false "
        "endangers running jobs.",
    )
    scale_down_unneeded_time: FlagDuration = Field(
        default="10m", description="How long a node must be idle before it goes, such as 30s, 10m or 1h30m."
    )
    scale_down_delay_after_add: FlagDuration = Field(
        default="10m", description="How long after a scale-up no node goes, such as 30s, 10m or 1h30m."
    )

    @field_validator("expander_priorities")
    @classmethod
    def _priorities_have_their_expander(
        cls, priorities: dict[str, int], info: ValidationInfo
    ) -> dict[str, int]:
        expander = info.data.get("expander")
        if expander and (expander == "priority") != bool(priorities):
            raise ValueError("must be given with `expander: priority`, and only then")
        return priorities


class ContainerResources(SettingsModel):
    """Requests, limits and overwrite maxima of one kind of job container, in GitLab Runner's own keys."""

    cpu_request: CpuQuantity | None = Field(default=None, description='CPU request, such as 500m or "1.5".')
    cpu_limit: CpuQuantity | None = Field(default=None, description='CPU limit, such as 500m or "1.5".')
    cpu_request_overwrite_max_allowed: CpuQuantity | None = Field(
        default=None, description="The most CPU a job may request; unset, it can't change the request."
    )
    cpu_limit_overwrite_max_allowed: CpuQuantity | None = Field(
        default=None, description="The highest CPU limit a job may set; unset, it can't change the limit."
    )
    memory_request: ByteQuantity | None = Field(
        default=None, description="Memory request, such as 512Mi or 4Gi."
    )
    memory_limit: ByteQuantity | None = Field(default=None, description="Memory limit, such as 512Mi or 4Gi.")
    memory_request_overwrite_max_allowed: ByteQuantity | None = Field(
        default=None, description="The most memory a job may request; unset, it can't change the request."
    )
    memory_limit_overwrite_max_allowed: ByteQuantity | None = Field(
        default=None, description="The highest memory limit a job may set; unset, it can't change the limit."
    )
    ephemeral_storage_request: ByteQuantity | None = Field(
        default=None, description="Disk request, such as 10Gi."
    )
    ephemeral_storage_limit: ByteQuantity | None = Field(
        default=None, description="Disk limit, such as 10Gi."
    )
    ephemeral_storage_request_overwrite_max_allowed: ByteQuantity | None = Field(
        default=None, description="The most disk a job may request; unset, it can't change the request."
    )
    ephemeral_storage_limit_overwrite_max_allowed: ByteQuantity | None = Field(
        default=None, description="The highest disk limit a job may set; unset, it can't change the limit."
    )

    @field_validator("*")
    @classmethod
    def _ceiling_is_not_below(cls, value: str | None, info: ValidationInfo) -> str | None:
        # Kubernetes refuses a request above its limit, GitLab Runner a default above its own maximum.
        kind = re.sub("_(request|limit)(_overwrite_max_allowed)?$", "", info.field_name or "")
        floors = {
            f"{kind}_limit": [f"{kind}_request"],
            f"{kind}_request_overwrite_max_allowed": [f"{kind}_request"],
            f"{kind}_limit_overwrite_max_allowed": [f"{kind}_limit"],
        }.get(info.field_name or "", [])
        for floor in floors:
            below = info.data.get(floor)
            if value is not None and below is not None and quantity(value) < quantity(below):
                raise ValueError(f"must be at least {floor}, which is {below}")
        most_requested = info.data.get(f"{kind}_request_overwrite_max_allowed")
        if info.field_name == f"{kind}_limit_overwrite_max_allowed" and most_requested:
            limit = info.data.get(f"{kind}_limit")
            if limit and quantity(value or limit) < quantity(most_requested):
                raise ValueError(
                    f"must be at least {kind}_request_overwrite_max_allowed, which is {most_requested}: with "
                    f"the {kind}_limit of {limit} Kubernetes refuses a job that requests it"
                )
        return value

    def most_requested(self, resource: str) -> Decimal:
        """Return the most that a container may request of "cpu", "memory" or "ephemeral_storage".

        Where a container has only a limit, Kubernetes takes it for the request.

        Returns:
            Amount in vCPU or bytes; 0 if the settings say nothing of it.

        """
        only_limited = getattr(self, f"{resource}_request") is None
        limits = self._amounts(resource, "limit") if only_limited else []
        return max(self._amounts(resource, "request") + limits, default=Decimal(0))

    def highest_limit(self, resource: str) -> Decimal:
        """Return the highest limit that a container may have, in vCPU or bytes; never below a request."""
        return max(self._amounts(resource, "request") + self._amounts(resource, "limit"), default=Decimal(0))

    def is_limited(self, resource: str) -> bool:
        """Return whether the settings name a limit or a maximum for a resource."""
        keys = ("limit", "limit_overwrite_max_allowed", "request_overwrite_max_allowed")
        return any(getattr(self, f"{resource}_{key}") is not None for key in keys)

    def _amounts(self, resource: str, kind: str) -> list[Decimal]:
        keys = (f"{resource}_{kind}", f"{resource}_{kind}_overwrite_max_allowed")
        return [quantity(text) for text in (getattr(self, key) for key in keys) if text is not None]


class RunnerSettings(SettingsModel):
    """One fleet: a GitLab runner of its own, with its own token, namespaces and Helm release."""

    gitlab_url: str = Field(
        default="https://gitlab.com",
        description="URL of the GitLab instance, http:// or https://, without user, query or fragment, "
        "such as https://gitlab.example.com.",
        pattern=_GITLAB_URL,
        max_length=512,
    )
    token_parameter: str = Field(
        description="Name of the SSM parameter (a SecureString) that holds the runner's authentication "
        "token (glrt-…), such as /cicd/runners/default/token: up to 15 levels of letters, digits and ._-, "
        "the first beginning with neither aws nor ssm. Never the token itself.",
        pattern=r"^(/[A-Za-z0-9_.-]+){1,15}$",
        max_length=1011,
    )
    concurrent: int = Field(
        default=10, description="Most jobs of the fleet at once, 1 to 10000.", ge=1, le=10000
    )
    privileged: bool = Field(
        default=True,
        description="Whether job containers run privileged, as docker-in-docker needs. False for code "
        "that you do not trust.",
    )
    image: str = Field(
        default="alpine:3.22",
        description="Image of jobs that name none, such as registry.example.com/team/image:1.2.",
        pattern=_IMAGE,
        max_length=512,
    )
    poll_timeout_seconds: int = Field(
        default=900,
        description="How long a job's pod may stay Pending, 60 to 7200 seconds; a node group at zero "
        "needs minutes.",
        ge=60,
        le=7200,
    )
    node_groups: tuple[MapKey, ...] = Field(
        default=(),
        description="Names of the node groups where the fleet's jobs may run; their taints are tolerated. "
        "Empty: every node group without taints. All must be of one architecture.",
    )
    pod_labels: dict[LabelKey, PodLabelValue] = Field(
        default={},
        description=f"Further labels of job pods, besides `{FLEET_LABEL}`; $VARIABLES of the job are "
        "replaced.",
        max_length=50,
    )
    pod_annotations: dict[LabelKey, PodAnnotationValue] = Field(
        default={},
        description="Further annotations of job pods, one line each; $VARIABLES of the job are replaced.",
        max_length=50,
    )
    kubernetes: ExecutorSettings = Field(
        default=ExecutorSettings(),
        description="Further keys of GitLab Runner's Kubernetes executor, in its own names.",
    )
    cache: bool = Field(
        default=True,
        description="Whether jobs share a distributed cache: a prefix of their own in the S3 bucket.",
    )
    pod_monitor: bool = Field(
        default=False,
        description="Whether to create a PodMonitor for the manager's metrics; the Prometheus Operator must "
        "be in the cluster.",
    )
    build: ContainerResources = Field(
        default=ContainerResources(
            cpu_request="1",
            cpu_request_overwrite_max_allowed="16",
            cpu_limit_overwrite_max_allowed="16",
            memory_request="4Gi",
            memory_request_overwrite_max_allowed="16Gi",
            memory_limit_overwrite_max_allowed="16Gi",
        ),
        description="The container that runs the job's script. What is given here replaces the default as a "
        "whole. Containers without a limit get the highest limit or maximum that the fleet names for the "
        "resource.",
    )
    helper: ContainerResources = Field(
        default=ContainerResources(cpu_request="100m", memory_request="128Mi"),
        description="The container that clones, and moves caches and artifacts.",
    )
    service: ContainerResources = Field(
        default=ContainerResources(cpu_request="100m", memory_request="128Mi"),
        description="Each service container, docker-in-docker among them, which `build` does not bound.",
    )

    @field_validator("token_parameter")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        # AWS Systems Manager, "PutParameter".
        if name.lower().startswith(("/aws", "/ssm")):
            raise ValueError("must not begin with /aws or /ssm: Systems Manager keeps such names for AWS")
        if _TOKEN.search(name):
            raise ValueError("must be the name of a parameter that holds the token, and hold no token itself")
        return name

    @field_validator("kubernetes")
    @classmethod
    def _volumes_are_free(cls, kubernetes: ExecutorSettings, info: ValidationInfo) -> ExecutorSettings:
        taken = (
            "must be neither called {name} nor mounted at {mount_path}: in a privileged fleet that is "
            "docker-in-docker's"
        ).format_map(DOCKER_CERTIFICATES)
        refuse(
            (
                ("volumes", kind, str(index)),
                volume,
                taken,
            )
            for kind, volumes in (kubernetes.volumes or {}).items()
            for index, volume in enumerate(volumes)
            if info.data.get("privileged")
            and any(volume[key] == DOCKER_CERTIFICATES[key] for key in ("name", "mount_path"))
        )
        return kubernetes

    @field_validator("node_groups")
    @classmethod
    def _node_groups_are_distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        refuse_duplicates(names)
        return names

    @field_validator("pod_labels", "pod_annotations")
    @classmethod
    def _keys_are_free(cls, entries: dict[str, str]) -> dict[str, str]:
        # GitLab Runner ignores what is set under its own names.
        refuse(
            ((key,), value, "must be a key that neither this project nor GitLab Runner sets itself")
            for key, value in entries.items()
            if key in _TAKEN_KEYS or key.partition("/")[0].endswith("runner.gitlab.com")
        )
        return entries

    def placed_on(self, node_groups: Mapping[str, NodeGroupSettings]) -> dict[str, NodeGroupSettings]:
        """Return those of all `node_groups` where the fleet's jobs may run, sorted by name."""
        names = self.node_groups or [name for name, group in node_groups.items() if not group.taints]
        return {name: node_groups[name] for name in sorted(names)}
