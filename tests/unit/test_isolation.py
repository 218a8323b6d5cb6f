"""The isolation of a fleet: network policies, quota, limits, disruption budget."""

from collections.abc import Callable
from typing import Any

from tests.environments import Mistakes, Synthesized

NAMESPACE = "gitlab-jobs-default"


def of_jobs(stacks: Synthesized, kind: str, *, namespace: str = NAMESPACE) -> dict[str, Any]:
    """Return the `spec` of the only object of this kind in a namespace."""
    (found,) = (
        item["spec"]
        for item in stacks["workloads"]["resource"][f"kubernetes_{kind}_v1"].values()
        if item["metadata"]["namespace"] == namespace
    )
    spec: dict[str, Any] = found
    return spec


def test_nothing_reaches_a_job(example: Synthesized) -> None:
    """The policy has the type Ingress and no rule, for every pod of the namespace."""
    policy = of_jobs(example, "network_policy")
    assert policy["pod_selector"] == {}
    assert "Ingress" in policy["policy_types"]
    assert "ingress" not in policy


def test_a_job_reaches_no_instance_metadata(example: Synthesized) -> None:
    """Jobs reach all addresses except the link-local range of metadata and pod identities."""
    policy = of_jobs(example, "network_policy")
    assert "Egress" in policy["policy_types"]
    assert policy["egress"] == [{"to": [{"ip_block": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]}]


def test_jobs_do_not_reach_the_metrics_of_a_manager(example: Synthesized) -> None:
    """A namespace of a fleet reaches no manager; other namespaces reach the port of the metrics."""
    policy = of_jobs(example, "network_policy", namespace="gitlab-runner-default")
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"port": "9252", "protocol": "TCP"}]
    (source,) = rule["from"]
    assert source["namespace_selector"]["match_expressions"] == [
        {"key": "gitlab-runner-fleet", "operator": "DoesNotExist"}
    ]
    for namespace in example["workloads"]["resource"]["kubernetes_namespace_v1"].values():
        assert namespace["metadata"]["labels"]["gitlab-runner-fleet"] == "default"


def test_the_quota_counts_nothing_that_jobs_have(example: Synthesized) -> None:
    """It refuses Services that open the namespace to a network; it counts no pods and no resources."""
    quota = of_jobs(example, "resource_quota")
    assert quota["hard"] == {"services.loadbalancers": "0", "services.nodeports": "0"}


def test_a_container_without_limits_gets_the_fleets_maxima(example: Synthesized) -> None:
    """The runner checks a maximum only for jobs that name a limit; default requests stay small."""
    (limits,) = of_jobs(example, "limit_range")["limit"]
    assert limits["type"] == "Container"
    assert limits["max"] == limits["default"] == {"cpu": "16", "memory": "16Gi"}
    assert limits["default_request"] == {"cpu": "100m", "memory": "128Mi"}


def test_no_container_of_the_settings_is_above_the_limits(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """A service container may be larger than the build container, and both may start."""
    service = {"memory_request": "1Gi", "memory_limit": "32Gi"}
    (limits,) = of_jobs(synthesize_changed({"runners.default.service": service}), "limit_range")["limit"]
    assert limits["max"]["memory"] == "32Gi"


def test_a_request_alone_limits_nothing(synthesize_changed: Callable[..., Synthesized]) -> None:
    """A fleet without limits and maxima lets its jobs use the whole node."""
    build = {"cpu_request": "2", "memory_request": "4Gi", "memory_limit": "8Gi"}
    (limits,) = of_jobs(synthesize_changed({"runners.default.build": build}), "limit_range")["limit"]
    assert limits["max"] == limits["default"] == {"memory": "8Gi"}
    assert limits["default_request"] == {"cpu": "100m", "memory": "128Mi"}


def test_no_job_pod_is_evicted(synthesize_changed: Callable[..., Synthesized]) -> None:
    """The budget keeps more pods than the largest fleet has, so a drain can evict none."""
    most = synthesize_changed({"runners.default.concurrent": 10_000, "runners.default.replicas": 10})
    budget = of_jobs(most, "pod_disruption_budget")
    assert int(budget["min_available"]) > 2 * 10 * 10_000
    assert "max_unavailable" not in budget
    assert budget["selector"]["match_labels"] == {"gitlab-runner-fleet": "default"}


def test_a_fleet_that_grows_keeps_its_disruption_budget(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """Kubernetes would replace a budget that changes, and leave the jobs without one for a moment."""
    grown = synthesize_changed({"runners.default.concurrent": 20})
    assert of_jobs(grown, "pod_disruption_budget") == of_jobs(example, "pod_disruption_budget")


def test_no_disruption_budget_without_protect_running_jobs(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """`protect_running_jobs: false` removes the disruption budget."""
    stacks = synthesize_changed({"protect_running_jobs": False})
    assert "kubernetes_pod_disruption_budget_v1" not in stacks["workloads"]["resource"]


def test_a_fleet_may_be_kept_from_private_networks(
    synthesize_changed: Callable[..., Synthesized], mistakes: Mistakes
) -> None:
    """Its jobs reach the internet, cluster DNS, and the private ranges that the settings name."""
    stacks = synthesize_changed({"runners.default.private_egress_cidrs": ["10.20.0.0/16"]})
    internet, dns, named = of_jobs(stacks, "network_policy")["egress"]
    private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"]
    assert internet == {"to": [{"ip_block": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16", *private]}}]}
    assert dns == {
        "to": [
            {
                "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "kube-system"}},
                "pod_selector": {"match_labels": {"k8s-app": "kube-dns"}},
            }
        ],
        "ports": [{"port": "53", "protocol": "UDP"}, {"port": "53", "protocol": "TCP"}],
    }
    assert named == {"to": [{"ip_block": {"cidr": "10.20.0.0/16"}}]}
    (line,) = mistakes({"runners.default.private_egress_cidrs": ["203.0.113.0/24"]})
    assert line.endswith('private_egress_cidrs.0: "203.0.113.0/24": must be a part of ' + ", ".join(private))
