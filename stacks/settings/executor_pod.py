"""Tables of a job's pod: security contexts, affinity, DNS, lifecycle hooks, services and patches.

Sources: common/config.go of GitLab Runner 18.9, GitLab's page "Kubernetes executor", and for values the
API reference of Kubernetes.
Not here: volumes (executor_volumes.py), and which values go together (pod_security.py).
"""

import json
import warnings
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from stacks.settings.executor_table import DnsName, RunnerTable
from stacks.settings.model import Mistake, refuse
from stacks.settings.node_groups import LabelKey, LabelValue


def _require_address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address, such as 10.0.0.10") from None
    return text


def _refuse_prefix(name: str) -> str:
    # containerd puts CAP_ before each name.
    if name.upper().startswith("CAP_"):
        raise ValueError(f"must be without CAP_: {name[4:]}")
    return name


IpAddress = Annotated[str, AfterValidator(_require_address)]
_MAX_DEPTH = 40  # of a patch

Capability = Annotated[str, Field(pattern=r"^[A-Za-z_]+$"), AfterValidator(_refuse_prefix)]
NumericUserId = Annotated[int, Field(ge=0, le=2**31 - 1)]
Port = Annotated[int, Field(ge=1, le=65535)]

# Kubernetes, "Pod Security Standards", "Baseline", "Capabilities".
BASELINE_CAPABILITIES = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)


class CapabilitiesSettings(RunnerTable):
    """Linux capabilities of a container; a list replaces the fleet's `cap_add` or `cap_drop`."""

    add: list[Capability] | None = Field(
        default=None, description="Capabilities to add, without CAP_, such as [CHOWN]."
    )
    drop: list[Capability] | None = Field(
        default=None, description="Capabilities to drop, without CAP_, such as [ALL]."
    )


class UserSettings(RunnerTable):
    """The keys that both kinds of security context have."""

    run_as_user: NumericUserId | None = Field(default=None, description="User ID of the processes.")
    run_as_group: NumericUserId | None = Field(default=None, description="Group ID of the processes.")
    run_as_non_root: bool | None = Field(
        default=None, description="Whether Kubernetes refuses to start a container as root."
    )
    selinux_type: str | None = Field(default=None, description="SELinux type, such as container_t.")

    @model_validator(mode="after")
    def _refuse_root(self) -> Self:
        if self.run_as_non_root and self.run_as_user == 0:
            refuse([(("run_as_user",), 0, "must be above 0, because run_as_non_root is true")])
        return self


class PodSecurityContextSettings(UserSettings):
    """Security context of a job's pod."""

    fs_group: NumericUserId | None = Field(default=None, description="Group ID that owns the volumes.")
    supplemental_groups: list[NumericUserId] | None = Field(
        default=None, description="Additional group IDs of the processes, a list of integers."
    )


class ContainerSecurityContextSettings(UserSettings):
    """Security context of one kind of container; `privileged` is a setting of the fleet."""

    allow_privilege_escalation: bool | None = Field(
        default=None,
        description="Whether a process may get more privileges than its parent. Without it the fleet's "
        "`kubernetes.allow_privilege_escalation`.",
    )
    capabilities: CapabilitiesSettings | None = Field(default=None, description="Linux capabilities.")
    proc_mount: Annotated[str, Field(pattern=r"^(?i:default|unmasked)$")] | None = Field(
        default=None, description="How /proc is mounted: Default or Unmasked."
    )
    read_only_root_filesystem: bool | None = Field(
        default=None, description="Whether the image's file system is read-only."
    )


class LabelRequirementSettings(RunnerTable):
    """A condition on one label."""

    key: LabelKey = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="In, NotIn, Exists or DoesNotExist."
    )
    values: list[LabelValue] | None = Field(
        default=None, description="Label values: at least one for In and NotIn, none for the others."
    )

    @model_validator(mode="after")
    def _require_values(self) -> Self:
        if bool(self.values) != (self.operator in ("In", "NotIn")):
            need = "have an entry" if not self.values else "be left out"
            refuse([(("values",), self.values, f"must {need} with the operator {self.operator}")])
        return self


class LabelSelectorSettings(RunnerTable):
    """Chooses objects by their labels; all conditions must hold."""

    match_labels: dict[LabelKey, LabelValue] | None = Field(
        default=None, description="Labels and their values, as a map."
    )
    match_expressions: list[LabelRequirementSettings] | None = Field(
        default=None, description="Conditions on labels: a list of maps with key, operator and values."
    )


