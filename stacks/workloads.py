"""The workloads stack.

Intent: what runs in the cluster: the autoscaler and the runner fleets.
Not here: the cluster; its endpoint, CA and admin role are read from its state, so that the
Kubernetes-side providers are configured from what exists, not from what is being planned.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cdktf import Fn
from cdktf_cdktf_provider_helm.provider import HelmProvider, HelmProviderKubernetes
from cdktf_cdktf_provider_kubernetes.provider import KubernetesProvider
from constructs import Construct

from stacks.autoscaler import ClusterAutoscaler
from stacks.cache import RunnerCache
from stacks.cluster import ClusterOutputs
from stacks.environment_stack import EnvironmentStack, aws_provider
from stacks.iam import PodIdentities
from stacks.job_capacity import NodeAllocatable
from stacks.runner import RunnerFleet
from stacks.settings.autoscaler import AutoscalerSettings
from stacks.settings.cluster import ClusterSettings
from stacks.settings.runners import RunnerSettings
from stacks.state import Environment, output, publish_outputs, read_outputs
from stacks.versions import HELM_PROVIDER, KUBERNETES_PROVIDER


@dataclass(frozen=True)
class WorkloadsOutputs:
    """What the workloads stack publishes."""

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
        autoscaler: AutoscalerSettings,
        runners: Mapping[str, RunnerSettings],
        cache_expiration_days: int,
        protect_running_jobs: bool,
    ) -> None:
        """Install the workloads in the cluster that the cluster stack published."""
        super().__init__(scope, id_, environment=environment)
        self._environment = environment
        self._cluster = read_outputs(self, "cluster", ClusterOutputs, environment=environment)
        self._configure_kubernetes()

        identities = PodIdentities(environment.name_prefix, cluster.name, self._cluster.cluster_arn)
        steady = cluster.steady_node_group
        scaler = ClusterAutoscaler(
            self,
            "cluster_autoscaler",
            identities=identities,
            region=environment.aws.region,
            kubernetes_version=cluster.kubernetes_version,
            node_group=steady,
            settings=autoscaler,
        )
        cache = RunnerCache(
            self,
            "cache",
            name_prefix=environment.name_prefix,
            region=environment.aws.region,
            expiration_days=cache_expiration_days,
        )
        used = {name for fleet in runners.values() for name in fleet.placed_on(cluster.node_groups)}
        room = NodeAllocatable(
            self, {name: group for name, group in cluster.node_groups.items() if name in used}
        )
        fleets = {
            name: RunnerFleet(
                self,
                f"runner_{name}",
                name=name,
                identities=identities,
                manager_node_group=steady,
                node_groups=settings.placed_on(cluster.node_groups),
                room=room,
                cache=cache,
                protect_running_jobs=protect_running_jobs,
                settings=settings,
            )
            for name, settings in runners.items()
        }

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

    def _configure_kubernetes(self) -> None:
        """Reach the Kubernetes API as the cluster-admin role, with a token that is never stored."""
        admin = aws_provider(
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
        self.add_override("terraform.required_providers.kubernetes.version", KUBERNETES_PROVIDER)
        self.add_override("terraform.required_providers.helm.version", HELM_PROVIDER)
