"""A log of jobs on an environment's fleets and nodes: settings and log in, waits, node hours and cost out.

No cdktf import, no file, no clock. The rules are in simulation.py; what the runner and Kubernetes accept is
found as in explain.py.
Not here: the tables (replay_report.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

import numpy as np
from numpy.typing import NDArray

from jobs.admission import admit
from jobs.ci_file import Job
from jobs.ci_yaml import Place
from jobs.estimates import find_node_price
from jobs.instance_sizes import InstanceSize, known_sizes
from jobs.job_log import OWN_REQUEST, JobLog, JobLogError
from jobs.pod import build_pod, variable_name
from jobs.scheduling import describe_group, max_pods
from jobs.simulation import Amounts, Autoscaler, Fleet, Integers, Jobs, NodeGroup, Result, simulate
from jobs.variables import Variable
from prices.table import PriceTable
from stacks.errors import UserError
from stacks.manager_resources import manager_resources
from stacks.resources import MIB, RESOURCES, Resource
from stacks.runner_config import CLEANUP_GRACE_PERIOD_SECONDS
from stacks.settings import Settings
from stacks.settings.quantities import quantity
from stacks.settings.runners import RunnerSettings

HOUR = 3_600_000
# GitLab, Ci::StuckBuilds::DropPendingService: a job that has been pending for a day fails.
QUEUE_TIMEOUT = 24 * HOUR
# Kubernetes, "Pod Lifecycle", "Termination of Pods": the default grace period.
POD_GRACE_SECONDS = 30
# Pods of the daemon sets on each node: aws-node, kube-proxy and eks-pod-identity-agent, without the node
# monitoring agent.
DAEMON_SET_PODS = 3
# Millicpu and MiB that pods of kube-system request on the steady nodes: the autoscaler (stacks/autoscaler.py)
# and two of CoreDNS (Amazon EKS's add-on).
SYSTEM_PODS = ((100, 300), (100, 70), (100, 70))
PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
_UNITS = {"cpu": 1, "memory": int(MIB), "ephemeral_storage": int(MIB)}
"""The unit of a node's amounts, in that of the simulation: 1m, or 1Mi in bytes."""


@dataclass(frozen=True)
class Waits:
    """Seconds that jobs waited, by percentile; each is the wait of a job."""

    total: Mapping[str, float]
    slot: Mapping[str, float]
    node: Mapping[str, float]


@dataclass(frozen=True)
class FleetSummary:
    """The jobs of a fleet: how many ran, how long they waited, and why others did not run."""

    name: str
    jobs: int
    ran: int
    dropped: int
    timed_out: int
    never: Mapping[str, int]
    waits: Waits | None


@dataclass(frozen=True)
class GroupSummary:
    """The nodes of a group. `used` is what job pods requested of what its nodes could have given them."""

    name: str
    max_size: int
    most: int
    added: int
    hours: float
    used: Mapping[str, float]
    price: Decimal | None
    cost: Decimal | None


@dataclass(frozen=True)
class Replay:
    """The answer for one environment; times are milliseconds since 1970."""

    environment: str
    start: int
    end: int
    fleets: tuple[FleetSummary, ...]
    groups: tuple[GroupSummary, ...]
    notes: tuple[str, ...]

    @property
    def hours(self) -> float:
        """Return the hours of all nodes."""
        return sum(group.hours for group in self.groups)

    @property
    def cost(self) -> Decimal | None:
        """Return the price of all node hours, or None if one is not known."""
        costs = [group.cost for group in self.groups]
        return None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))


@dataclass
class _Run:
    """One environment's simulation, before it is summed up."""

    settings: Settings
    log: JobLog
    groups: list[NodeGroup]
    result: Result
    jobs: Jobs
    never: dict[int, dict[str, int]]
    notes: list[str]

    @property
    def end(self) -> int:
        """Return when the last job ended."""
        return int(self.result.ended.max(initial=int(self.log.starts[0])))


def replay(
    log: JobLog,
    environments: Mapping[str, Settings],
    *,
    prices: PriceTable,
    sizes: Mapping[str, InstanceSize] | None = None,
    node_start_seconds: Mapping[str, int] | None = None,
) -> list[Replay]:
    """Return the answer for each environment, all for the same time: until the last job of any has ended.

    Args:
        log: The jobs.
        environments: The environments, by their names in the report.
        prices: Prices of instance types.
        sizes: Sizes of instance types, besides those that are known.
        node_start_seconds: From the autoscaler's decision until a node takes pods, by capacity type; by
            default the middle of the environment's `waiting_times`.

    Raises:
        UserError: If an environment has no such fleet, or the size of an instance type is not known.

    """
    every_size = {**known_sizes(), **(sizes or {})}
    runs = {
        name: _run(log, settings, every_size, node_start_seconds or {})
        for name, settings in environments.items()
    }
    end = max(run.end for run in runs.values())
    return [_sum_up(name, run, end, prices) for name, run in runs.items()]


