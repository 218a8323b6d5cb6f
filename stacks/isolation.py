"""FleetIsolation: what holds one fleet inside its namespaces.

Intent: a job is a stranger's program. It reaches the internet, but neither the instance metadata nor
another fleet; it takes no more of the cluster than the fleet's settings promise; and what drains a node
waits until it is done.
Not here: the namespaces (runner.py), and what a job pod looks like (runner_config.py).
"""

from decimal import Decimal
from typing import Any

from cdktf import ITerraformDependable
from cdktf_cdktf_provider_kubernetes.limit_range_v1 import LimitRangeV1, LimitRangeV1SpecLimit
from cdktf_cdktf_provider_kubernetes.network_policy_v1 import (
    NetworkPolicyV1,
    NetworkPolicyV1Spec,
    NetworkPolicyV1SpecEgress,
    NetworkPolicyV1SpecEgressTo,
    NetworkPolicyV1SpecEgressToIpBlock,
    NetworkPolicyV1SpecIngress,
    NetworkPolicyV1SpecIngressFrom,
    NetworkPolicyV1SpecIngressFromNamespaceSelector,
    NetworkPolicyV1SpecIngressFromNamespaceSelectorMatchExpressions,
    NetworkPolicyV1SpecIngressPorts,
    NetworkPolicyV1SpecPodSelector,
)
from cdktf_cdktf_provider_kubernetes.pod_disruption_budget_v1 import PodDisruptionBudgetV1
from cdktf_cdktf_provider_kubernetes.resource_quota_v1 import ResourceQuotaV1
from constructs import Construct

from stacks.settings.container_resources import ContainerResources
from stacks.settings.quantities import byte_text, cpu_text
from stacks.settings.runners import FLEET_LABEL, RunnerSettings

EVERYWHERE = "0.0.0.0/0"
LINK_LOCAL = "169.254.0.0/16"  # the instance metadata, and the agent that hands out pod identities

# Resource in the settings → its name in Kubernetes, how its amounts are written, and the request of a
# container for which neither the fleet nor the job says one.
RESOURCES = {
    "cpu": ("cpu", cpu_text, Decimal("0.1")),
    "memory": ("memory", byte_text, Decimal(128 * 1024**2)),
    "ephemeral_storage": ("ephemeral-storage", byte_text, Decimal(128 * 1024**2)),
}


class FleetIsolation(Construct):
    """Network policies of one fleet; quota, limits and disruption budget of its jobs."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        fleet: str,
        manager_namespace: str,
        job_namespace: str,
        metrics_port: int,
        settings: RunnerSettings,
        protect_running_jobs: bool,
        depends_on: list[ITerraformDependable],
    ) -> None:
        """Put the boundaries around the fleet's namespaces; its manager serves metrics at `metrics_port`."""
        super().__init__(scope, id_)
        self._metadata = {"name": "jobs", "namespace": job_namespace}
        self._settings = settings
        self._depends_on = depends_on
        # A finished job's pod counts until it is gone, while the next job's is there already.
        self._most_pods = 2 * settings.concurrent
        self._build_job_network_policy()
        self._build_manager_network_policy(manager_namespace, metrics_port)
        self._build_quota()
        self._build_limits()
        if protect_running_jobs:
            self._build_disruption_budget(fleet)

    def _build_job_network_policy(self) -> None:
        NetworkPolicyV1(
            self,
            "job_network_policy",
            metadata=self._metadata,
            spec=NetworkPolicyV1Spec(
                pod_selector=NetworkPolicyV1SpecPodSelector(),
                policy_types=["Ingress", "Egress"],
                # No ingress at all: the containers of a job share one pod.
                egress=[
                    NetworkPolicyV1SpecEgress(
                        to=[
                            NetworkPolicyV1SpecEgressTo(
                                ip_block=NetworkPolicyV1SpecEgressToIpBlock(
                                    cidr=EVERYWHERE, except_=[LINK_LOCAL]
                                )
                            )
                        ]
                    )
                ],
            ),
            depends_on=self._depends_on,
        )

    def _build_manager_network_policy(self, namespace: str, metrics_port: int) -> None:
        no_fleet = NetworkPolicyV1SpecIngressFromNamespaceSelectorMatchExpressions(
            key=FLEET_LABEL, operator="DoesNotExist"
        )
        NetworkPolicyV1(
            self,
            "manager_network_policy",
            metadata={"name": "manager", "namespace": namespace},
            spec=NetworkPolicyV1Spec(
                pod_selector=NetworkPolicyV1SpecPodSelector(),
                policy_types=["Ingress"],
                # A scraper reaches the metrics; jobs, of whichever fleet, reach nothing.
                ingress=[
                    NetworkPolicyV1SpecIngress(
                        from_=[
                            NetworkPolicyV1SpecIngressFrom(
                                namespace_selector=NetworkPolicyV1SpecIngressFromNamespaceSelector(
                                    match_expressions=[no_fleet]
                                )
                            )
                        ],
                        ports=[NetworkPolicyV1SpecIngressPorts(port=str(metrics_port), protocol="TCP")],
                    )
                ],
            ),
            depends_on=self._depends_on,
        )

    def _build_quota(self) -> None:
        hard = {"pods": str(self._most_pods)}
        for key, (name, text, _) in RESOURCES.items():
            if self._settings.build.most_requested(key):
                pod = sum((container.most_requested(key) for container in self._containers()), Decimal(0))
                hard[f"requests.{name}"] = text(pod * self._most_pods)
        ResourceQuotaV1(
            self, "quota", metadata=self._metadata, spec={"hard": hard}, depends_on=self._depends_on
        )

    def _build_limits(self) -> None:
        """Limit every container as the maxima do: else they would bind only jobs that name a limit."""
        most: dict[str, str] = {}
        requests: dict[str, str] = {}
        for key, (name, text, least) in RESOURCES.items():
            highest = max(container.highest_limit(key) for container in self._containers())
            if self._settings.build.is_limited(key):
                most[name] = text(highest)
            if self._settings.build.most_requested(key):
                requests[name] = text(min(least, highest))
        if not requests:  # then nothing is limited either
            return
        LimitRangeV1(
            self,
            "limits",
            metadata=self._metadata,
            spec={
                "limit": [
                    # All three: what is not said, the API server would fill in, and each plan would differ.
                    LimitRangeV1SpecLimit(
                        type="Container", max=most or None, default=most or None, default_request=requests
                    )
                ]
            },
            depends_on=self._depends_on,
        )

    def _containers(self) -> tuple[ContainerResources, ...]:
        return (self._settings.build, self._settings.helper, self._settings.service)

    def _build_disruption_budget(self, fleet: str) -> None:
        """Let no job pod be evicted: as many as there can be must stay.

        Kubernetes, "Specifying a Disruption Budget": for pods without a controller only a whole number as
        `min_available` counts.
        """
        spec: dict[str, Any] = {
            "min_available": str(self._most_pods),
            "selector": {"match_labels": {FLEET_LABEL: fleet}},
        }
        PodDisruptionBudgetV1(
            self, "disruption_budget", metadata=self._metadata, spec=spec, depends_on=self._depends_on
        )
