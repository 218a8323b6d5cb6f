"""Settings of the cluster stack."""

from ipaddress import IPv4Network
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from stacks.settings.addresses import PRIVATE_RANGES, RESERVED_RANGES, Ipv4Range
from stacks.settings.log_retention import RETENTION_RULE, RetentionDays
from stacks.settings.model import MAP_KEY_RULE, MapKey, Mistake, SettingsModel, find_duplicates, refuse
from stacks.settings.node_groups import RECOMMENDED_RELEASE, NodeGroupSettings
from stacks.versions import AWS_PROVIDER_6_SETTINGS, CLUSTER_AUTOSCALER_IMAGE_TAGS

PrincipalArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws(-[a-z-]+)?:iam::[0-9]{12}:(root|(role|user)/([A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64})$"
    ),
]
# AWS KMS, "Key identifiers (KeyId)": the ARN of a key, not of an alias.
KmsKeyArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws(-[a-z-]+)?:kms:[a-z0-9-]+:[0-9]{12}:key/"
        r"(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
    ),
]
# Amazon ECR API Reference, "CreatePullThroughCacheRule": the names that ECR takes.
CacheCredentialArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws(-[a-z-]+)?:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:"
        r"ecr-pullthroughcache/[A-Za-z0-9/_+=.@-]+$",
        max_length=612,
    ),
]
AddonName = Literal["vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "eks-node-monitoring-agent"]

_PRIVATE_OR_RESERVED = (*PRIVATE_RANGES, *RESERVED_RANGES)


class ClusterSettings(SettingsModel):
    """The cluster stack: EKS, access to it, and its node groups."""

    name: str = Field(
        default="cicd",
        description="Name of the EKS cluster; unique in the account and region. Up to 100 letters, digits, "
        "- and _, starting with a letter or digit.",
        pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$",
    )
    kubernetes_version: str = Field(
        default="1.35",
        description="Version of Kubernetes, in quotes: one of "
        f"{', '.join(CLUSTER_AUTOSCALER_IMAGE_TAGS)}, which are tested, or any other one that EKS has "
        "together with `versions.cluster_autoscaler_image_tag`.",
        pattern=r"^1\.[1-9][0-9]?$",
    )
    support_type: Literal["STANDARD", "EXTENDED"] = Field(
        default="STANDARD",
        description="STANDARD: AWS upgrades the control plane when standard support ends, and creates no "
        "cluster of a version after that. EXTENDED: AWS keeps the version for 12 more months, at a higher "
        "price. It can't be changed while the cluster's version is in extended support.",
    )
    force_update_version: bool = Field(
        default=False,
        description="true: EKS upgrades the control plane even if its readiness checks find something, such "
        "as an add-on that does not fit the new version. false: EKS then refuses the upgrade.",
    )
    endpoint_public_access_cidrs: tuple[Ipv4Range, ...] = Field(
        default=(),
        description="Up to 40 public IPv4 ranges, such as [203.0.113.0/24], that may reach the "
        "Kubernetes API over the internet. If the list is empty, only the VPC reaches it. 0.0.0.0/0 also "
        "needs `allow_public_endpoint_from_anywhere`.",
        max_length=40,
    )
    allow_public_endpoint_from_anywhere: bool = Field(
        default=False,
        description="Allow 0.0.0.0/0 in `endpoint_public_access_cidrs`: every machine on the internet may "
        "then try to log in to the Kubernetes API.",
    )
    admin_principal_arns: tuple[PrincipalArn, ...] = Field(
        default=(),
        description="Up to 10 IAM principals of other accounts, such as "
        "arn:aws:iam::123456789012:role/admin (role, user or root), that may assume the "
        "cluster-admin role. Principals of the cluster's own account need no entry here, only an IAM "
        "policy that allows sts:AssumeRole.",
        max_length=10,
    )
    enabled_cluster_log_types: tuple[
        Literal["api", "audit", "authenticator", "controllerManager", "scheduler"], ...
    ] = Field(
        default=("api", "audit", "authenticator", "controllerManager", "scheduler"),
        description="Control-plane logs that EKS sends to CloudWatch.",
    )
    log_retention_days: RetentionDays = Field(
        default=30, description=f"Days that CloudWatch keeps the control-plane logs: {RETENTION_RULE}."
    )
    addon_versions: dict[
        AddonName,
        Annotated[str, Field(pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+-eksbuild\.[0-9]+$")],
    ] = Field(
        default={},
        description="Versions of EKS add-ons by name, such as {vpc-cni: v1.20.4-eksbuild.2}; vpc-cni "
        "from v1.19.3 on. An add-on without one gets EKS's default for the Kubernetes version when it is "
        "created.",
    )
    secrets_key_arn: KmsKeyArn | None = Field(
        default=None,
        description="ARN of a KMS key of yours that encrypts the Secrets of Kubernetes, in the cluster's "
        "region. Only for a new cluster: EKS never changes the key of one, and a plan refuses it. Without "
        "it the cluster stack makes a key.",
    )
    volumes_key_arn: KmsKeyArn | None = Field(
        default=None,
        description="ARN of a KMS key of yours that encrypts the root volumes of all nodes, in the cluster's "
        "region; the cluster stack grants its use to Auto Scaling. A change replaces the nodes in a rolling "
        "update. Without it EBS's default key of the account and region encrypts them.",
    )
    warm_ip_target: int | None = Field(
        default=None,
        description="Number of free addresses, 1 to 50, that the VPC CNI keeps on each node for new pods. "
        "Together with `minimum_ip_target`, for small subnets. Without both it keeps a whole spare network "
        "interface of addresses, 15 or 30 on most instance types.",
        ge=1,
        le=50,
    )
    minimum_ip_target: int | None = Field(
        default=None,
        description="Number of addresses, 1 to 250, that the VPC CNI takes for each node at its start: a few "
        "more than the pods that usually run there. Together with `warm_ip_target`.",
        ge=1,
        le=250,
    )
    deletion_protection: bool | None = Field(
        default=None,
        description="true: EKS refuses to delete the cluster. false: it does not, which is EKS's default. To "
        "delete the cluster, deploy false first instead of taking true away. Needs "
        f"`versions.aws_provider` {AWS_PROVIDER_6_SETTINGS['deletion_protection']} or newer.",
    )
    scheduler_scoring: Literal["LeastAllocated", "MostAllocated"] | None = Field(
        default=None,
        description="Nodes that EKS's scheduler prefers, by requested CPU and memory, for all pods of the "
        "cluster: LeastAllocated, the emptiest, which is EKS's default; MostAllocated, the fullest that has "
        "room, so that others become empty. To go back, set LeastAllocated instead of taking it away. Needs "
        f"`versions.aws_provider` {AWS_PROVIDER_6_SETTINGS['scheduler_scoring']} or newer.",
    )
    node_repair: bool | None = Field(
        default=None,
        description="true: EKS replaces a node that has been unhealthy for 30 minutes, and ends what still "
        "runs there. false: it does not, which is EKS's default. To switch it off again, set false instead "
        "of taking true away.",
    )
    node_monitoring_agent: bool = Field(
        default=False,
        description="Whether the add-on eks-node-monitoring-agent looks for faults of kernel, network, disk "
        "and container runtime on each node. With `node_repair` EKS replaces nodes with such faults, too. It "
        "requests 10m of CPU and 30Mi of memory on each node.",
    )
    docker_hub_credential_arn: CacheCredentialArn | None = Field(
        default=None,
        description="ARN of a secret in Secrets Manager, in the account and region of the cluster. Its name "
        "begins with ecr-pullthroughcache/, and it holds the credential of a Docker Hub account. ECR then "
        "keeps Docker Hub's images under <name_prefix>-dockerhub/. Terraform never reads the secret.",
    )
    enable_irsa: bool = Field(
        default=False,
        description="Create an IAM OIDC provider for other projects that use IAM roles for service "
        "accounts (IRSA). This project uses EKS Pod Identity.",
    )
    node_groups: dict[MapKey, NodeGroupSettings] = Field(
        description="Managed node groups by name. At least one must be steady: a min_size of 1 or more and "
        f"no taints; {MAP_KEY_RULE}. A cluster has up to 30: with `protect_running_jobs` each entry counts "
        "once for each zone.",
        min_length=1,
    )

    @field_validator("addon_versions")
    @classmethod
    def _require_working_network_policies(cls, versions: dict[str, str]) -> dict[str, str]:
        # aws-network-policy-agent, issue 345 and pull request 361: mended in agent 1.2.0, of VPC CNI 1.19.3.
        found = versions.get("vpc-cni", "v1.19.3-")
        if tuple(map(int, found.removeprefix("v").partition("-")[0].split("."))) < (1, 19, 3):
            accepted = (
                "must be v1.19.3 or newer: with older ones a new pod does not get the answers to its first "
                "connections, so jobs hang while they clone"
            )
            refuse([(("vpc-cni",), found, accepted)])
        return versions

    @field_validator("endpoint_public_access_cidrs")
    @classmethod
    def _require_public_ranges(cls, cidrs: tuple[IPv4Network, ...]) -> tuple[IPv4Network, ...]:
        refuse(find_duplicates(cidrs))
        refuse(
            ((str(index),), str(cidr), "must be a public range: EKS refuses private and reserved ones here")
            for index, cidr in enumerate(cidrs)
            if any(cidr.subnet_of(block) for block in _PRIVATE_OR_RESERVED)
        )
        return cidrs

    @field_validator("enabled_cluster_log_types", "admin_principal_arns")
    @classmethod
    def _refuse_duplicates(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        refuse(find_duplicates(entries))
        return entries

    @model_validator(mode="after")
    def _require_versions_that_kubelets_may_have(self) -> Self:
        """Kubernetes, "Version Skew Policy": a kubelet is not newer, and at most three minors older."""
        newest = int(self.kubernetes_version.partition(".")[2])
        accepted = [f"1.{minor}" for minor in range(newest - 3, newest + 1)]
        mistakes: list[Mistake] = []
        for name, group in self.node_groups.items():
            version = group.kubernetes_version or self.kubernetes_version
            if version not in accepted:
                text = (
                    f"must be one of {', '.join(accepted)}, since the cluster has {self.kubernetes_version}"
                )
                mistakes.append((("node_groups", name, "kubernetes_version"), version, text))
            elif group.release_version not in (None, RECOMMENDED_RELEASE) and not (
                group.release_version.startswith(f"{version}.")
            ):
                text = f"must be a release of the group's Kubernetes version, such as {version}.2-20260520"
                mistakes.append((("node_groups", name, "release_version"), group.release_version, text))
        refuse(mistakes)
        return self

    @model_validator(mode="after")
    def _require_both_targets(self) -> Self:
        # Without a minimum, a node asks EC2 for addresses with each few pods, until EC2 throttles it.
        names = ("warm_ip_target", "minimum_ip_target")
        refuse(
            ((name,), None, f"must be set together with {other}")
            for name, other in (names, names[::-1])
            if getattr(self, name) is None and getattr(self, other) is not None
        )
        return self

    @model_validator(mode="after")
    def _refuse_version_of_missing_addon(self) -> Self:
        name: AddonName = "eks-node-monitoring-agent"
        if name in self.addon_versions and not self.node_monitoring_agent:
            accepted = "must be left out, or cluster.node_monitoring_agent be true: it installs the add-on"
            refuse([(("addon_versions", name), self.addon_versions[name], accepted)])
        return self

    @field_validator("node_groups")
    @classmethod
    def _require_steady_group(cls, groups: dict[str, NodeGroupSettings]) -> dict[str, NodeGroupSettings]:
        if not any(group.is_steady for group in groups.values()):
            raise ValueError(
                "one group must have a min_size of 1 or more and no taints: DNS, the autoscaler and the "
                "runner managers run there"
            )
        return groups

    @model_validator(mode="after")
    def _require_consent_to_public_endpoint(self) -> Self:
        accepted = (
            "opens the Kubernetes API to the whole internet: name the ranges that need it, or set "
            "cluster.allow_public_endpoint_from_anywhere: true"
        )
        refuse(
            (("endpoint_public_access_cidrs", str(index)), str(cidr), accepted)
            for index, cidr in enumerate(self.endpoint_public_access_cidrs)
            if cidr.prefixlen == 0 and not self.allow_public_endpoint_from_anywhere
        )
        return self

    @property
    def steady_node_group(self) -> str:
        """Name of the first steady node group: DNS, the autoscaler and the managers run there."""
        return next(name for name, group in self.node_groups.items() if group.is_steady)