def _run(
    log: JobLog, settings: Settings, sizes: Mapping[str, InstanceSize], node_start_seconds: Mapping[str, int]
) -> _Run:
    names = list(settings.runners)
    for name, place in zip(log.names, log.places, strict=True):
        if name not in settings.runners:
            raise JobLogError(
                f"{place}: fleet: {name!r}: must be a fleet of the environment {settings.environment}: "
                f"{', '.join(names)}"
            )
    groups = describe_nodes(settings, sizes, node_start_seconds)
    positions = {name: index for index, name in enumerate(settings.cluster.node_groups)}
    fleets = [
        Fleet(
            slots=runner.concurrent * runner.replicas,
            groups=tuple(sorted(positions[name] for name in runner.placed_on(settings.cluster.node_groups))),
            poll_timeout=runner.poll_timeout_seconds * 1000,
            cleanup=_cleanup_seconds(runner) * 1000,
            queue_timeout=QUEUE_TIMEOUT,
        )
        for runner in settings.runners.values()
    ]
    needs, fleet_of, notes, never = _find_needs(log, settings, fleets, groups)
    runs = np.ones(len(log.starts), bool)
    for mask, _ in never:
        runs &= ~mask
    jobs = Jobs(log.starts[runs], log.durations[runs], fleet_of[runs], needs[runs])
    autoscaler = Autoscaler(
        settings.autoscaler.expander,
        _milliseconds(settings.autoscaler.scale_down_unneeded_time),
        _milliseconds(settings.autoscaler.scale_down_delay_after_add),
    )
    result = simulate(fleets, groups, autoscaler, jobs, begin=int(log.starts[0]))
    refused: dict[int, dict[str, int]] = {}
    for mask, reason in never:
        for fleet, count in zip(*np.unique(fleet_of[mask], return_counts=True), strict=True):
            refused.setdefault(int(fleet), {})[reason] = int(count)
    return _Run(settings, log, groups, result, jobs, refused, notes)


def describe_nodes(
    settings: Settings, sizes: Mapping[str, InstanceSize], node_start_seconds: Mapping[str, int]
) -> list[NodeGroup]:
    """Return the node groups of an environment, in their order, as the simulation needs them."""
    times = settings.waiting_times
    starts = {
        "ON_DEMAND": sum(times.on_demand_node_seconds) // 2,
        "SPOT": sum(times.spot_node_seconds) // 2,
        **node_start_seconds,
    }
    groups = []
    for name, group in settings.cluster.node_groups.items():
        missing = [kind for kind in group.instance_types if kind not in sizes]
        if missing:
            raise UserError(
                f"{settings.environment}: the size of {missing[0]} (node group {name}) is not known here. "
                f"Give it with --instance-type {missing[0]}=VCPUS:MIB"
            )
        agent = settings.cluster.node_monitoring_agent
        described = describe_group(name, group, sizes, monitoring_agent=agent)
        types = [sizes[kind] for kind in group.instance_types]
        pods = min(max_pods(kind) for kind in types)
        cpu, memory, disk = (described.room[resource.key] * _UNITS[resource.key] for resource in RESOURCES)
        room = (cpu, memory, disk, pods - DAEMON_SET_PODS - agent)
        is_steady = name == settings.cluster.steady_node_group
        groups.append(
            NodeGroup(
                room=room,
                cpu=described.allocatable["cpu"],
                memory=described.allocatable["memory"] * int(MIB),
                min_size=group.min_size,
                max_size=group.max_size,
                start_time=starts[group.capacity_type] * 1000,
                priority=settings.autoscaler.expander_priorities.get(name, 0),
                held=_hold(room, _list_steady_pods(settings)) if is_steady else (),
            )
        )
    return groups


def _list_steady_pods(settings: Settings) -> Iterable[Amounts]:
    """Yield the pods that hold their node for good: managers, the autoscaler and CoreDNS."""
    for runner in settings.runners.values():
        requests = manager_resources(runner.manager, concurrent=runner.concurrent)["requests"]
        pod = (ceil(quantity(requests["cpu"]) * 1000), ceil(quantity(requests["memory"])), 0, 1)
        yield from [pod] * runner.replicas
    for cpu, memory in SYSTEM_PODS:
        yield cpu, memory * int(MIB), 0, 1


