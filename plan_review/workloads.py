"""Settings of running jobs that reviewers look for: concurrency, privileges, protection from eviction."""

from collections.abc import Iterator

from plan_review.chart_values import read_keys
from plan_review.findings import Category, Finding
from plan_review.plan import Change
from plan_review.values import Difference

_DISRUPTION_BUDGETS = frozenset({"kubernetes_pod_disruption_budget", "kubernetes_pod_disruption_budget_v1"})
# "false" keeps the cluster autoscaler from evicting a pod (Cluster Autoscaler, "FAQ").
_SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
# Keys of a chart's values and of GitLab Runner's TOML.
JOB_KEYS = frozenset({"concurrent", "privileged"})


def find(change: Change) -> Iterator[Finding]:
    """Yield the findings of a resource that runs or protects jobs."""
    if change.type in _DISRUPTION_BUDGETS and change.action == "delete":
        yield _build_finding(change, "is deleted: its pods are no longer protected from eviction", [])
    if change.type != "helm_release" or change.action not in ("update", "replace"):
        return
    old, new = (
        {path: value for path, (key, value) in read_keys(side).items() if key in {*JOB_KEYS, _SAFE_TO_EVICT}}
        for side in change.get("values")
    )
    if not isinstance(change.get("values")[1], list):
        return
    items = [
        Difference(f"values: {path}", old.get(path), new.get(path))
        for path in {**old, **new}
        if old.get(path) != new.get(path)
    ]
    unprotected = [item for item in items if item.path.endswith(_SAFE_TO_EVICT) and _is_false(item.before)]
    privileged = [item for item in items if item.path.endswith("privileged") and _is_true(item.after)]
    settings = [item for item in items if not item.path.endswith(_SAFE_TO_EVICT) and item not in privileged]
    if privileged:
        # Kubernetes, "Pod Security Standards": a privileged container has the rights of its node's root.
        yield _build_finding(change, "lets jobs be root on their nodes", privileged, needs_approval=True)
    if unprotected:
        yield _build_finding(change, "no longer protects its pods from eviction", unprotected)
    if settings:
        yield _build_finding(change, "runs jobs in another way", settings)


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


def _is_false(value: object) -> bool:
    return str(value).lower() == "false"


def _build_finding(
    change: Change, text: str, items: list[Difference], *, needs_approval: bool = False
) -> Finding:
    return Finding(
        Category.WORKLOAD,
        needs_approval=needs_approval,
        address=change.address,
        text=text,
        differences=tuple(items),
    )
