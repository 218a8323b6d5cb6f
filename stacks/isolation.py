"""FleetIsolation: the network policies, quota, limits and disruption budget of one fleet.

Intent: a job is a stranger's program. It reaches the internet, but neither the instance metadata nor
another fleet. No container takes more than the fleet's settings allow. A drain of its node waits until the
job is done. No busy fleet meets a limit of its own namespace: `concurrent` alone limits the number of jobs.
Not here: the namespaces (runner.py); the job pods (runner_config.py).
"""

from typing import Any

from cdktf import ITerraformDependable
from cdktf_cdktf_provider_kubernetes.limit_range_v1 import LimitRangeV1, LimitRangeV1SpecLimit
from cdktf_cdktf_provider_kubernetes.network_policy_v1 import (
    NetworkPolicyV1,
    NetworkPolicyV1Spec,
    NetworkPolicyV1SpecEgress,
    NetworkPolicyV1SpecEgressPorts,
    NetworkPolicyV1SpecEgressTo,
    NetworkPolicyV1SpecEgressToIpBlock,
    NetworkPolicyV1SpecEgressToNamespaceSelector,
    NetworkPolicyV1SpecEgressToPodSelector,
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

from stacks.job_limits import container_limits
from stacks.routes import EVERYWHERE
from stacks.settings.addresses import PRIVATE_RANGES
from stacks.settings.runners import FLEET_LABEL, RunnerSettings

# More pods than any fleet has: 10 managers of 10000 jobs each, replaced several times within their grace.
MORE_THAN_ALL_PODS = "1000000"

LINK_LOCAL = "169.254.0.0/16"  # the instance metadata, and the agent that gives out pod identities

# Amazon EKS, "Set up the Amazon EKS Pod Identity Agent": a pod asks for its credentials at this address.
_POD_IDENTITY_EGRESS = NetworkPolicyV1SpecEgress(
    to=[NetworkPolicyV1SpecEgressTo(ip_block=NetworkPolicyV1SpecEgressToIpBlock(cidr="169.254.170.23/32"))],
    ports=[NetworkPolicyV1SpecEgressPorts(port="80", protocol="TCP")],
)


# Kubernetes, "Automatic labelling" of namespaces; EKS's CoreDNS has the label of every cluster DNS.
_DNS_EGRESS = NetworkPolicyV1SpecEgress(
    to=[
        NetworkPolicyV1SpecEgressTo(
            namespace_selector=NetworkPolicyV1SpecEgressToNamespaceSelector(
                match_labels={"kubernetes.io/metadata.name": "kube-system"}
            ),
            pod_selector=NetworkPolicyV1SpecEgressToPodSelector(match_labels={"k8s-app": "kube-dns"}),
        )
    ],
    ports=[NetworkPolicyV1SpecEgressPorts(port="53", protocol=protocol) for protocol in ("UDP", "TCP")],
)


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
        """Isolate the fleet's namespaces; its manager serves metrics at `metrics_port`."""
        super().__init__(scope, id_)
        self._metadata = {"name": "jobs", "namespace": job_namespace}
        self._settings = settings
        self._depends_on = depends_on
        self.resources: list[ITerraformDependable] = [
            self._build_job_network_policy(),
            self._build_manager_network_policy(manager_namespace, metrics_port),
            self._build_quota(),
            *self._build_limits(),
        ]
        if protect_running_jobs:
            self.resources.append(self._build_disruption_budget(fleet))

    def _build_job_network_policy(self) -> NetworkPolicyV1:
        return NetworkPolicyV1(
            self,
            "job_network_policy",
            metadata=self._metadata,
            spec=NetworkPolicyV1Spec(
                pod_selector=NetworkPolicyV1SpecPodSelector(),
                policy_types=["Ingress", "Egress"],
                # No ingress: the containers of a job share one pod.
                egress=[
                    *self._build_address_egress(),
                    *([_POD_IDENTITY_EGRESS] if self._settings.job_policy_arns else []),
                ],
            ),
            depends_on=self._depends_on,
        )

    def _build_address_egress(self) -> list[NetworkPolicyV1SpecEgress]:
        """Open all addresses, or all but the private ones that the fleet does not name."""
        allowed = self._settings.private_egress_cidrs
        if allowed is None:
            return [_to_block(EVERYWHERE, except_=[LINK_LOCAL])]
        closed = [LINK_LOCAL, *map(str, PRIVATE_RANGES)]
        return [
            _to_block(EVERYWHERE, except_=closed),
            _DNS_EGRESS,
            *(_to_block(str(cidr)) for cidr in allowed),
        ]

    def _build_manager_network_policy(self, namespace: str, metrics_port: int) -> NetworkPolicyV1:
        is_of_no_fleet = NetworkPolicyV1SpecIngressFromNamespaceSelectorMatchExpressions(
            key=FLEET_LABEL, operator="DoesNotExist"
        )
        return NetworkPolicyV1(
            self,
            "manager_network_policy",
            metadata={"name": "manager", "namespace": namespace},
            spec=NetworkPolicyV1Spec(
                pod_selector=NetworkPolicyV1SpecPodSelector(),
                policy_types=["Ingress"],
                # Prometheus may reach the metrics. Jobs of any fleet may not reach the manager.
                ingress=[
                    NetworkPolicyV1SpecIngress(
                        from_=[
                            NetworkPolicyV1SpecIngressFrom(
                                namespace_selector=NetworkPolicyV1SpecIngressFromNamespaceSelector(
                                    match_expressions=[is_of_no_fleet]
                                )
                            )
                        ],
                        ports=[NetworkPolicyV1SpecIngressPorts(port=str(metrics_port), protocol="TCP")],
                    )
                ],
            ),
            depends_on=self._depends_on,
        )

    def _build_quota(self) -> ResourceQuotaV1:
        """Refuse Services that would open the namespace to a network; the runner makes none of them.

        A quota on pods or on their resources would also count the pods of finished jobs until they have
        ended. It would then refuse the next jobs of a busy fleet.
        """
        return ResourceQuotaV1(
            self,
            "quota",
            metadata=self._metadata,
            spec={"hard": {"services.loadbalancers": "0", "services.nodeports": "0"}},
            depends_on=self._depends_on,
        )

    def _build_limits(self) -> list[LimitRangeV1]:
        """Give every container a limit, since the runner checks a maximum only if the job names a limit."""
        limits: dict[str, str] = {}
        requests: dict[str, str] = {}
        for each in container_limits(self._settings):
            if each.highest is not None:
                limits[each.resource.name] = each.resource.write(each.highest)
            if each.default_request is not None:
                requests[each.resource.name] = each.resource.write(each.default_request)
        if not requests:  # then the build container has no limit either
            return []
        # The API server fills in each of the three that is not set; then every plan would differ.
        limit = LimitRangeV1SpecLimit(
            type="Container", max=limits or None, default=limits or None, default_request=requests
        )
        return [
            LimitRangeV1(
                self,
                "limits",
                metadata=self._metadata,
                spec={"limit": [limit]},
                depends_on=self._depends_on,
            )
        ]

    def _build_disruption_budget(self, fleet: str) -> PodDisruptionBudgetV1:
        """Refuse the eviction of every job pod: the budget demands more pods than there are.

        Kubernetes, "Specifying a Disruption Budget": for pods without a controller `min_available` must
        be an integer. The budget does not follow `concurrent`, since each change of it replaces the budget.
        """
        spec: dict[str, Any] = {
            "min_available": MORE_THAN_ALL_PODS,
            "selector": {"match_labels": {FLEET_LABEL: fleet}},
        }
        return PodDisruptionBudgetV1(
            self, "disruption_budget", metadata=self._metadata, spec=spec, depends_on=self._depends_on
        )


def _to_block(cidr: str, *, except_: list[str] | None = None) -> NetworkPolicyV1SpecEgress:
    block = NetworkPolicyV1SpecEgressToIpBlock(cidr=cidr, except_=except_)
    return NetworkPolicyV1SpecEgress(to=[NetworkPolicyV1SpecEgressTo(ip_block=block)])