class PodAffinityTermSettings(RunnerTable):
    """A rule about the nodes where certain other pods run."""

    topology_key: LabelKey = Field(
        description="Node label whose value says what is near, such as topology.kubernetes.io/zone or "
        "kubernetes.io/hostname."
    )
    label_selector: LabelSelectorSettings | None = Field(
        default=None, description="The other pods, by their labels."
    )
    namespaces: list[DnsName] | None = Field(
        default=None, description="Namespaces of the other pods. Without it the namespace of the job."
    )
    namespace_selector: LabelSelectorSettings | None = Field(
        default=None, description="Namespaces of the other pods, by their labels."
    )


class PreferredPodAffinityTermSettings(RunnerTable):
    """A rule that the scheduler follows if it can."""

    weight: Annotated[int, Field(ge=1, le=100)] = Field(
        description="Weight of the rule among the preferred ones, 1 to 100."
    )
    pod_affinity_term: PodAffinityTermSettings = Field(description="The rule.")


class PodAffinitySettings(RunnerTable):
    """Rules that place job pods near other pods, or away from them."""

    required_during_scheduling_ignored_during_execution: list[PodAffinityTermSettings] | None = Field(
        default=None, description="Rules without which a pod is not scheduled."
    )
    preferred_during_scheduling_ignored_during_execution: list[PreferredPodAffinityTermSettings] | None = (
        Field(
            default=None,
            description="Rules that the scheduler follows if it can: a list of maps with weight and "
            "pod_affinity_term.",
        )
    )


class AffinitySettings(RunnerTable):
    """Affinity between pods; the fleet's `node_groups` say on which nodes they run."""

    pod_affinity: PodAffinitySettings | None = Field(
        default=None, description="Rules that place job pods near other pods."
    )
    pod_anti_affinity: PodAffinitySettings | None = Field(
        default=None, description="Rules that place job pods away from other pods."
    )


class DnsOptionSettings(RunnerTable):
    """An option of the resolver."""

    name: Annotated[str, Field(pattern=r"^\S+$")] = Field(description="Name of the option, such as ndots.")
    value: str | None = Field(default=None, description='Value of the option, in quotes, such as "2".')


class DnsConfigSettings(RunnerTable):
    """The resolver of job pods, on top of what `dns_policy` gives them."""

    nameservers: list[IpAddress] | None = Field(
        default=None, description="Up to 3 addresses of DNS servers.", max_length=3
    )
    options: list[DnsOptionSettings] | None = Field(
        default=None, description="Options of the resolver: a list of maps with name and value."
    )
    searches: Annotated[list[str], Field(max_length=32)] | None = Field(
        default=None, description="Up to 32 DNS search domains."
    )


class ExecActionSettings(RunnerTable):
    """A command in the container."""

    command: list[str] = Field(
        description='Program and arguments as a list, such as [sh, -c, "echo done"]. No shell reads it.',
        min_length=1,
    )


