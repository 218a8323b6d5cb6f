"""A fleet's GitLab Runner configuration: settings in, TOML out. No cdktf import.

GitLab Runner's documentation describes the keys: `[runners.kubernetes]` in "Kubernetes executor",
`[runners.cache]` in "Advanced configuration".
Not here: keys that the chart writes (concurrent, log level), and the token, which it reads from the Secret.
"""

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

import tomli_w

from stacks.settings.container_resources import ContainerResources
from stacks.settings.node_groups import NODE_GROUP_LABEL, NodeGroupSettings
from stacks.settings.runners import DOCKER_CERTIFICATES, FLEET_LABEL, SAFE_TO_EVICT, RunnerSettings

# Seconds. The shell of a finished job's container ignores TERM, so its pod always stays that long.
CLEANUP_GRACE_PERIOD_SECONDS = 5

# Attempts, about half a minute. The runner's own 5 last 5 seconds. It repeats a request on its own after
# errors of connections and of etcd (GitLab Runner, "Kubernetes executor", "Default retries").
ATTEMPTS = 20
# Errors after which the API server has done nothing, by a part of their message.
RETRIED_ERRORS = (
    "exceeded quota",
    "the object has been modified",  # "Operation cannot be fulfilled": two requests met, a quota's among them
    "dial tcp",  # no connection: DNS, no route, timeout
    "etcdserver: leader changed",
    "failed calling webhook",
    "the server is currently unable to handle the request",
    "the server has received too many requests",
)

# Weights of the smallest nodes, of the next larger ones, and so on; the largest have none. The scheduler
# divides them by the largest weight among the nodes that have room, so a fourth each time is a gap of 150 or
# more, of NodeAffinity's 200. The free resources of two nodes differ by less than 100 (LeastAllocated and
# BalancedAllocation together). Kubernetes, pkg/scheduler/apis/config/v1/default_plugins.go.
SMALL_NODE_WEIGHTS = (100, 25, 6, 1)

NEVER_EVICT = {SAFE_TO_EVICT: "false"}
JOB_SERVICE_ACCOUNT = "jobs"  # of a fleet whose jobs have an AWS role


def runner_toml(
    name: str,
    settings: RunnerSettings,
    *,
    job_namespace: str,
    node_groups: Mapping[str, NodeGroupSettings],
    cache_bucket: str,
    region: str,
    cache_role_arn: str | None,
    protect_running_jobs: bool,
) -> str:
    """Return the chart's `runners.config`: exactly one `[[runners]]`, no global option.

    Args:
        name: The fleet's name in the settings.
        settings: The fleet's settings.
        job_namespace: Kubernetes namespace of its job pods.
        node_groups: The node groups where its jobs may run, by name.
        cache_bucket: Name of the S3 bucket of the distributed cache.
        region: AWS region of that bucket.
        cache_role_arn: ARN of the role for multipart transfers, if there is one.
        protect_running_jobs: Whether job pods are marked as not safe to evict.

    """
    hooks = settings.kubernetes.container_lifecycle
    # The cleanup's grace replaces the pod's own, which the fleet has set for its hook or its processes.
    needs_time = settings.kubernetes.pod_termination_grace_period_seconds or (hooks and hooks.pre_stop)
    kubernetes: dict[str, Any] = {
        **({} if needs_time else {"cleanup_grace_period_seconds": CLEANUP_GRACE_PERIOD_SECONDS}),
        "retry_limit": ATTEMPTS,
        **settings.kubernetes.model_dump(exclude_none=True),
        "retry_limits": {
            **dict.fromkeys(RETRIED_ERRORS, settings.kubernetes.retry_limit or ATTEMPTS),
            **(settings.kubernetes.retry_limits or {}),
        },
        "namespace": job_namespace,
        "image": settings.image,
        "privileged": settings.privileged,
        "poll_timeout": settings.poll_timeout_seconds,
        "automount_service_account_token": False,
        **_prefix_resources("", settings.build),
        **_prefix_resources("helper_", settings.helper),
        **_prefix_resources("service_", settings.service),
        "pod_labels": {**settings.pod_labels, FLEET_LABEL: name},
        "pod_annotations": {**settings.pod_annotations, **(NEVER_EVICT if protect_running_jobs else {})},
        **_place_jobs(node_groups),
    }
    if settings.job_policy_arns:
        kubernetes["service_account"] = JOB_SERVICE_ACCOUNT
    affinity = settings.kubernetes.affinity
    if affinity:
        kubernetes["affinity"] |= affinity.model_dump(exclude_none=True)
    if settings.privileged:
        volumes = kubernetes.setdefault("volumes", {})
        volumes["empty_dir"] = [*volumes.get("empty_dir", []), DOCKER_CERTIFICATES]
    runner: dict[str, Any] = {
        "request_concurrency": settings.request_concurrency or _follow_concurrent(settings.concurrent),
        "unhealthy_requests_limit": settings.unhealthy_requests_limit,
        "unhealthy_interval": settings.unhealthy_interval,
        "kubernetes": _escape_templates(kubernetes),
    }
    if settings.builds_dir:
        runner["builds_dir"] = settings.builds_dir
    if "pod_spec" in kubernetes:
        # The runner ignores the patches without this flag.
        runner["feature_flags"] = {"FF_USE_ADVANCED_POD_SPEC_CONFIGURATION": True}
    if settings.cache:
        # Without Shared the path has the runner's ID in it, so a new token begins with an empty cache.
        s3 = {"BucketName": cache_bucket, "BucketLocation": region, "AuthenticationType": "iam"}
        if cache_role_arn:
            s3["RoleARN"] = cache_role_arn
        runner["cache"] = {"Type": "s3", "Path": name, "Shared": True, "s3": s3}
    return tomli_w.dumps({"runners": [runner]})


