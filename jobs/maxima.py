"""The biggest job of each fleet on each node group: does it fit, only alone, or never?

No cdktf import, no file, no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from jobs.admission import admit
from jobs.ci_file import Job, Service
from jobs.ci_yaml import Place
from jobs.instance_sizes import InstanceSize, known_sizes
from jobs.pod import Amounts, build_pod
from jobs.scheduling import Group, describe_group, exceeding
from stacks.resources import RESOURCES, Resource
from stacks.settings import Settings
from stacks.settings.runners import RunnerSettings


class Fit(StrEnum):
    """Whether a fleet's biggest job fits on an empty node of a group.

    FITS: with another job of the fleet beside it, one that changes no request. ALONE: with the daemon sets
    alone. NEVER: not even so. NOT_USED: the fleet's jobs do not run on the group. UNKNOWN: the size of an
    instance type is not known.
    """

    FITS = "fits"
    ALONE = "fits only alone"
    NEVER = "never"
    NOT_USED = "not used"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cell:
    """A fleet on a node group; `share` is the part of the node that the job takes of `resource`."""

    fleet: str
    group: str
    fit: Fit
    resource: str = ""
    share: float = 0.0

    @property
    def detail(self) -> str:
        """Return the resource of which the job takes most, with the share."""
        names = {"cpu": "CPU", "ephemeral-storage": "disk"}
        return f"{names.get(self.resource, self.resource)} {self.share:.0%}" if self.resource else ""


@dataclass(frozen=True)
class Maxima:
    """The biggest job of each fleet, and its cell for each node group, in the order of the settings."""

    environment: str
    groups: tuple[str, ...]
    requests: Mapping[str, Amounts]
    cells: Mapping[tuple[str, str], Cell]

    @property
    def without_room(self) -> list[str]:
        """Return the fleets whose biggest job fits nowhere."""
        return [
            fleet
            for fleet in self.requests
            if all(self.cells[fleet, group].fit in (Fit.NEVER, Fit.NOT_USED) for group in self.groups)
        ]


def find_maxima(settings: Settings, sizes: Mapping[str, InstanceSize] | None = None) -> Maxima:
    """Return the biggest job of each fleet on each node group.

    The biggest job requests the most that the fleet's settings allow for the build and helper containers,
    and has one service if the fleet lets a job change the requests of services.
    """
    every_size = {**known_sizes(), **(sizes or {})}
    described = {
        name: describe_group(name, group, every_size, monitoring_agent=settings.cluster.node_monitoring_agent)
        for name, group in settings.cluster.node_groups.items()
        if all(kind in every_size for kind in group.instance_types)
    }
    requests, cells = {}, {}
    for fleet, runner in settings.runners.items():
        ordinary, requests[fleet] = _request(fleet, runner, most=False), _request(fleet, runner, most=True)
        placed = runner.placed_on(settings.cluster.node_groups)
        for group in settings.cluster.node_groups:
            if group not in placed:
                cells[fleet, group] = Cell(fleet, group, Fit.NOT_USED)
            elif group not in described:
                cells[fleet, group] = Cell(fleet, group, Fit.UNKNOWN)
            else:
                cells[fleet, group] = _judge(fleet, described[group], requests[fleet], ordinary)
    return Maxima(settings.environment, tuple(settings.cluster.node_groups), requests, cells)


def _request(fleet: str, runner: RunnerSettings, *, most: bool) -> Amounts:
    """Return what the pod of a job requests: the fleet's own requests, or the most that it may have."""
    changes_services = any(
        getattr(runner.service, f"{resource.key}_{which}_overwrite_max_allowed") is not None
        for resource in RESOURCES
        for which in ("request", "limit")
    )
    services = (Service("any", {}),) if most and changes_services else ()
    job = Job("biggest" if most else "ordinary", Place("", 0), services=services)
    pod = admit(build_pod(job, fleet=fleet, settings=runner), job, fleet=fleet, settings=runner)

    def total(resource: Resource) -> Decimal:
        if not most:
            return pod.requests(resource)
        return sum(
            (
                max(
                    container.requests.get(resource.key, Decimal(0)),
                    getattr(runner, container.kind).most_requested(resource.key),
                )
                for container in pod.containers
            ),
            Decimal(0),
        )

    return {resource.key: total(resource) for resource in RESOURCES}


def _judge(fleet: str, group: Group, biggest: Amounts, ordinary: Amounts) -> Cell:
    shares = {
        resource.name: float(biggest[resource.key] / (max(group.room[resource.key], 1) * resource.unit_size))
        for resource in RESOURCES
    }
    resource = max(shares, key=lambda name: shares[name])
    if exceeding(biggest, group):
        fit = Fit.NEVER
    else:
        both = {key: biggest[key] + ordinary[key] for key in biggest}
        fit = Fit.ALONE if exceeding(both, group) else Fit.FITS
    return Cell(fleet, group.name, fit, resource, shares[resource])
