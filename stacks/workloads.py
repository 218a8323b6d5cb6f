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
from stacks.cluster import ClusterOutputs
from stacks.environment import EnvironmentStack, aws_provider
from stacks.runner import RunnerFleet
from stacks.settings.cluster import ClusterSettings
from stacks.settings.runners import AutoscalerSettings, RunnerSettings
from stacks.state import Environment, output, publish_outputs, read_outputs
from stacks.versions import HELM_PROVIDER, KUBERNETES_PROVIDER


@dataclass(frozen=True)
class WorkloadsOutputs:
    """What the workloads stack publishes."""

    cluster_autoscaler_version: str = output("Chart version of the cluster autoscaler.")
    runner_versions: dict[str, str] = output("Chart version of each runner fleet, by the fleet's name.")
    runner_namespaces: dict[str, str] = output("Namespace of each fleet's manager, by the fleet's name.")
    job_namespaces: dict[str, str] = output("Namespace of each fleet's job pods, by the fleet's name.")


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
    ) -> None:
        """Install the workloads in the cluster that the cluster stack published."""
        super().__init__(scope, id_, environment=environment)
        self._environment = environment
        self._cluster = read_outputs(self, "cluster", ClusterOutputs, environment=environment)
        self._configure_kubernetes()

        steady = cluster.steady_node_group
        scaler = ClusterAutoscaler(
            self,
            "cluster_autoscaler",
            environment_name=environment.name,
            region=environment.aws.region,
            cluster_name=cluster.name,
            cluster_arn=self._cluster.cluster_arn,
            kubernetes_version=cluster.kubernetes_version,
            node_group=steady,
            settings=autoscaler,
        )
        fleets = {
            name: RunnerFleet(self, f"runner_{name}", name=name, node_group=steady, settings=settings)
            for name, settings in runners.items()
        }

        publish_outputs(
            self,
            WorkloadsOutputs(
                cluster_autoscaler_version=scaler.release.version,
                runner_versions={name: fleet.release.version for name, fleet in fleets.items()},
                runner_namespaces={name: fleet.manager_namespace for name, fleet in fleets.items()},
                job_namespaces={name: fleet.job_namespace for name, fleet in fleets.items()},
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
