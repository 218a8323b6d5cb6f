"""The cluster stack: EKS, its add-ons and its node groups.

Intent: the Kubernetes API is private, except for the ranges of the settings. Only access entries give
access. Nodes are disposable, and the autoscaler decides on their number.
Not here: objects inside Kubernetes (workloads.py).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cdktf import ITerraformDependable, Precondition, TerraformLocal, TerraformResourceLifecycle
from cdktf_cdktf_provider_aws.cloudwatch_log_group import CloudwatchLogGroup
from cdktf_cdktf_provider_aws.data_aws_caller_identity import DataAwsCallerIdentity
from cdktf_cdktf_provider_aws.data_aws_cloudwatch_log_groups import DataAwsCloudwatchLogGroups
from cdktf_cdktf_provider_aws.data_aws_partition import DataAwsPartition
from cdktf_cdktf_provider_aws.eks_addon import EksAddon
from cdktf_cdktf_provider_aws.eks_cluster import EksCluster
from cdktf_cdktf_provider_aws.eks_node_group import EksNodeGroup
from cdktf_cdktf_provider_aws.iam_openid_connect_provider import IamOpenidConnectProvider
from cdktf_cdktf_provider_aws.iam_role import IamRole
from cdktf_cdktf_provider_aws.iam_role_policy_attachment import IamRolePolicyAttachment
from cdktf_cdktf_provider_aws.kms_alias import KmsAlias
from cdktf_cdktf_provider_aws.kms_key import KmsKey
from constructs import Construct

from stacks.addon_upgrades import warn_before_upgrade, warn_of_old_kube_proxy
from stacks.admin_role import build_admin_role
from stacks.alarms import ClusterAlarms
from stacks.aws_provider_6 import set_cluster_arguments
from stacks.docker_hub_cache import build_docker_hub_cache
from stacks.environment import Environment
from stacks.environment_stack import EnvironmentStack
from stacks.iam import trust
from stacks.kubernetes_version import SupportedVersion, upgrade_precondition
from stacks.network import NetworkOutputs
from stacks.node_groups import autoscaling_group_name, build_node_groups
from stacks.running_cluster import RunningCluster
from stacks.settings.alarms import AlarmSettings
from stacks.settings.cluster import AddonName, ClusterSettings
from stacks.state import output, publish_outputs, read_outputs
from stacks.versions import CLUSTER_AUTOSCALER_IMAGE_TAGS
from stacks.volume_key import grant_volume_key
from stacks.zone_failure import warn_of_steady_nodes_in_few_zones

# Amazon EKS, "Amazon EKS node IAM role".
NODE_POLICIES = {
    "worker": "AmazonEKSWorkerNodePolicy",
    "registry": "AmazonEC2ContainerRegistryPullOnly",
    "cni": "AmazonEKS_CNI_Policy",
}

# The AWS provider's data source of a cluster does not tell its key, so the cluster has it in this tag, too.
SECRETS_KEY_TAG = "secrets-key-arn"

# Nodes need these to become ready. coredns needs nodes and comes last.
ADDONS_FOR_NODES: tuple[AddonName, ...] = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
# kube-proxy follows the control plane. A version of these fits several Kubernetes versions, and goes first.
ADDONS_BEFORE_UPGRADE: tuple[AddonName, ...] = ("vpc-cni", "eks-pod-identity-agent", "coredns")
NODE_MONITORING_AGENT: AddonName = "eks-node-monitoring-agent"  # one of them, if the settings have it


@dataclass(frozen=True)
class ClusterOutputs:
    """The outputs of the cluster stack."""

    cluster_name: str = output("Name of the EKS cluster.")
    cluster_arn: str = output("ARN of the EKS cluster.")
    cluster_version: str = output("Kubernetes version of the control plane.")
    cluster_endpoint: str = output("URL of the Kubernetes API.")
    cluster_certificate_authority_data: str = output("CA of the Kubernetes API, PEM in base64.")
    cluster_security_group_id: str = output("Security group that control plane and nodes share.")
    cluster_admin_role_arn: str = output("Role that administers the cluster; assume it to use kubectl.")
    node_role_arn: str = output("Role of the nodes.")
    node_group_names: list[str] = output("Names of the managed node groups.")
    autoscaling_group_names: dict[str, str] = output("Auto Scaling group of each node group, by its name.")
    oidc_provider_arn: str = output("IAM OIDC provider for IRSA; empty unless enable_irsa is set.")
    update_kubeconfig_command: str = output("Command that connects kubectl through the cluster-admin role.")


class ClusterStack(EnvironmentStack):
    """EKS, its admin role, its add-ons and its node groups."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: Environment,
        settings: ClusterSettings,
        availability_zones: Sequence[str],
        protect_running_jobs: bool,
        nat_gateway_per_zone: bool,
        alarms: AlarmSettings | None,
    ) -> None:
        """Build the cluster in the private subnets that the network stack published.

        Args:
            scope: The app.
            id_: The stack's name.
            environment: The environment of the stack.
            settings: The settings of the cluster.
            availability_zones: The zones of the network, in the order of its subnets.
            protect_running_jobs: Whether each node group becomes one group per zone.
            nat_gateway_per_zone: Whether the failure of a zone leaves the others their way to the internet.
            alarms: The settings of the alarms, if there are any.

        """
        super().__init__(scope, id_, environment=environment)
        self._environment = environment
        self._settings = settings
        self._network = read_outputs(self, "network", NetworkOutputs, environment=environment)
        self._partition = DataAwsPartition(self, "partition")

        self._cluster = self._build_cluster()
        account_id = DataAwsCallerIdentity(self, "account").account_id
        self._admin_role = build_admin_role(
            self,
            name=self._prefix("cluster-admin"),
            cluster=self._cluster,
            account_id=account_id,
            partition=self._partition.partition,
            principal_arns=settings.admin_principal_arns,
        )
        self._node_addons = {name: self._build_addon(name) for name in ADDONS_FOR_NODES}
        warn_of_old_kube_proxy(
            self,
            kube_proxy=self._node_addons["kube-proxy"],
            version=settings.kubernetes_version,
            region=environment.aws.region,
        )
        self._node_role, self._node_permissions = self._build_node_role()
        if settings.volumes_key_arn:
            grant = grant_volume_key(self, key_arn=settings.volumes_key_arn, name=self._prefix("volumes"))
            self._node_permissions.append(grant)
        if settings.docker_hub_credential_arn:
            cache = build_docker_hub_cache(
                self,
                resource_prefix=environment.resource_prefix,
                credential_arn=settings.docker_hub_credential_arn,
                node_role=self._node_role,
                partition=self._partition.partition,
                region=environment.aws.region,
            )
            self._node_permissions.append(cache)
        self._node_groups = build_node_groups(
            self,
            settings=settings,
            one_per_zone=protect_running_jobs,
            availability_zones=availability_zones,
            subnet_ids=self._network.private_subnet_ids,
            environment=environment,
            cluster_name=self._cluster.name,
            node_role_arn=self._node_role.arn,
            depends_on=[*self._node_permissions, *self._node_addons.values()],
        )
        if nat_gateway_per_zone:
            warn_of_steady_nodes_in_few_zones(
                self,
                entry=settings.steady_node_group,
                min_size=settings.node_groups[settings.steady_node_group].min_size,
                availability_zones=availability_zones,
                subnet_ids=self._network.private_subnet_ids,
            )
        self._build_addon("coredns", depends_on=list(self._node_groups.values()))
        if alarms:
            ClusterAlarms(
                self,
                settings=alarms,
                environment=environment,
                account_id=account_id,
                partition=self._partition.partition,
                cluster_name=self._cluster.name,
                log_group=self._logs.name,
                node_groups=self._node_groups,
                availability_zones=availability_zones,
                private_route_table_ids=self._network.private_route_table_ids,
            )
        if settings.node_monitoring_agent:
            self._build_addon(NODE_MONITORING_AGENT)
        oidc_provider_arn = self._build_oidc_provider().arn if settings.enable_irsa else ""

        publish_outputs(
            self,
            ClusterOutputs(
                cluster_name=self._cluster.name,
                cluster_arn=self._cluster.arn,
                cluster_version=self._cluster.version,
                cluster_endpoint=self._cluster.endpoint,
                cluster_certificate_authority_data=self._cluster.certificate_authority.get(0).data,
                cluster_security_group_id=self._cluster.vpc_config.cluster_security_group_id,
                cluster_admin_role_arn=self._admin_role.arn,
                node_role_arn=self._node_role.arn,
                node_group_names=[group.node_group_name for group in self._node_groups.values()],
                autoscaling_group_names={
                    name: autoscaling_group_name(group) for name, group in self._node_groups.items()
                },
                oidc_provider_arn=oidc_provider_arn,
                update_kubeconfig_command=(
                    f"aws eks update-kubeconfig --name {self._cluster.name} "
                    f"--region {environment.aws.region} --role-arn {self._admin_role.arn}"
                ),
            ),
        )

    def _prefix(self, name: str) -> str:
        return f"{self._environment.resource_prefix}-{name}"

    def _managed_policy_arn(self, name: str) -> str:
        return f"arn:{self._partition.partition}:iam::aws:policy/{name}"

    def _build_cluster(self) -> EksCluster:
        settings = self._settings
        role = IamRole(
            self,
            "cluster_role",
            name=self._prefix("cluster"),
            assume_role_policy=trust({"Service": "eks.amazonaws.com"}, ["sts:AssumeRole", "sts:TagSession"]),
        )
        permissions = IamRolePolicyAttachment(
            self,
            "cluster_role_policy",
            role=role.name,
            policy_arn=self._managed_policy_arn("AmazonEKSClusterPolicy"),
        )
        key_arn = settings.secrets_key_arn or self._build_secrets_key().arn
        # Otherwise EKS creates this group, without a retention.
        log_group = f"/aws/eks/{settings.name}/cluster"
        self._logs = CloudwatchLogGroup(
            self,
            "cluster_logs",
            name=log_group,
            retention_in_days=settings.log_retention_days,
        )
        running = RunningCluster(self, settings.name)
        self._adopt_left_log_group(log_group, running)
        support = SupportedVersion(self, settings.kubernetes_version)
        support.warn_after_standard_support()
        warn_before_upgrade(
            self,
            running=running,
            cluster_name=settings.name,
            version=settings.kubernetes_version,
            addons=[
                *ADDONS_BEFORE_UPGRADE,
                *([NODE_MONITORING_AGENT] if settings.node_monitoring_agent else []),
            ],
        )
        checks = [
            upgrade_precondition(self, running=running, version=settings.kubernetes_version),
            self._require_subnets(running),
            self._require_role_path(running),
            self._require_secrets_key(running),
            support.support_type_precondition(running, settings.support_type),
        ]
        if settings.kubernetes_version not in CLUSTER_AUTOSCALER_IMAGE_TAGS:  # the settings know no better
            checks.append(support.existence_precondition())
        if settings.support_type == "STANDARD":
            checks.append(support.creation_precondition(running))
        public_cidrs = [str(cidr) for cidr in settings.endpoint_public_access_cidrs]
        cluster = EksCluster(
            self,
            "cluster",
            name=settings.name,
            version=settings.kubernetes_version,
            force_update_version=settings.force_update_version or None,
            role_arn=role.arn,
            access_config={
                "authentication_mode": "API",
                # Create-only in EKS. Off: the access entry of the admin role names the administrator.
                "bootstrap_cluster_creator_admin_permissions": False,
            },
            bootstrap_self_managed_addons=False,
            upgrade_policy={"support_type": settings.support_type},
            enabled_cluster_log_types=list(settings.enabled_cluster_log_types),
            encryption_config={"provider": {"key_arn": key_arn}, "resources": ["secrets"]},
            vpc_config={
                "subnet_ids": self._network.private_subnet_ids,
                "endpoint_private_access": True,
                "endpoint_public_access": bool(public_cidrs),
                **({"public_access_cidrs": public_cidrs} if public_cidrs else {}),
            },
            tags={SECRETS_KEY_TAG: settings.secrets_key_arn} if settings.secrets_key_arn else None,
            depends_on=[permissions, self._logs],
            lifecycle=TerraformResourceLifecycle(
                # EKS refuses another set of zones. Nodes need no subnet of the control plane: the node
                # groups alone use a zone that was appended later.
                ignore_changes=["vpc_config[0].subnet_ids"],
                precondition=checks,
            ),
        )
        set_cluster_arguments(cluster, settings)
        return cluster

    def _build_secrets_key(self) -> KmsKey:
        key = KmsKey(
            self,
            "secrets_key",
            description=f"Envelope encryption of Kubernetes Secrets in the EKS cluster {self._settings.name}",
            enable_key_rotation=True,
        )
        KmsAlias(
            self,
            "secrets_key_alias",
            name=f"alias/{self._prefix(self._settings.name)}-secrets",
            target_key_id=key.key_id,
        )
        return key

    def _adopt_left_log_group(self, name: str, running: RunningCluster) -> None:
        """Let Terraform take over the log group that EKS made anew after an earlier cluster was destroyed.

        EKS writes late logs (terraform-aws-modules/terraform-aws-eks issue 2763). The group of a cluster that
        runs is this state's own, or another environment's.
        """
        found = DataAwsCloudwatchLogGroups(self, "left_log_groups", log_group_name_prefix=name)
        is_left = f'contains({found.fqn}.log_group_names, "{name}") && !{running.exists}'
        # Not `import_from`: the block must be for nothing if there is no group.
        self.add_override(
            "import",
            [
                {
                    "for_each": f'${{toset({is_left} ? ["{name}"] : [])}}',
                    "to": "aws_cloudwatch_log_group.cluster_logs",
                    "id": "${each.value}",
                }
            ],
        )

    def _require_subnets(self, running: RunningCluster) -> Precondition:
        """Refuse a network that lacks a subnet of the control plane, before any node goes."""
        # A local, since an expression in a string can't hold cdktf's list of remote values.
        subnets = TerraformLocal(self, "network_subnet_ids", self._network.private_subnet_ids).fqn
        lost = f"try(setsubtract({running.address}.vpc_config[0].subnet_ids, {subnets}), [])"
        return Precondition(
            condition=f"${{length({lost}) == 0}}",
            error_message=f'network: the control plane is in ${{join(", ", {lost})}}, which the network does '
            "not have. Accepted: a network with all subnets of the control plane, since EKS can't move it to "
            "other zones.",
        )

    def _require_secrets_key(self, running: RunningCluster) -> Precondition:
        """Refuse another key than that with which the running cluster was created.

        Amazon EKS, "Encrypt Kubernetes secrets with KMS on existing clusters": the key of a cluster can't be
        changed. The plan would change nothing in EKS. A new key would delete the stack's key, which the
        cluster uses; without the key the tag would go, which says the right one.
        """
        created_with = f'try({running.address}.tags["{SECRETS_KEY_TAG}"], "")'
        key = f'{created_with} == "" ? "a key of the cluster stack" : {created_with}'
        arn = self._settings.secrets_key_arn
        return Precondition(
            condition=f'${{!{running.exists} || {created_with} == "{arn or ""}"}}',
            error_message=f"cluster.secrets_key_arn: {arn or 'not set'}: the running cluster was created "
            f"with ${{{key}}}, and EKS can't change it. Accepted: the key in the cluster's tag "
            f"{SECRETS_KEY_TAG}, or no setting if there is no tag.",
        )

    def _require_role_path(self, running: RunningCluster) -> Precondition:
        """Refuse another path in a running cluster: IAM would replace the role, and EKS the cluster."""
        role_arn, path = f"{running.address}.role_arn", self._environment.aws.role_path
        found = f'regex(":role(/(?:.*/)?)", {role_arn})[0]'  # a role's name has no slash
        return Precondition(
            condition=f'${{!{running.exists} || try({found} == "{path or "/"}", false)}}',
            error_message=f"aws.role_path: {path or 'not set'}: the running cluster has the role "
            f'${{try({role_arn}, "")}}, and EKS can\'t give it another. Accepted: the path of that role; '
            "without the setting it is /.",
        )

    def _build_addon(self, name: AddonName, *, depends_on: Sequence[EksNodeGroup] = ()) -> EksAddon:
        configuration = {"vpc-cni": json.dumps(self._configure_cni())}
        return EksAddon(
            self,
            f"addon_{name}",
            cluster_name=self._cluster.name,
            addon_name=name,
            addon_version=self._settings.addon_versions.get(name),
            configuration_values=configuration.get(name),
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            depends_on=list(depends_on) or None,
        )

    def _configure_cni(self) -> dict[str, Any]:
        """Return the add-on's configuration; "eni-and-ip-target" of its repository explains it."""
        configuration: dict[str, Any] = {"enableNetworkPolicy": "true"}
        if self._settings.warm_ip_target:
            configuration["env"] = {
                "WARM_IP_TARGET": str(self._settings.warm_ip_target),
                "MINIMUM_IP_TARGET": str(self._settings.minimum_ip_target),
            }
        return configuration

    def _build_node_role(self) -> tuple[IamRole, list[ITerraformDependable]]:
        role = IamRole(
            self,
            "node_role",
            name=self._prefix("node"),
            assume_role_policy=trust({"Service": "ec2.amazonaws.com"}),
        )
        permissions: list[ITerraformDependable] = [
            IamRolePolicyAttachment(
                self, f"node_role_{key}_policy", role=role.name, policy_arn=self._managed_policy_arn(name)
            )
            for key, name in NODE_POLICIES.items()
        ]
        return role, permissions

    def _build_oidc_provider(self) -> IamOpenidConnectProvider:
        return IamOpenidConnectProvider(
            self,
            "oidc_provider",
            url=self._cluster.identity.get(0).oidc.get(0).issuer,
            client_id_list=["sts.amazonaws.com"],
        )