def _hold(room: Amounts, pods: Iterable[Amounts]) -> tuple[Amounts, ...]:
    """Return what pods use of each node, if each takes the first node with room."""
    nodes: list[Amounts] = [(0, 0, 0, 0)]
    for pod in pods:
        for index, used in enumerate(nodes):
            cpu, memory, disk, count = (a + b for a, b in zip(used, pod, strict=True))
            if all(a <= b for a, b in zip((cpu, memory, disk, count), room, strict=True)):
                nodes[index] = (cpu, memory, disk, count)
                break
        else:
            nodes.append(pod)
    return tuple(nodes)


def _cleanup_seconds(runner: RunnerSettings) -> int:
    """Return how long a finished job's pod keeps its room (stacks/runner_config.py)."""
    kubernetes = runner.kubernetes
    hooks = kubernetes.container_lifecycle
    if kubernetes.cleanup_grace_period_seconds is not None:
        return kubernetes.cleanup_grace_period_seconds
    if kubernetes.pod_termination_grace_period_seconds or (hooks and hooks.pre_stop):
        return kubernetes.pod_termination_grace_period_seconds or POD_GRACE_SECONDS
    return CLEANUP_GRACE_PERIOD_SECONDS


def _milliseconds(duration: str) -> int:
    """Return Go's duration of the settings, such as 1h30m."""
    total, number = 0, ""
    for character in duration:
        if character.isdigit():
            number += character
        else:
            total += int(number) * {"s": 1000, "m": 60_000, "h": HOUR}[character]
            number = ""
    return total


_Never = list[tuple[NDArray[np.bool_], str]]


def _find_needs(
    log: JobLog,
    settings: Settings,
    fleets: Sequence[Fleet],
    groups: Sequence[NodeGroup],
) -> tuple[Integers, Integers, list[str], _Never]:
    """Return each job's requests and fleet, notes, and the jobs that can never run, with the reasons."""
    names = list(settings.runners)
    to_fleet = np.array([names.index(name) for name in log.names], np.int64)
    fleet_of = to_fleet[log.fleets]
    needs = np.ones((len(log.starts), 4), np.int64)
    notes: list[str] = []
    never: _Never = []
    for fleet in sorted(set(fleet_of.tolist())):
        name, own = names[fleet], fleet_of == fleet
        accepted = own.copy()
        for column, resource in enumerate(RESOURCES):
            asked = {"cpu": log.cpu, "memory": log.memory}.get(resource.key)
            request = _FleetRequest(name, settings.runners[name], resource)
            needs[own, column] = request.others + request.own
            if asked is None:
                continue
            asks = own & (asked != OWN_REQUEST)
            if request.most is None:
                if asks.any():
                    notes.append(
                        f"{name}: the {resource.name} request of {count_jobs(int(asks.sum()))} has no "
                        f"effect: the fleet has no build.{resource.key}_request_overwrite_max_allowed"
                    )
                continue
            needs[asks, column] = request.others + asked[asks]
            refused = accepted & asks & (asked > request.most)
            if refused.any():
                never.append(
                    (refused, _find_reason(resource, int(asked[refused].max()), name, settings.runners[name]))
                )
                accepted &= ~refused
        fits = np.zeros(len(own), bool)
        for group in fleets[fleet].groups:
            fits |= (needs <= np.array(groups[group].room)).all(axis=1)
        if (accepted & ~fits).any():
            placed = ", ".join(settings.runners[name].placed_on(settings.cluster.node_groups))
            never.append((accepted & ~fits, f"the pod fits on no empty node of {placed}"))
    return needs, fleet_of, notes, never


class _FleetRequest:
    """What the pods of a fleet request of one resource, in the simulation's unit.

    `own` is the build container's request if the job names none, `others` that of the helper. `most` is the
    most that runner and Kubernetes accept from a job, or None if the runner ignores what a job asks for.
    """

    def __init__(self, fleet: str, runner: RunnerSettings, resource: Resource) -> None:
        job = Job("any", Place("", 0))
        pod = admit(build_pod(job, fleet=fleet, settings=runner), job, fleet=fleet, settings=runner)
        build = pod.containers[0]
        self._unit = resource.unit_size / _UNITS[resource.key]
        request = build.requests.get(resource.key, Decimal(0))
        self.own = self._count(request)
        self.others = self._count(pod.requests(resource) - request)
        maximum = getattr(runner.build, f"{resource.key}_request_overwrite_max_allowed")
        self.most = None
        if maximum is not None:
            limit = build.limits.get(resource.key)
            self.most = self._count(min(quantity(maximum), limit) if limit is not None else quantity(maximum))

    def _count(self, amount: Decimal) -> int:
        return ceil(amount / self._unit)


