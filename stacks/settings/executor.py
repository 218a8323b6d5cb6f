"""Keys of GitLab Runner's Kubernetes executor that a fleet may set, besides those of `RunnerSettings`.

Names and types are GitLab's, so that a misspelt key is an error: the runner itself ignores it.
Not here: keys that the project sets from other settings (namespace, image, privileged, requests, limits
and maxima, poll_timeout, labels, annotations, node placement), keys with which a job could change these
(`*_overwrite_allowed`, `bearer_token`), and the way to the cluster (host, certificates).
"""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from stacks.settings.executor_pod import (
    BASELINE_CAPABILITIES,
    AffinitySettings,
    Capability,
    ContainerLifecycleSettings,
    ContainerSecurityContextSettings,
    DnsConfigSettings,
    HostAliasSettings,
    PodPatchSettings,
    PodSecurityContextSettings,
    ServiceSettings,
)
from stacks.settings.executor_table import DnsName
from stacks.settings.executor_volumes import VolumesSettings
from stacks.settings.model import SettingsModel, refuse

PullPolicy = Literal["always", "if-not-present", "never"]

# GitLab Runner puts the paths into shell scripts.
Folder = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)+$", max_length=256)]
Integer = Annotated[int, Field(le=2**63 - 1)]  # the largest of TOML and Go
NumericId = Annotated[str, Field(pattern=r"^[0-9]{1,10}$")]


