"""What may be said of the workloads stack: the autoscaler and the runner fleets."""

import re
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from stacks.settings.model import PORT, SettingsModel
from stacks.settings.quantities import ByteQuantity, CpuQuantity, quantity

FlagDuration = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,4}[smh]){1,3}$")]

# "Image reference" of the Open Container Initiative's distribution project: host, path, tag, digest.
_PATH_PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_IMAGE = (
    rf"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?{PORT}/)?{_PATH_PART}(/{_PATH_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
)

# Nothing that Terraform (${, %{) or the chart's templates ({{) would take for their own.
_GITLAB_URL = (
    rf"^https?://[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*{PORT}(/[A-Za-z0-9._~-]+)*/?$"
)


class AutoscalerSettings(SettingsModel):
    """The cluster autoscaler, in the words of its own command-line flags."""

    expander: Literal["least-waste", "most-pods", "random", "priority"] = Field(
        default="least-waste", description="How a node group is chosen when several would do."
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
                message = f"must be at least {floor}, which is {below}"
                raise ValueError(message)
        return value


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
    build: ContainerResources = Field(
        default=ContainerResources(
            cpu_request="1",
            cpu_request_overwrite_max_allowed="16",
            cpu_limit_overwrite_max_allowed="16",
            memory_request="4Gi",
            memory_request_overwrite_max_allowed="16Gi",
            memory_limit_overwrite_max_allowed="16Gi",
        ),
        description="The container that runs the job's script.",
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
            message = "must not begin with /aws or /ssm: Systems Manager keeps such names for AWS"
            raise ValueError(message)
        return name
