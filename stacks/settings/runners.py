"""Settings of a runner fleet."""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from stacks.settings.addresses import PRIVATE_RANGES, URL_PORT, Ipv4Range
from stacks.settings.aws import PolicyArn
from stacks.settings.certificates import Certificates
from stacks.settings.container_resources import ContainerResources, ManagerResources
from stacks.settings.executor import ExecutorSettings, Folder
from stacks.settings.executor_volumes import VolumesSettings
from stacks.settings.model import MapKey, SettingsModel, find_duplicates, refuse
from stacks.settings.node_groups import LabelKey, NodeGroupSettings
from stacks.settings.pod_security import find_contradictions

FLEET_LABEL = "gitlab-runner-fleet"
"""Label of a fleet's namespaces and job pods, with the fleet's name."""

MANAGER_PRIORITY = "gitlab-runner-manager"
"""Priority class of the managers."""

SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"

# The runner finds a job's services by the label "pod"; the project sets the others.
_RESERVED_KEYS = ("pod", FLEET_LABEL, SAFE_TO_EVICT)

DOCKER_CERTIFICATES = {"name": "docker-certs", "mount_path": "/certs/client", "medium": "Memory"}
"""Volume in which docker-in-docker stores the TLS certificates that its clients read.

GitLab, "Use Docker to build Docker images", "Docker-in-Docker with TLS enabled in Kubernetes".
"""

# The runner replaces $VARIABLES of the job in both.
PodLabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9._${}-]*$", max_length=253)]
PodAnnotationValue = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=4096)]

# "Image reference" of the Open Container Initiative's distribution project: host, path, tag, digest. A
# $VARIABLE may stand in each of them, since the runner replaces the variables of the job.
_VARIABLE = r"\$([A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})"
_HOST = rf"({_VARIABLE}|[A-Za-z0-9])(({_VARIABLE}|[A-Za-z0-9.-])*({_VARIABLE}|[A-Za-z0-9]))?{URL_PORT}"
_PATH_WORD = rf"({_VARIABLE}|[a-z0-9]+)"
_PATH_PART = rf"{_PATH_WORD}([._-]*{_PATH_WORD})*"
_IMAGE = (
    rf"^({_HOST}/)?{_PATH_PART}(/{_PATH_PART})*"
    rf"(:({_VARIABLE}|[A-Za-z0-9_])({_VARIABLE}|[A-Za-z0-9_.-]){{0,127}})?"
    rf"(@(sha256:[0-9a-f]{{64}}|{_VARIABLE}))?$"
)

# Without ${ and %{, which Terraform would replace, and {{, which the chart's templates would.
_HOST_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_GITLAB_URL = rf"^https?://{_HOST_LABEL}(\.{_HOST_LABEL})*{URL_PORT}(/[A-Za-z0-9._~-]+)*/?$"

# Go's duration, as in config.toml.
RunnerDuration = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,4}[smh]){1,3}$")]

RunnerTag = Annotated[
    str, Field(pattern=r"^[^\s,\x00-\x1f\x7f]([^,\x00-\x1f\x7f]*[^\s,\x00-\x1f\x7f])?$", max_length=255)
]

# A runner's whole token; messages.py masks tokens of every kind.
_TOKEN = re.compile(r"(glrtr?-|GR1348941)[\w.-]{16}", re.IGNORECASE)