class HttpHeaderSettings(RunnerTable):
    """A header of an HTTP request."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = Field(description="Name of the header.")
    value: str = Field(description="Value of the header.")


class HttpGetActionSettings(RunnerTable):
    """An HTTP request to the container."""

    port: Port = Field(description="Port of the container, 1 to 65535.")
    path: str | None = Field(default=None, description="Path of the request, such as /stop.")
    host: str | None = Field(default=None, description="Host name. Without it the pod's address.")
    scheme: Literal["HTTP", "HTTPS"] | None = Field(default=None, description="HTTP (the default) or HTTPS.")
    http_headers: list[HttpHeaderSettings] | None = Field(
        default=None, description="Headers of the request: a list of maps with name and value."
    )


class TcpSocketActionSettings(RunnerTable):
    """A TCP connection to the container."""

    port: Port = Field(description="Port of the container, 1 to 65535.")
    host: str | None = Field(default=None, description="Host name. Without it the pod's address.")


class LifecycleHandlerSettings(RunnerTable):
    """A hook: exactly one of its keys."""

    exec: ExecActionSettings | None = Field(default=None, description="A command in the container.")
    http_get: HttpGetActionSettings | None = Field(
        default=None, description="An HTTP request to the container."
    )
    tcp_socket: TcpSocketActionSettings | None = Field(
        default=None, description="A TCP connection to the container."
    )

    @model_validator(mode="after")
    def _require_one_action(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("must have exactly one of exec, http_get and tcp_socket")
        return self


class ContainerLifecycleSettings(RunnerTable):
    """Hooks of the build container."""

    post_start: LifecycleHandlerSettings | None = Field(
        default=None, description="Hook that runs when the container has started."
    )
    pre_stop: LifecycleHandlerSettings | None = Field(
        default=None, description="Hook that runs before the container is stopped."
    )


class PodPatchSettings(RunnerTable):
    """A patch of the pod that the runner makes for a job."""

    name: str | None = Field(default=None, description="Name of the patch in the runner's messages.")
    patch: str | None = Field(
        default=None,
        description='The patch as a string of YAML or JSON, such as "hostUsers: false". It changes the '
        "pod's spec, so it begins below `spec`.",
    )
    patch_path: str | None = Field(
        default=None, description="Path of a file with the patch in the manager's container."
    )
    patch_type: Literal["strategic", "merge", "json"] | None = Field(
        default=None,
        description="strategic (the default) or merge: the patch is a map. json: it is a list of operations.",
    )

    @model_validator(mode="after")
    def _require_one_readable_patch(self) -> Self:
        if bool(self.patch) == bool(self.patch_path):
            raise ValueError("must have exactly one of patch and patch_path, and it must not be empty")
        refuse(self._find_mistakes_in_patch())
        return self

    def _find_mistakes_in_patch(self) -> Iterator[Mistake]:
        if not self.patch:
            return
        try:
            content = parse_patch(self.patch)
        except ValueError:
            yield ("patch",), self.patch, "must be valid YAML or JSON, without aliases"
            return
        if self.patch_type != "json" and not isinstance(content, dict):
            accepted = "must be a map in YAML or JSON; a list of operations needs `patch_type: json`"
            yield ("patch",), self.patch, accepted
        if self.patch_type == "json" and not _is_json_patch(content):
            accepted = (
                "must be a list of operations with op, path and value, such as "
                '[{"op": "add", "path": "/hostname", "value": "a"}]; a map needs another patch_type'
            )
            yield ("patch",), self.patch, accepted


def parse_patch(text: str) -> Any:
    """Return the content of a patch, as the runner reads it: YAML 1.1, which includes JSON.

    Raises:
        ValueError: If it is not YAML that JSON can hold, or has aliases or deep nesting.

    """
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    depth = 0
    try:
        for event in yaml.parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            # With either a short text takes the parser, or what reads its result, very long.
            if isinstance(event, AliasEvent) or depth > _MAX_DEPTH:
                raise ValueError("it has aliases or deep nesting")
        with warnings.catch_warnings(action="ignore"):  # the parser warns of 1e3
            content = yaml.load(text)
        json.dumps(content, default=str)  # the runner turns the patch into JSON
    except (YAMLError, ArithmeticError, AttributeError, LookupError, TypeError) as error:
        # Besides its own errors the parser has those of the types that a tag such as !!timestamp names.
        raise ValueError(str(error)) from None
    return content


# RFC 6902, "JSON Patch": each operation, and the member that it has besides `op` and `path`.
_OPERATIONS = dict.fromkeys(("add", "replace", "test"), "value") | dict.fromkeys(("move", "copy"), "from")
_OPERATIONS["remove"] = "path"


def _is_json_patch(content: Any) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and all(
            isinstance(operation, dict)
            and str(operation.get("path")).startswith("/")
            and operation.get("op") in list(_OPERATIONS)
            and _OPERATIONS[operation["op"]] in operation
            for operation in content
        )
    )


class ServiceSettings(RunnerTable):
    """A container that runs beside every job."""

    name: Annotated[str, Field(pattern=r"^\S+$")] = Field(
        description="Image of the service, such as docker:dind. $VARIABLES of the job are replaced."
    )
    alias: Annotated[str, Field(pattern=r"^([a-z0-9., -]|\$[A-Za-z0-9_]+|\$\{[A-Za-z0-9_]+\})+$")] | None = (
        Field(
            default=None,
            description="Host names of the service in small letters, with spaces or commas between them. "
            "$VARIABLES of the job are replaced.",
        )
    )
    command: list[str] | None = Field(
        default=None, description='Arguments of the service as a list, such as ["--mtu=1450"].'
    )
    entrypoint: list[str] | None = Field(
        default=None, description="Program of the service and its arguments, as a list."
    )
    environment: list[Annotated[str, Field(pattern=r"^[^=\s]+=")]] | None = Field(
        default=None, description='Variables as a list of NAME=value, such as ["POSTGRES_DB=test"].'
    )


class HostAliasSettings(RunnerTable):
    """Additional names of one address in /etc/hosts of job pods."""

    ip: IpAddress = Field(description="IPv4 or IPv6 address, such as 10.0.0.10.")
    hostnames: list[DnsName] = Field(
        description="Names of the address as a list, such as [db.example.com].", min_length=1
    )
