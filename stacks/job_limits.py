"""Limits and Pod Security level of a fleet's job namespace: settings in, amounts out. No cdktf import.

Intent: Terraform creates the objects with these amounts (isolation.py), and `python -m jobs` says before a
job runs what they do to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from stacks.resources import RESOURCES, Resource
from stacks.settings.container_resources import ContainerResources
from stacks.settings.runners import RunnerSettings


@dataclass(frozen=True)
class ContainerLimit:
    """The limits of each container of a fleet for one resource, in vCPU or bytes; None where there is none.

    `highest` is the maximum of every limit, and the limit of a container that names none. `default_request`
    is the request of a container that names neither request nor limit.
    """

    resource: Resource
    highest: Decimal | None
    default_request: Decimal | None


def container_limits(settings: RunnerSettings) -> list[ContainerLimit]:
    """Return the limits of a fleet's containers, for the resources that have any."""
    return [
        limit
        for limit in _calculate_limits(settings)
        if limit.highest is not None or limit.default_request is not None
    ]


def _calculate_limits(settings: RunnerSettings) -> Iterator[ContainerLimit]:
    for resource in RESOURCES:
        highest = max(container.highest_limit(resource.key) for container in _containers(settings))
        is_limited = settings.build.is_limited(resource.key)
        is_requested = settings.build.most_requested(resource.key)
        default = min(resource.default_request, highest) if is_requested else None
        yield ContainerLimit(resource, highest if is_limited else None, default)


def pod_security_level(settings: RunnerSettings) -> str:
    """Return the level of Pod Security in the job namespace.

    Pod Security's "restricted" refuses every image that runs as root; most job images do.
    """
    return "privileged" if settings.privileged else "baseline"


def _containers(settings: RunnerSettings) -> tuple[ContainerResources, ...]:
    return (settings.build, settings.helper, settings.service)
