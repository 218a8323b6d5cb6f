"""Keys of GitLab Runner's Kubernetes executor that a fleet may set, besides those of `RunnerSettings`.

Names and types are GitLab's, so that a misspelt key is an error: the runner itself ignores it.
Not here: keys that the project sets from other settings (namespace, image, privileged, requests, limits
and maxima, poll_timeout, labels, annotations, node placement), keys with which a job could change these
(`*_overwrite_allowed`, `bearer_token`), and the way to the cluster (host, certificates).
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from stacks.settings.model import Mistake, SettingsModel, refuse

PullPolicy = Literal["always", "if-not-present", "never"]

KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
# GitLab Runner puts the paths into shell scripts.
Folder = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)+$", max_length=256)]
Capability = Annotated[str, Field(pattern=r"^[A-Za-z_]+$")]
NumericId = Annotated[str, Field(pattern=r"^[0-9]{1,10}$")]

# Keys of the runner's tables, one level down. `privileged` is a setting of the fleet.
SecurityContextKey = Literal[
    "allow_privilege_escalation",
    "capabilities",
    "proc_mount",
    "read_only_root_filesystem",
    "run_as_group",
    "run_as_non_root",
    "run_as_user",
    "selinux_type",
]
PodSecurityContextKey = Literal[
    "fs_group", "run_as_group", "run_as_non_root", "run_as_user", "selinux_type", "supplemental_groups"
]
VolumeKind = Literal["config_map", "csi", "empty_dir", "host_path", "pvc", "secret"]
VolumeKey = Literal[
    "driver",
    "fs_type",
    "host_path",
    "items",
    "medium",
    "mount_path",
    "mount_propagation",
    "name",
    "read_only",
    "size_limit",
    "sub_path",
    "volume_attributes",
]
ServiceKey = Literal["alias", "command", "entrypoint", "environment", "name"]
PodSpecKey = Literal["name", "patch", "patch_path", "patch_type"]
SchedulingKey = Literal[
    "preferred_during_scheduling_ignored_during_execution",
    "required_during_scheduling_ignored_during_execution",
]


def _write_string_as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _find_non_toml_values(value: object, path: tuple[str, ...] = ()) -> Iterator[Mistake]:
    """Yield each null and each integer of more than 64 bits inside a value: TOML has neither."""
    if value is None and path:
        yield path, value, "must be a string, a number, true, false, a list or a map"
    if isinstance(value, int) and abs(value) >= 2**63:
        yield path, value, "must be an integer of at most 64 bits"
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _find_non_toml_values(part, (*path, str(key)))


class AffinitySettings(SettingsModel):
    """Affinity between pods; the fleet's `node_groups` say on which nodes they run."""

    pod_affinity: dict[SchedulingKey, Any] | None = Field(
        default=None, description="Rules that place job pods near other pods."
    )
    pod_anti_affinity: dict[SchedulingKey, Any] | None = Field(
        default=None, description="Rules that place job pods away from other pods."
    )


