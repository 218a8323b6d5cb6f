"""A fleet's GitLab Runner configuration: settings in, TOML out. No cdktf import.

Keys are those of `[runners.kubernetes]` in "Kubernetes executor" and of `[runners.cache]` in "Advanced
configuration" (GitLab Runner's documentation).
Not here: what the chart writes itself (concurrent, log level) or gets from the Secret (the token).
"""

from collections.abc import Mapping
from typing import Any

import tomli_w

from stacks.settings.container_resources import ContainerResources
from stacks.settings.node_groups import NODE_GROUP_LABEL, NodeGroupSettings
from stacks.settings.runners import DOCKER_CERTIFICATES, FLEET_LABEL, SAFE_TO_EVICT, RunnerSettings

NEVER_EVICT = {SAFE_TO_EVICT: "false"}


def runner_toml(
    name: str,
    settings: RunnerSettings,
    *,
    job_namespace: str,
    node_groups: Mapping[str, NodeGroupSettings],
    cache_bucket: str,
    region: str,
    protect_running_jobs: bool,
) -> str:
    """Return the chart's `runners.config`: exactly one `[[runners]]`, no global option.

    Args:
        name: The fleet's name in the settings.
        settings: What the settings say of it.
        job_namespace: Kubernetes namespace of its job pods.
        node_groups: Where its jobs may run, by name.
        cache_bucket: Name of the S3 bucket of the distributed cache.
        region: AWS region of that bucket.
        protect_running_jobs: Whether job pods are marked as not safe to evict.

    """
    kubernetes: dict[str, Any] = {
        **settings.kubernetes.model_dump(exclude_none=True),
        "namespace": job_namespace,
        "image": settings.image,
        "privileged": settings.privileged,
        "poll_timeout": settings.poll_timeout_seconds,
        "automount_service_account_token": False,
        **_resources("", settings.build),
        **_resources("helper_", settings.helper),
        **_resources("service_", settings.service),
        "pod_labels": {**settings.pod_labels, FLEET_LABEL: name},
        "pod_annotations": {**settings.pod_annotations, **(NEVER_EVICT if protect_running_jobs else {})},
        **_placement(node_groups),
    }
    affinity = settings.kubernetes.affinity
    if affinity:
        kubernetes["affinity"] |= affinity.model_dump(exclude_none=True)
    if settings.privileged:
        volumes = kubernetes.setdefault("volumes", {})
        volumes["empty_dir"] = [*volumes.get("empty_dir", []), DOCKER_CERTIFICATES]
    runner: dict[str, Any] = {"kubernetes": _literal(kubernetes)}
    if "pod_spec" in kubernetes:
        # Without it the runner ignores the patches.
        runner["feature_flags"] = {"FF_USE_ADVANCED_POD_SPEC_CONFIGURATION": True}
    if settings.cache:
        # Shared, or a new token would begin with an empty cache: the path would hold the runner's ID.
        s3 = {"BucketName": cache_bucket, "BucketLocation": region, "AuthenticationType": "iam"}
        runner["cache"] = {"Type": "s3", "Path": name, "Shared": True, "s3": s3}
    return tomli_w.dumps({"runners": [runner]})


def _literal(value: Any) -> Any:
    """Return a value that both Terraform (`${`, `%{`) and the chart's templates (`{{`) leave as it is."""
    if isinstance(value, dict):
        return {_literal(key): _literal(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_literal(part) for part in value]
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{").replace("{{", "{{ `{{` }}")
    return value


def _resources(prefix: str, resources: ContainerResources) -> dict[str, str]:
    return {f"{prefix}{key}": value for key, value in resources.model_dump(exclude_none=True).items()}


def _placement(node_groups: Mapping[str, NodeGroupSettings]) -> dict[str, Any]:
    """Return what lets job pods run on these node groups and on no others."""
    expression = {"key": NODE_GROUP_LABEL, "operator": "In", "values": list(node_groups)}
    terms = {"node_selector_terms": [{"match_expressions": [expression]}]}
    tolerations: dict[str, str] = {}
    for group in node_groups.values():
        for taint, effect in group.node_tolerations.items():
            # The table has one entry a taint; an empty effect tolerates all of them.
            tolerations[taint] = effect if tolerations.get(taint, effect) == effect else ""
    return {
        # By this alone the runner knows which helper image to take; affinity does not tell it.
        "node_selector": {
            "kubernetes.io/arch": next(iter({group.architecture for group in node_groups.values()}))
        },
        "node_tolerations": tolerations,
        "affinity": {"node_affinity": {"required_during_scheduling_ignored_during_execution": terms}},
    }
