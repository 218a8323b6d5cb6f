"""The limits of a fleet's job namespace: settings in, amounts out. No cdktf import.

Intent: Terraform creates the LimitRange with these amounts (isolation.py), and `python -m jobs` says before a
job runs what they do to it.
"""

from dataclasses import dataclass
from decimal import Decimal

from stacks.resources import RESOURCES, Resource
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
    """Return the limits of a fleet's containers for each resource."""
    containers = (settings.build, settings.helper, settings.service)
    limits = []
    for resource in RESOURCES:
        highest = max(container.highest_limit(resource.key) for container in containers)
        is_limited = settings.build.is_limited(resource.key)
        is_requested = settings.build.most_requested(resource.key)
        default = min(resource.default_request, highest) if is_requested else None
        limits.append(ContainerLimit(resource, highest if is_limited else None, default))
    return limits
