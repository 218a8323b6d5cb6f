"""Volumes that a fleet adds to its job pods: the table `[runners.kubernetes.volumes]`.

Sources: `KubernetesVolumes` in common/config.go of GitLab Runner 18.9, and GitLab's page "Kubernetes
executor", "Configure volume types".
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stacks.settings.executor_table import DnsLabel, DnsName, RunnerTable
from stacks.settings.model import Mistake, refuse

# The runner replaces $VARIABLES of the job in the path and, for a claim, in the name.
MountPath = Annotated[str, Field(pattern=r"^/[^:]*$")]
ClaimName = Annotated[str, Field(pattern=r"^([a-z0-9-]|\$[A-Za-z0-9_]+|\$\{[A-Za-z0-9_]+\})+$")]
MountPropagation = Literal["None", "HostToContainer", "Bidirectional"]

# executors/kubernetes/kubernetes.go, getVolumes.
_VOLUMES_OF_THE_RUNNER = ("logs", "scripts")


class Volume(RunnerTable):
    """The keys that every kind of volume has."""

    name: DnsLabel = Field(
        description="Name of the volume, up to 63 of a-z, 0-9 and -; of a config_map or secret also the name "
        "of that object in the job namespace."
    )
    mount_path: MountPath = Field(
        description="Absolute path in the containers, such as /cache. $VARIABLES of the job are replaced."
    )
    sub_path: str | None = Field(
        default=None, description="Folder of the volume to mount. $VARIABLES of the job are replaced."
    )


class KeyedVolume(Volume):
    """A ConfigMap or a Secret."""

    read_only: bool | None = Field(default=None, description="Whether the volume is read-only.")
    items: dict[str, str] | None = Field(
        default=None,
        description="The keys to mount, as a map of key to path, such as {ca.pem: certs/ca.pem}. Without it "
        "all keys.",
    )


class EmptyDirVolume(Volume):
    """A folder that begins empty and ends with the pod."""

    medium: Annotated[str, Field(pattern=r"^(Memory|HugePages(-[0-9]+[KMG]i)?)?$")] | None = Field(
        default=None, description='Memory for a RAM disk; "" or no key for the node\'s disk.'
    )
    size_limit: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[kMGTPE])$")] | None = Field(
        default=None, description="Maximum size as a byte quantity with a suffix, such as 512Mi or 4Gi."
    )


class HostPathVolume(Volume):
    """A folder of the node."""

    read_only: bool | None = Field(default=None, description="Whether the volume is read-only.")
    host_path: Annotated[str, Field(pattern=r"^/")] | None = Field(
        default=None, description="Absolute path on the node. Without it the same as `mount_path`."
    )
    mount_propagation: MountPropagation | None = Field(
        default=None, description="Mount propagation: None, HostToContainer or Bidirectional."
    )


class PvcVolume(Volume):
    """A persistent volume claim of the job namespace."""

    name: ClaimName = Field(
        description="Name of the claim in the job namespace. $VARIABLES of the job are replaced."
    )
    read_only: bool | None = Field(default=None, description="Whether the volume is read-only.")
    mount_propagation: MountPropagation | None = Field(
        default=None, description="Mount propagation: None, HostToContainer or Bidirectional."
    )


class CsiVolume(Volume):
    """An inline volume of a CSI driver."""

    driver: DnsName = Field(description="Name of the driver, such as secrets-store.csi.k8s.io.")
    fs_type: str | None = Field(default=None, description="File system, such as ext4.")
    read_only: bool | None = Field(default=None, description="Whether the volume is read-only.")
    volume_attributes: dict[str, str] | None = Field(
        default=None, description="Attributes for the driver, as a map of strings."
    )


class VolumesSettings(RunnerTable):
    """Volumes by kind."""

    config_map: list[KeyedVolume] | None = Field(default=None, description="ConfigMaps to mount.")
    csi: list[CsiVolume] | None = Field(default=None, description="Inline volumes of CSI drivers.")
    empty_dir: list[EmptyDirVolume] | None = Field(
        default=None, description="Folders that begin empty and end with the pod."
    )
    host_path: list[HostPathVolume] | None = Field(
        default=None, description="Folders of the node; only with `privileged: true`."
    )
    pvc: list[PvcVolume] | None = Field(default=None, description="Persistent volume claims to mount.")
    secret: list[KeyedVolume] | None = Field(default=None, description="Secrets to mount.")

    def by_path(self) -> Iterator[tuple[tuple[str, str], Volume]]:
        """Yield each volume with its path: kind and index."""
        for kind in type(self).model_fields:
            for index, volume in enumerate(getattr(self, kind) or []):
                yield (kind, str(index)), volume

    @model_validator(mode="after")
    def _refuse_what_a_pod_has_already(self) -> Self:
        refuse(self._find_conflicts())
        return self

    def _find_conflicts(self) -> Iterator[Mistake]:
        kinds: dict[str, str] = {}
        mount_paths = set()
        for path, volume in self.by_path():
            kind, name, mount_path = path[0], volume.name, volume.mount_path
            # The runner can mount one claim in several places.
            if name in kinds and not kind == kinds[name] == "pvc":
                yield (*path, "name"), name, "must be a name that no other volume of the fleet has"
            if name in _VOLUMES_OF_THE_RUNNER:
                yield (*path, "name"), name, "must be another name: GitLab Runner makes a volume of this name"
            if mount_path in mount_paths:
                yield (*path, "mount_path"), mount_path, "must be a path where no other volume is mounted"
            kinds[name] = kind
            mount_paths.add(mount_path)
