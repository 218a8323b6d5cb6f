"""A fleet's GitLab Runner configuration: settings in, TOML out. No cdktf import.

Keys are those of `[runners.kubernetes]` in "Kubernetes executor" (GitLab Runner's documentation).
Not here: what the chart writes itself (concurrent, log level) or gets from the Secret (the token).
"""

from typing import Any

import tomli_w

from stacks.settings.runners import ContainerResources, RunnerSettings

NEVER_EVICT = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}

# Where docker-in-docker leaves the TLS certificates that its clients read ("Use Docker to build
# Docker images", Kubernetes executor).
DOCKER_CERTIFICATES = {"name": "docker-certs", "mount_path": "/certs/client", "medium": "Memory"}


def runner_toml(settings: RunnerSettings, *, job_namespace: str) -> str:
    """Return the chart's `runners.config`: exactly one `[[runners]]`, no global option."""
    kubernetes: dict[str, Any] = {
        "namespace": job_namespace,
        "image": settings.image,
        "privileged": settings.privileged,
        "poll_timeout": settings.poll_timeout_seconds,
        "automount_service_account_token": False,
        **_resources("", settings.build),
        **_resources("helper_", settings.helper),
        **_resources("service_", settings.service),
        "pod_annotations": NEVER_EVICT,
    }
    if settings.privileged:
        kubernetes["volumes"] = {"empty_dir": [DOCKER_CERTIFICATES]}
    return tomli_w.dumps({"runners": [{"kubernetes": kubernetes}]})


def _resources(prefix: str, resources: ContainerResources) -> dict[str, str]:
    return {f"{prefix}{key}": value for key, value in resources.model_dump(exclude_none=True).items()}