class ExecutorSettings(SettingsModel):
    """Keys of `[runners.kubernetes]`: GitLab's page "Kubernetes executor" describes each of them."""

    affinity: AffinitySettings | None = Field(default=None, description="Affinity rules between pods.")
    allow_privilege_escalation: bool | None = Field(
        default=None, description="Run containers with allowPrivilegeEscalation."
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
    build_container_security_context: dict[SecurityContextKey, Any] | None = Field(
        default=None, description="Security context of the build container."
    )
    cap_add: list[Capability] | None = Field(
        default=None, description="Linux capabilities to add, such as [NET_ADMIN]."
    )
    cap_drop: list[Capability] | None = Field(
        default=None, description="Linux capabilities to drop, such as [ALL]."
    )
    cleanup_grace_period_seconds: int | None = Field(
        default=None, description="Seconds that the pod of a finished job gets to end. Default: 5.", ge=0
    )
    cleanup_resources_timeout: Annotated[str, Field(pattern=r"^([1-9][0-9]{0,4}(ms|s|m|h)){1,3}$")] | None = (
        Field(default=None, description="Time limit for removing a job's objects, such as 5m.")
    )
    container_lifecycle: dict[Literal["post_start", "pre_stop"], Any] | None = Field(
        default=None, description="post_start and pre_stop hooks of the build container."
    )
    dns_config: dict[Literal["nameservers", "options", "searches"], Any] | None = Field(
        default=None, description="DNS configuration of job pods: nameservers, options, searches."
    )
    dns_policy: Literal["none", "default", "cluster-first", "cluster-first-with-host-net"] | None = Field(
        default=None,
        description="DNS policy of job pods: none, default, cluster-first or cluster-first-with-host-net.",
    )
    helper_container_security_context: dict[SecurityContextKey, Any] | None = Field(
        default=None, description="Security context of the helper container."
    )
    helper_image: Annotated[str, Field(pattern=r"^\S+$", max_length=512)] | None = Field(
        default=None, description="Image of the helper container; $VARIABLES of the job are replaced."
    )
    helper_image_autoset_arch_and_os: bool | None = Field(
        default=None, description="Use the helper image for the architecture of the manager's node."
    )
    helper_image_flavor: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")] | None = Field(
        default=None, description="Flavor of the helper image, such as alpine, alpine-latest or ubuntu."
    )
    host_aliases: list[dict[Literal["hostnames", "ip"], Any]] | None = Field(
        default=None, description="Additional host names: a list of maps with ip and hostnames."
    )
    image_pull_secrets: list[KubernetesName] | None = Field(
        default=None, description="Names of Secrets of the job namespace for private registries."
    )
    init_permissions_container_security_context: dict[SecurityContextKey, Any] | None = Field(
        default=None, description="Security context of the init-permissions container."
    )
    logs_base_dir: Folder | None = Field(
        default=None,
        description="Absolute path of the folder in which the runner mounts a volume for the job's log, such "
        "as /tmp. Every image must have it.",
    )
    pod_security_context: dict[PodSecurityContextKey, Any] | None = Field(
        default=None, description="Security context of job pods."
    )
    pod_spec: list[dict[PodSpecKey, Any]] | None = Field(
        default=None,
        description="Patches of the generated pod, an experimental feature of GitLab Runner: a list of maps "
        "with name, patch and patch_type.",
    )
    pod_termination_grace_period_seconds: int | None = Field(
        default=None, description="Seconds that a job's processes get to end after SIGTERM.", ge=0
    )
    poll_interval: int | None = Field(
        default=None, description="Seconds between two checks of a starting pod.", ge=1
    )
    print_pod_warning_events: bool | None = Field(
        default=None, description="Print the pod's warning events when a job fails."
    )
    priority_class_name: KubernetesName | None = Field(
        default=None, description="Name of the job pods' priority class."
    )
    pull_policy: Annotated[list[PullPolicy], BeforeValidator(_write_string_as_list)] | None = Field(
        default=None, description="Pull policy (always, if-not-present or never), or a list to try in order."
    )
    resource_availability_check_max_attempts: int | None = Field(
        default=None, description="Number of attempts to find the service account and the pull Secrets.", ge=0
    )
    retry_backoff_max: int | None = Field(
        default=None,
        description="Maximum wait between two attempts to reach the Kubernetes API, milliseconds.",
        ge=500,
    )
    retry_limit: int | None = Field(
        default=None, description="Number of attempts to reach the Kubernetes API. Default: 20.", ge=1
    )
    retry_limits: dict[str, Annotated[int, Field(ge=0)]] | None = Field(
        default=None,
        description="Number of attempts to reach the Kubernetes API, by string in the error message; added "
        "to those that this project sets.",
    )
    runtime_class_name: KubernetesName | None = Field(
        default=None, description="Name of the job pods' runtime class."
    )
    scheduler_name: KubernetesName | None = Field(
        default=None, description="Name of the job pods' scheduler."
    )
    scripts_base_dir: Folder | None = Field(
        default=None,
        description="Absolute path of the folder in which the runner mounts a volume for the job's scripts, "
        "such as /tmp. Every image must have it.",
    )
    service_account: KubernetesName | None = Field(
        default=None, description="Name of the service account of job pods; its token is not mounted."
    )
    service_container_security_context: dict[SecurityContextKey, Any] | None = Field(
        default=None, description="Security context of service containers."
    )
    services: list[dict[ServiceKey, Any]] | None = Field(
        default=None, description="Services of every job: a list of maps with name, alias and so on."
    )
    use_service_account_image_pull_secrets: bool | None = Field(
        default=None, description="Use the pull Secrets of the service account."
    )
    volumes: dict[VolumeKind, list[dict[VolumeKey, Any]]] | None = Field(
        default=None,
        description="Additional volumes by kind (empty_dir, host_path, pvc, config_map, secret, csi): lists "
        "of maps with name, mount_path and so on.",
    )

    @field_validator("volumes")
    @classmethod
    def _require_mount_paths(
        cls, volumes: dict[str, list[dict[str, Any]]] | None
    ) -> dict[str, list[dict[str, Any]]] | None:
        refuse(
            ((kind, str(index)), volume, "must have a string as name and an absolute path as mount_path")
            for kind, entries in (volumes or {}).items()
            for index, volume in enumerate(entries)
            if not isinstance(volume.get("name"), str) or not str(volume.get("mount_path")).startswith("/")
        )
        return volumes

    @field_validator("services", "host_aliases")
    @classmethod
    def _require_names(cls, entries: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        refuse(
            ((str(index),), entry, "must have a string as name (a service) or ip (an alias)")
            for index, entry in enumerate(entries or [])
            if not isinstance(entry.get("name", entry.get("ip")), str)
        )
        return entries

    @field_validator("*")
    @classmethod
    def _require_toml_values(cls, value: object) -> object:
        refuse(_find_non_toml_values(value))
        return value