def _write_string_as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class ExecutorSettings(SettingsModel):
    """Keys of `[runners.kubernetes]`: GitLab's page "Kubernetes executor" describes each of them."""

    affinity: AffinitySettings | None = Field(default=None, description="Affinity rules between pods.")
    allow_privilege_escalation: bool | None = Field(
        default=None,
        description="Run containers with allowPrivilegeEscalation. `false` needs `privileged: false`.",
    )
    allowed_groups: list[NumericId] | None = Field(
        default=None, description="Group IDs, in quotes, that a job may run containers as."
    )
    allowed_images: list[str] | None = Field(
        default=None, description="Patterns with wildcards of the images that a job may use."
    )
    allowed_pull_policies: list[PullPolicy] | None = Field(
        default=None, description="Pull policies that a job may choose: always, if-not-present, never."
    )
    allowed_services: list[str] | None = Field(
        default=None, description="Patterns with wildcards of the service images that a job may use."
    )
    allowed_users: list[NumericId] | None = Field(
        default=None, description="User IDs, in quotes, that a job may run containers as."
    )
    build_container_security_context: ContainerSecurityContextSettings | None = Field(
        default=None, description="Security context of the build container."
    )
    cap_add: list[Capability] | None = Field(
        default=None,
        description="Linux capabilities to add, without CAP_, such as [CHOWN] beside `cap_drop: [ALL]`. With "
        f"`privileged: false` only {', '.join(BASELINE_CAPABILITIES)}.",
    )
    cap_drop: list[Capability] | None = Field(
        default=None, description="Linux capabilities to drop, without CAP_, such as [ALL]."
    )
    cleanup_grace_period_seconds: Integer | None = Field(
        default=None,
        description="Seconds that the pod of a finished job gets to end. Default: 5, or the "
        "pod's own grace if `pod_termination_grace_period_seconds` or a pre_stop hook is set.",
        ge=0,
    )
    cleanup_resources_timeout: Annotated[str, Field(pattern=r"^([1-9][0-9]{0,4}(ms|s|m|h)){1,3}$")] | None = (
        Field(default=None, description="Time limit for removing a job's objects, such as 5m.")
    )
    container_lifecycle: ContainerLifecycleSettings | None = Field(
        default=None, description="post_start and pre_stop hooks of the build container."
    )
    dns_config: DnsConfigSettings | None = Field(
        default=None, description="DNS configuration of job pods: nameservers, options, searches."
    )
    dns_policy: Literal["none", "default", "cluster-first", "cluster-first-with-host-net"] | None = Field(
        default=None,
        description="DNS policy of job pods: none, default, cluster-first or cluster-first-with-host-net.",
    )
    helper_container_security_context: ContainerSecurityContextSettings | None = Field(
        default=None, description="Security context of the helper container."
    )
    helper_image: Annotated[str, Field(pattern=r"^\S+$", max_length=512)] | None = Field(
        default=None, description="Image of the helper container; $VARIABLES of the job are replaced."
    )
    helper_image_autoset_arch_and_os: bool | None = Field(
        default=None,
        description="No effect: the runner takes the helper image of the node groups' architecture. Leave it "
        "out.",
    )
    helper_image_flavor: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")] | None = Field(
        default=None, description="Flavor of the helper image, such as alpine, alpine-latest or ubuntu."
    )
    host_aliases: list[HostAliasSettings] | None = Field(
        default=None, description="Additional host names: a list of maps with ip and hostnames."
    )
    image_pull_secrets: list[DnsName] | None = Field(
        default=None, description="Names of Secrets of the job namespace for private registries."
    )
    init_permissions_container_security_context: ContainerSecurityContextSettings | None = Field(
        default=None, description="Security context of the init-permissions container."
    )
    logs_base_dir: Folder | None = Field(
        default=None,
        description="Absolute path of the folder in which the runner mounts a volume for the job's log, such "
        "as /tmp. Every image must have it.",
    )
    pod_security_context: PodSecurityContextSettings | None = Field(
        default=None, description="Security context of job pods."
    )
    pod_spec: list[PodPatchSettings] | None = Field(
        default=None,
        description="Patches of the generated pod, an experimental feature of GitLab Runner: a list of maps "
        "with name, patch and patch_type.",
    )
    pod_termination_grace_period_seconds: Integer | None = Field(
        default=None, description="Seconds that a job's processes get to end after SIGTERM.", ge=0
    )
    poll_interval: Integer | None = Field(
        default=None, description="Seconds between two checks of a starting pod.", ge=1
    )
    print_pod_warning_events: bool | None = Field(
        default=None, description="Print the pod's warning events when a job fails."
    )
    priority_class_name: DnsName | None = Field(
        default=None, description="Name of the job pods' priority class."
    )
    pull_policy: Annotated[list[PullPolicy], BeforeValidator(_write_string_as_list)] | None = Field(
        default=None, description="Pull policy (always, if-not-present or never), or a list to try in order."
    )
    resource_availability_check_max_attempts: Integer | None = Field(
        default=None, description="Number of attempts to find the service account and the pull Secrets.", ge=0
    )
    retry_backoff_max: Integer | None = Field(
        default=None,
        description="Maximum wait between two attempts to reach the Kubernetes API, milliseconds.",
        ge=500,
    )
    retry_limit: Integer | None = Field(
        default=None, description="Number of attempts to reach the Kubernetes API. Default: 20.", ge=1
    )
    retry_limits: dict[str, Annotated[int, Field(ge=0, le=2**63 - 1)]] | None = Field(
        default=None,
        description="Number of attempts to reach the Kubernetes API, by string in the error message; added "
        "to those that this project sets.",
    )
    runtime_class_name: DnsName | None = Field(
        default=None, description="Name of the job pods' runtime class."
    )
    scheduler_name: DnsName | None = Field(default=None, description="Name of the job pods' scheduler.")
    scripts_base_dir: Folder | None = Field(
        default=None,
        description="Absolute path of the folder in which the runner mounts a volume for the job's scripts, "
        "such as /tmp. Every image must have it.",
    )
    service_account: DnsName | None = Field(
        default=None, description="Name of the service account of job pods; its token is not mounted."
    )
    service_container_security_context: ContainerSecurityContextSettings | None = Field(
        default=None, description="Security context of service containers."
    )
    services: list[ServiceSettings] | None = Field(
        default=None, description="Services of every job: a list of maps with name, alias and so on."
    )
    use_service_account_image_pull_secrets: bool | None = Field(
        default=None, description="Use the pull Secrets of the service account."
    )
    volumes: VolumesSettings | None = Field(
        default=None,
        description="Additional volumes by kind (empty_dir, host_path, pvc, config_map, secret, csi): lists "
        "of maps with name, mount_path and so on.",
    )

    @model_validator(mode="after")
    def _require_name_servers(self) -> Self:
        # Kubernetes, "DNS for Services and Pods", "Pod's DNS Policy".
        if self.dns_policy == "none" and not (self.dns_config and self.dns_config.nameservers):
            accepted = "needs an address in dns_config.nameservers: Kubernetes adds no other DNS server"
            refuse([(("dns_policy",), "none", accepted)])
        return self
