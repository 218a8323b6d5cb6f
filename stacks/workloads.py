"""The workloads stack: the autoscaler and the runner fleets of one cluster.

Not here: the cluster. Its endpoint, CA and admin role come from its state, so that Terraform configures
the helm and kubernetes providers from an applied cluster, never from a planned one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdktf import Fn
from cdktf_cdktf_provider_helm.provider import HelmProvider, HelmProviderKubernetes
from cdktf_cdktf_provider_kubernetes.priority_class_v1 import PriorityClassV1
from cdktf_cdktf_provider_kubernetes.provider import KubernetesProvider
from constructs import Construct

from stacks.autoscaler import ClusterAutoscaler
from stacks.cache import RunnerCache
from stacks.cluster import ClusterOutputs
from stacks.environment import Environment
from stacks.environment_stack import EnvironmentStack, add_aws_provider
from stacks.iam import PodIdentities
from stacks.node_allocatable import NodeAllocatable
from stacks.node_groups import name_node_groups
from stacks.runner import ManagerRelease, RunnerFleet
from stacks.settings.autoscaler import AutoscalerSettings
from stacks.settings.cluster import ClusterSettings
from stacks.settings.runners import MANAGER_PRIORITY, RunnerSettings
from stacks.state import output, publish_outputs, read_outputs


@dataclass(frozen=True)
class WorkloadsOutputs:
    """The outputs of the workloads stack."""

    cluster_autoscaler_version: str = output("Chart version of the cluster autoscaler.")
    runner_versions: dict[str, str] = output("Chart version of each runner fleet, by the fleet's name.")
    runner_namespaces: dict[str, str] = output("Namespace of each fleet's manager, by the fleet's name.")
    job_namespaces: dict[str, str] = output("Namespace of each fleet's job pods, by the fleet's name.")
    cache_bucket: str = output("S3 bucket of the distributed cache; each fleet has a prefix of its name.")


class WorkloadsStack(EnvironmentStack):
    """The autoscaler and the runner fleets of one cluster."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: Environment,
        cluster: ClusterSettings,
        availability_zones: Sequence[str],
        autoscaler: AutoscalerSettings,
        runners: Mapping[str, RunnerSettings],
        cache_expiration_days: int,
        protect_running_jobs: bool,
    ) -> None:
        """Install the workloads in the cluster that the cluster stack published."""
        super().__init__(scope, id_, environment=environment)
        self._environment = environment
        versions = environment.versions
        self._cluster = read_outputs(self, "cluster", ClusterOutputs, environment=environment)
        self._configure_kubernetes()

        identities = PodIdentities(
            resource_prefix=environment.resource_prefix,
            cluster_name=cluster.name,
            cluster_arn=self._cluster.cluster_arn,
        )
        scaler = ClusterAutoscaler(
            self,
            "cluster_autoscaler",
            identities=identities,
            region=environment.aws.region,
            chart_version=versions.cluster_autoscaler_chart,
            image_tag=versions.choose_autoscaler_image_tag(cluster.kubernetes_version),
            node_group=cluster.steady_node_group,
            node_group_names=name_node_groups(
                cluster.node_groups, one_per_zone=protect_running_jobs, availability_zones=availability_zones
            ),
            settings=autoscaler,
        )
        cache = RunnerCache(
            self,
            "cache",
            resource_prefix=environment.resource_prefix,
            region=environment.aws.region,
            expiration_days=cache_expiration_days,
        )
        fleets = self._build_fleets(
            runners,
            cluster=cluster,
            identities=identities,
            cache=cache,
            managers=ManagerRelease(
                cluster.steady_node_group, self._build_manager_priority(), versions.gitlab_runner_chart
            ),
            protect_running_jobs=protect_running_jobs,
        )

        publish_outputs(
            self,
            WorkloadsOutputs(
                cluster_autoscaler_version=scaler.release.version,
                runner_versions={name: fleet.release.version for name, fleet in fleets.items()},
                runner_namespaces={name: fleet.manager_namespace for name, fleet in fleets.items()},
                job_namespaces={name: fleet.job_namespace for name, fleet in fleets.items()},
                cache_bucket=cache.bucket_name,
            ),
        )

    def _build_fleets(
        self,
        runners: Mapping[str, RunnerSettings],
        *,
        cluster: ClusterSettings,
        identities: PodIdentities,
        cache: RunnerCache,
        managers: ManagerRelease,
        protect_running_jobs: bool,
    ) -> dict[str, RunnerFleet]:
        placements = {name: settings.placed_on(cluster.node_groups) for name, settings in runners.items()}
        used = {group for placement in placements.values() for group in placement}
        allocatable = NodeAllocatable(
            self,
            {name: group for name, group in cluster.node_groups.items() if name in used},
            monitoring_agent=cluster.node_monitoring_agent,
        )
        return {
            name: RunnerFleet(
                self,
                f"runner_{name}",
                name=name,
                identities=identities,
                managers=managers,
                node_groups=placements[name],
                allocatable=allocatable,
                cache=cache,
                protect_running_jobs=protect_running_jobs,
                settings=settings,
            )
            for name, settings in runners.items()
        }

    def _build_manager_priority(self) -> PriorityClassV1:
        """Let a manager without a node have the next free place, before any job.

        It ends no running job for that (`Never`). Kubernetes, "Pod Priority and Preemption".
        """
        return PriorityClassV1(
            self,
            "manager_priority",
            metadata={"name": MANAGER_PRIORITY},
            description="Managers of GitLab runners: they are scheduled before job pods.",
            value=1_000_000,  # jobs have 0, or a class of a fleet's own; the system's classes begin at 2e9
            preemption_policy="Never",
        )

    def _configure_kubernetes(self) -> None:
        """Configure the helm and kubernetes providers with an ephemeral token of the cluster-admin role."""
        admin = add_aws_provider(
            self,
            "cluster_admin",
            environment=self._environment,
            alias="cluster_admin",
            role_arn=self._cluster.cluster_admin_role_arn,
        )
        # cdktf 0.21 has no class for ephemeral resources.
        self.add_override(
            "ephemeral.aws_eks_cluster_auth.cluster_admin",
            {"name": self._cluster.cluster_name, "provider": admin.fqn},
        )
        host = self._cluster.cluster_endpoint
        authority = Fn.base64decode(self._cluster.cluster_certificate_authority_data)
        token = "${ephemeral.aws_eks_cluster_auth.cluster_admin.token}"  # noqa: S105 - a reference
        KubernetesProvider(self, "kubernetes", host=host, cluster_ca_certificate=authority, token=token)
        HelmProvider(
            self,
            "helm",
            kubernetes=HelmProviderKubernetes(host=host, cluster_ca_certificate=authority, token=token),
        )
        self.require_provider("kubernetes", self._environment.versions.kubernetes_provider)
        self.require_provider("helm", self._environment.versions.helm_provider)