class RunnerSettings(SettingsModel):
    """One fleet: a GitLab runner with its own token, namespaces and Helm release."""

    gitlab_url: str = Field(
        default="https://gitlab.com",
        description="URL of the GitLab instance, http:// or https://, without user, query or fragment, "
        "such as https://gitlab.example.com.",
        pattern=_GITLAB_URL,
        max_length=512,
    )
    tls_ca: Certificates | None = Field(
        default=None,
        description="Certificates of a private authority that signed GitLab's certificate: PEM, or the name "
        "of a PEM file in the folder of this environment's file, such as gitlab-ca.pem. The manager trusts "
        "them, and so do clone, artifacts and cache of its jobs. Job images and nodes do not. Never a "
        "private key.",
    )
    token_parameter: str = Field(
        description="Name of the SSM parameter (a SecureString) that holds the runner's authentication "
        "token (glrt-…), such as /cicd/runners/default/token: up to 15 levels of letters, digits and ._-. "
        "It must not begin with /aws or /ssm. Never write the token itself here.",
        pattern=r"^(/[A-Za-z0-9_.-]+){1,15}$",
        max_length=1011,
    )
    tags: tuple[RunnerTag, ...] | None = Field(
        default=None,
        description="Up to 50 tags that the fleet's runner has in GitLab, such as [eks, big]. Only `make "
        "jobs` reads them, to find the fleet of a job: GitLab holds the real ones. An empty list means that "
        "the runner has none and takes only jobs without tags. Without the key they are unknown.",
        max_length=50,
    )
    concurrent: int = Field(
        default=10,
        description="Maximum number of jobs that a manager runs at the same time, 1 to 10000. The fleet runs "
        "`replicas` times as many.",
        ge=1,
        le=10000,
    )
    replicas: int = Field(
        default=1,
        description="Number of managers, 1 to 10. They share the fleet's token, and each runs up to "
        "`concurrent` jobs. With two or more the fleet takes jobs while one is replaced or its node fails.",
        ge=1,
        le=10,
    )
    request_concurrency: int | None = Field(
        default=None,
        description="Maximum number of requests for a job that a manager has open at GitLab at the same "
        "time, 1 to `concurrent`. Default: a quarter of `concurrent`, 2 to 20.",
        ge=1,
    )
    unhealthy_requests_limit: int = Field(
        default=30,
        description="Number of failed requests for a job, 1 to 1000, after which a manager pauses. Requests "
        "are 3 seconds apart. Refused connections, DNS, TLS and 403 count; answers 5xx do not.",
        ge=1,
        le=1000,
    )
    unhealthy_interval: RunnerDuration = Field(
        default="2m",
        description="Time since the last request that GitLab answered, after which a paused manager asks "
        "again, such as 90s, 2m or 1h30m.",
    )
    termination_grace_period_seconds: int = Field(
        default=3600,
        description="Seconds that a manager which is replaced or removed has for its jobs to finish, 180 to "
        "86400. In the last 90 seconds it aborts the jobs that still run, and removes their pods.",
        ge=180,
        le=86400,
    )
    manager: ManagerResources = Field(
        default=ManagerResources(),
        description="Requests and limit of each manager. Values that are not set follow `concurrent`.",
    )
    privileged: bool = Field(
        default=True,
        description="Whether job containers run privileged; docker-in-docker needs that. Choose false for "
        "code that you do not trust.",
    )
    trusted: bool = Field(
        default=True,
        description="Whether you trust the code of the fleet's jobs. With false the settings refuse "
        "`privileged`, `job_policy_arns`, and node groups that have no taints or that other fleets use.",
    )
    private_egress_cidrs: tuple[Ipv4Range, ...] | None = Field(
        default=None,
        description="Up to 50 private IPv4 ranges that jobs may reach, such as [10.20.0.0/16]; with [] none. "
        "Cluster DNS and the internet stay reachable. Without the key jobs reach every address but the "
        f"instance metadata. Private are {', '.join(map(str, PRIVATE_RANGES))}.",
        max_length=50,
    )
    job_policy_arns: tuple[PolicyArn, ...] = Field(
        default=(),
        description="Up to 10 managed policies of AWS or of this account, such as "
        "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser. The fleet's jobs get a role with them "
        "(EKS Pod Identity). Without one, jobs have no AWS identity.",
        max_length=10,  # IAM, "Quotas", unless AWS raised the quota
    )
    image: str = Field(
        default="alpine:3.22",
        description="Container image of jobs that name none, such as registry.example.com/team/image:1.2 or "
        "$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX/alpine:3.22. The runner replaces $VARIABLES of the job.",
        pattern=_IMAGE,
        max_length=512,
    )
    builds_dir: Folder | None = Field(
        default=None,
        description="Absolute path of the folder with the jobs' repositories, such as /tmp/builds. Default: "
        "/builds. A volume of the fleet at this path replaces the runner's.",
    )
    poll_timeout_seconds: int = Field(
        default=900,
        description="Seconds that a job's pod may be Pending, 60 to 7200. A node group without nodes needs "
        "minutes to start one.",
        ge=60,
        le=7200,
    )
    node_groups: tuple[MapKey, ...] = Field(
        default=(),
        description="Names of the node groups where the fleet's jobs may run; the jobs tolerate their "
        "taints. If the list is empty, every node group without taints. All must have one architecture.",
    )
    pod_labels: dict[LabelKey, PodLabelValue] = Field(
        default={},
        description=f"Up to 50 labels of job pods, besides `{FLEET_LABEL}`. The runner replaces $VARIABLES "
        "of the job.",
        max_length=50,
    )
    pod_annotations: dict[LabelKey, PodAnnotationValue] = Field(
        default={},
        description="Up to 50 annotations of job pods, one line each. The runner replaces $VARIABLES of the "
        "job.",
        max_length=50,
    )
    kubernetes: ExecutorSettings = Field(
        default=ExecutorSettings(),
        description="Additional keys of GitLab Runner's Kubernetes executor.",
    )
    cache: bool = Field(
        default=True,
        description="Whether the fleet's jobs share a cache: one prefix of the S3 bucket.",
    )
    cache_multipart: bool = Field(
        default=False,
        description="Whether jobs transfer caches in several parts; S3 refuses a cache above 5 GB otherwise. "
        "The fleet gets one more IAM role, which its manager assumes for each transfer.",
    )
    pod_monitor: bool = Field(
        default=False,
        description="Whether to create a PodMonitor for the manager's metrics. The Prometheus Operator must "
        "be installed in the cluster.",
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
        description="Resources of the container that runs the job's script. A value replaces the whole "
        "default; keys are not merged. A container without a limit gets the highest limit or maximum that "
        "the fleet has for the resource.",
    )
    helper: ContainerResources = Field(
        default=ContainerResources(cpu_request="100m", memory_request="128Mi"),
        description="Resources of the helper container, which clones the repository and transfers caches and "
        "artifacts.",
    )
    service: ContainerResources = Field(
        default=ContainerResources(cpu_request="100m", memory_request="128Mi"),
        description="Resources of each service container, such as docker-in-docker. They come on top of "
        "`build`.",
    )

    @field_validator("token_parameter")
    @classmethod
    def _refuse_reserved_names(cls, name: str) -> str:
        # AWS Systems Manager, "PutParameter".
        if name.lower().startswith(("/aws", "/ssm")):
            raise ValueError("must not begin with /aws or /ssm: AWS reserves these names")
        if _TOKEN.search(name):
            raise ValueError("must be the name of the parameter that holds the token, not the token")
        return name

    @field_validator("node_groups", "job_policy_arns", "tags")
    @classmethod
    def _refuse_duplicates(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        refuse(find_duplicates(names or ()))
        return names

    @field_validator("private_egress_cidrs")
    @classmethod
    def _require_private_ranges(cls, cidrs: tuple[IPv4Network, ...] | None) -> tuple[IPv4Network, ...] | None:
        refuse(find_duplicates(cidrs or ()))
        refuse(
            ((str(index),), str(cidr), f"must be a part of {', '.join(map(str, PRIVATE_RANGES))}")
            for index, cidr in enumerate(cidrs or ())
            if not any(cidr.subnet_of(private) for private in PRIVATE_RANGES)
        )
        return cidrs

    @field_validator("pod_labels", "pod_annotations")
    @classmethod
    def _refuse_reserved_keys(cls, entries: dict[str, str]) -> dict[str, str]:
        # GitLab Runner ignores values under its own names.
        refuse(
            ((key,), value, "must be a key that neither this project nor GitLab Runner sets itself")
            for key, value in entries.items()
            if key in _RESERVED_KEYS or key.partition("/")[0].endswith("runner.gitlab.com")
        )
        return entries

    @model_validator(mode="after")
    def _refuse_volume_of_docker(self) -> Self:
        accepted = (
            "must be neither called {name} nor mounted at {mount_path}: in a privileged fleet that is the "
            "volume of docker-in-docker"
        ).format_map(DOCKER_CERTIFICATES)
        refuse(
            (("kubernetes", "volumes", *path), volume.model_dump(exclude_none=True), accepted)
            for path, volume in (self.kubernetes.volumes or VolumesSettings()).by_path()
            if self.privileged
            and (
                volume.name == DOCKER_CERTIFICATES["name"]
                or volume.mount_path == DOCKER_CERTIFICATES["mount_path"]
            )
        )
        return self

    @model_validator(mode="after")
    def _refuse_names_of_the_runner(self) -> Self:
        # executors/kubernetes/kubernetes.go, getVolumes: `repo` is the volume of the repositories.
        builds = self.builds_dir or "/builds"
        volumes = (self.kubernetes.volumes or VolumesSettings()).by_path()
        refuse(
            (
                ("kubernetes", "volumes", *path, "name"),
                "repo",
                f"must be another name, or be mounted at {builds}: GitLab Runner makes a volume of this name",
            )
            for path, volume in volumes
            if volume.name == "repo" and volume.mount_path != builds
        )
        return self

    @model_validator(mode="after")
    def _refuse_priority_of_managers(self) -> Self:
        if self.kubernetes.priority_class_name == MANAGER_PRIORITY:
            accepted = "must be another class: this one ranks the managers before the jobs"
            refuse([(("kubernetes", "priority_class_name"), MANAGER_PRIORITY, accepted)])
        return self

    @model_validator(mode="after")
    def _refuse_pods_that_kubernetes_refuses(self) -> Self:
        refuse(
            (("kubernetes", *path), value, accepted)
            for path, value, accepted in find_contradictions(self.kubernetes, privileged=self.privileged)
        )
        return self

    @model_validator(mode="after")
    def _require_requests_for_jobs_that_may_run(self) -> Self:
        if self.request_concurrency and self.request_concurrency > self.concurrent:
            accepted = f"must be at most concurrent, which is {self.concurrent}"
            refuse([(("request_concurrency",), self.request_concurrency, accepted)])
        return self

    @model_validator(mode="after")
    def _require_https_with_certificates(self) -> Self:
        if self.tls_ca and not self.gitlab_url.startswith("https://"):
            accepted = "must begin with https:// if tls_ca is set: without TLS GitLab has no certificate"
            refuse([(("gitlab_url",), self.gitlab_url, accepted)])
        return self

    @model_validator(mode="after")
    def _refuse_rights_of_untrusted_jobs(self) -> Self:
        accepted = "must be {} in a fleet with trusted: false"
        if not self.trusted and self.privileged:
            refuse([(("privileged",), True, f"{accepted.format('false')}: such a job can become root")])
        if not self.trusted and self.job_policy_arns:
            refuse([(("job_policy_arns",), list(self.job_policy_arns), accepted.format("empty"))])
        if not self.trusted and self.kubernetes.service_account:
            path = ("kubernetes", "service_account")
            reason = ", since the account may carry an AWS role"
            refuse([(path, self.kubernetes.service_account, accepted.format("left out") + reason)])
        return self

    @model_validator(mode="after")
    def _refuse_two_service_accounts(self) -> Self:
        name = self.kubernetes.service_account
        if self.job_policy_arns and name:
            accepted = "must not be set beside job_policy_arns, which bring a service account of their own"
            refuse([(("kubernetes", "service_account"), name, accepted)])
        return self

    @model_validator(mode="after")
    def _require_cache_of_multipart(self) -> Self:
        if self.cache_multipart and not self.cache:
            accepted = "must be false with cache: false: the fleet has nothing to transfer"
            refuse([(("cache_multipart",), True, accepted)])
        return self

    @property
    def gitlab_host(self) -> str:
        """Host of `gitlab_url`, without the port."""
        return urlsplit(self.gitlab_url).netloc.partition(":")[0]

    def placed_on(self, node_groups: Mapping[str, NodeGroupSettings]) -> dict[str, NodeGroupSettings]:
        """Return the groups of `node_groups` where the fleet's jobs may run, sorted by name."""
        names = self.node_groups or [name for name, group in node_groups.items() if not group.taints]
        return {name: node_groups[name] for name in sorted(names)}