def _find_reason(resource: Resource, amount: int, fleet: str, runner: RunnerSettings) -> str:
    """Return why a job with such a request is refused, as `python -m jobs explain` says it."""
    name = variable_name("build", resource, "request")
    text = resource.write(Decimal(amount) * resource.unit_size / _UNITS[resource.key])
    job = Job("any", Place("", 0), variables={name: Variable(text)})
    pod = build_pod(job, fleet=fleet, settings=runner)
    problem = (pod.problems or admit(pod, job, fleet=fleet, settings=runner).problems)[0]
    return f"{problem.who}: {problem.text}"


def _sum_up(name: str, run: _Run, end: int, prices: PriceTable) -> Replay:
    notes = list(run.notes)
    groups = tuple(_sum_up_groups(run, end, prices, notes))
    fleets = tuple(_sum_up_fleets(run))
    start = int(run.log.starts[0])
    return Replay(name, start, end, fleets, groups, tuple(notes))


def _sum_up_fleets(run: _Run) -> Iterable[FleetSummary]:
    result, starts = run.result, run.jobs.starts
    for index, name in enumerate(run.settings.runners):
        own = run.jobs.fleets == index
        never = run.never.get(index, {})
        ran = own & (result.begun >= 0)
        number = int(own.sum()) + sum(never.values())
        if not number:
            continue
        waits = None
        if ran.any():
            waits = Waits(
                _percentiles(result.begun[ran] - starts[ran]),
                _percentiles(result.taken[ran] - starts[ran]),
                _percentiles(result.begun[ran] - result.taken[ran]),
            )
        dropped = int((own & (result.taken < 0)).sum())
        timed_out = int((own & (result.begun < 0)).sum()) - dropped
        yield FleetSummary(name, number, int(ran.sum()), dropped, timed_out, never, waits)


def _percentiles(milliseconds: Integers) -> dict[str, float]:
    values = np.percentile(milliseconds, list(PERCENTILES.values()), method="inverted_cdf") / 1000
    return dict(zip(PERCENTILES, values.tolist(), strict=True))


def _sum_up_groups(run: _Run, end: int, prices: PriceTable, notes: list[str]) -> Iterable[GroupSummary]:
    result, start = run.result, int(run.log.starts[0])
    ran = result.begun >= 0
    group_of = np.array([node.group for node in result.nodes], np.int64)
    work = run.jobs.needs * ((result.ended - result.begun) / HOUR)[:, np.newaxis]
    for index, (name, settings) in enumerate(run.settings.cluster.node_groups.items()):
        group = run.groups[index]
        lives = [
            (node.requested, end if node.removed is None else min(node.removed, end))
            for node in result.nodes
            if node.group == index
        ]
        total = sum(last - first for first, last in lives)
        own = ran.copy()
        own[ran] = group_of[result.node_of_job[ran]] == index
        hours = total / HOUR
        used = {
            resource: float(work[own, column].sum()) / (hours * group.room[column]) if hours else 0.0
            for column, resource in enumerate(("cpu", "memory"))
        }
        found, missing = find_node_price(settings.instance_types, run.settings.aws.region, prices)
        price = found.usd if found else None
        if total:
            notes += missing
        if total and settings.capacity_type == "SPOT":
            notes.append(f"{name}: Spot nodes are counted at the On-Demand price; they cost less")
        yield GroupSummary(
            name,
            settings.max_size,
            _count_most(lives),
            sum(first > start for first, _ in lives),
            hours,
            used,
            price,
            None if price is None and hours else (price or 0) * Decimal(hours),
        )


def count_jobs(number: int) -> str:
    """Return a number of jobs in words."""
    return "1 job" if number == 1 else f"{number} jobs"


def _count_most(lives: Sequence[tuple[int, int]]) -> int:
    """Return the most nodes at the same time; a node that is removed makes room for another."""
    changes = sorted((time, change) for life in lives for time, change in zip(life, (1, -1), strict=True))
    return int(np.cumsum([change for _, change in changes]).max(initial=0))