def _follow_concurrent(concurrent: int) -> int:
    """Return the maximum of open requests for jobs; the runner itself uses fewer while it finds no jobs.

    GitLab, "Optimize GitLab Runner manager pod performance": 5 for 20 jobs, 20 for 150. The runner warns of
    1 ("Long polling issues detected").
    """
    return min(concurrent, max(2, ceil(concurrent / 4)), 20)


def _escape_templates(value: Any) -> Any:
    """Escape strings, so that Terraform (`${`, `%{`) and the chart (`{{`) do not read them as templates."""
    if isinstance(value, dict):
        return {_escape_templates(key): _escape_templates(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_escape_templates(part) for part in value]
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{").replace("{{", "{{ `{{` }}")
    return value


def _prefix_resources(prefix: str, resources: ContainerResources) -> dict[str, str]:
    return {f"{prefix}{key}": value for key, value in resources.model_dump(exclude_none=True).items()}


def _place_jobs(node_groups: Mapping[str, NodeGroupSettings]) -> dict[str, Any]:
    """Return the keys that let job pods run on these node groups and on no others, on small nodes first."""
    node_affinity: dict[str, Any] = {
        "required_during_scheduling_ignored_during_execution": {"node_selector_terms": [_match(node_groups)]}
    }
    preferences = _prefer_small_nodes(node_groups)
    if preferences:
        node_affinity["preferred_during_scheduling_ignored_during_execution"] = preferences
    tolerations: dict[str, str] = {}
    for group in node_groups.values():
        for taint, effect in group.node_tolerations.items():
            # The table has one entry per taint; an empty effect tolerates all effects.
            tolerations[taint] = effect if tolerations.get(taint, effect) == effect else ""
    return {
        # The runner chooses its helper image by the node selector, not by affinity.
        "node_selector": {
            "kubernetes.io/arch": next(iter({group.architecture for group in node_groups.values()}))
        },
        "node_tolerations": tolerations,
        "affinity": {"node_affinity": node_affinity},
    }


def _prefer_small_nodes(node_groups: Mapping[str, NodeGroupSettings]) -> list[dict[str, Any]]:
    """Return the terms that keep a job off a large node while a smaller one has room; none for equal nodes.

    EKS's scheduler prefers the emptiest node: without these terms small jobs keep a large node for ever,
    since the autoscaler removes no node with a job.
    """
    sizes = sorted({group.instance_size for group in node_groups.values()})
    return [
        {
            "weight": weight,
            "preference": _match(
                [name for name, group in node_groups.items() if group.instance_size == size]
            ),
        }
        for size, weight in zip(sizes[:-1], SMALL_NODE_WEIGHTS, strict=False)
    ]


def _match(node_groups: Iterable[str]) -> dict[str, Any]:
    expression = {"key": NODE_GROUP_LABEL, "operator": "In", "values": list(node_groups)}
    return {"match_expressions": [expression]}
