"""A replay of jobs: runners take them, the scheduler places pods, the autoscaler adds and removes nodes.

The rules and their sources are in docs/jobs.md, "The rules of the replay". All times are milliseconds, CPU
is millicpu, memory and disk are bytes. No settings, no file, no clock, no cdktf: the same input always gives
the same result.

A job's pod is described by its shape: the fleet and what the pod requests. Pods of one shape are alike, so
the scheduler and the autoscaler look at the shapes that wait, not at each pod.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Amounts = tuple[int, int, int, int]
"""Millicpu, bytes of memory, bytes of disk, and pods."""

# cluster-autoscaler, FAQ, "What are the parameters to CA?": scan-interval; scale-down-delay-after-delete is
# the same by default.
SCAN_INTERVAL = 10_000
# cluster-autoscaler, core/static_autoscaler.go: unschedulablePodTimeBuffer. If all pods that need a node are
# younger, the autoscaler waits for the next scan.
YOUNG = 2_000
# The same page: max-scale-down-parallelism and max-nodes-per-scaleup.
MAX_REMOVED_AT_ONCE = 10
MAX_ADDED_AT_ONCE = 1000

NEVER = 2**62
_ROOM_FREED, _JOB_ENDED, _NODE_READY, _TIMED_OUT, _SCAN = range(5)


@dataclass(frozen=True)
class Fleet:
    """A fleet: `slots` jobs at the same time, on nodes of `groups` (positions in the list of groups).

    GitLab drops a job that waits longer than `queue_timeout` for a slot. A pod that waits `poll_timeout` for
    a node fails. A finished job's pod keeps its room for `cleanup`.
    """

    slots: int
    groups: tuple[int, ...]
    poll_timeout: int
    cleanup: int
    queue_timeout: int = NEVER


@dataclass(frozen=True)
class NodeGroup:
    """A node group.

    Attributes:
        room: What an empty node has for job pods.
        cpu: The allocatable millicpu of a node, of which the scheduler and the autoscaler take shares.
        memory: The allocatable bytes of memory.
        min_size: The number of nodes at the start, and the least number.
        max_size: The most nodes.
        start_time: From the autoscaler's decision until a node takes pods.
        priority: For the expander `priority`; the highest wins.
        held: For each of the first nodes, what other pods use of it. Such pods hold their node for good.

    """

    room: Amounts
    cpu: int
    memory: int
    min_size: int
    max_size: int
    start_time: int
    priority: int = 0
    held: tuple[Amounts, ...] = ()


@dataclass(frozen=True)
class Autoscaler:
    """The autoscaler's settings."""

    expander: Literal["least-waste", "most-pods", "random", "priority"]
    unneeded_time: int
    delay_after_add: int


@dataclass(frozen=True)
class Jobs:
    """Jobs in the order of their starts; each can run on an empty node of one of its fleet's groups.

    `needs` has a row of `Amounts` for each.
    """

    starts: Integers
    durations: Integers
    fleets: Integers
    needs: Integers


@dataclass
class Node:
    """A node's life; `removed` is None if it stays."""

    group: int
    requested: int
    ready: int
    removed: int | None = None


@dataclass(frozen=True)
class Result:
    """For each job the times when a runner took it, when its pod began, when all was over, and its node.

    `taken` is -1 for a job that GitLab has dropped. `begun` and `node_of_job` are -1 for it, and for a job
    whose pod waited longer than the poll timeout.
    """

    taken: Integers
    begun: Integers
    ended: Integers
    node_of_job: Integers
    nodes: list[Node]


def simulate(
    fleets: Sequence[Fleet], groups: Sequence[NodeGroup], autoscaler: Autoscaler, jobs: Jobs, *, begin: int
) -> Result:
    """Return what happens from `begin` until all jobs have ended and idle nodes are gone."""
    return _Simulation(fleets, groups, autoscaler, jobs, begin).run()


@dataclass(eq=False)
class _Shape:
    """Pods that wait for a node and are alike.

    `covered` has the number of these pods that the autoscaler expects on each starting node. At `tried`, a
    version of the nodes, it could not help the others.
    """

    fleet: int
    need: Amounts
    pods: deque[int] = field(default_factory=deque)
    orders: deque[int] = field(default_factory=deque)
    covered: dict[int, int] = field(default_factory=dict)
    number_covered: int = 0
    tried: int = -1
    position: int = -1

    @property
    def number_open(self) -> int:
        return len(self.pods) - self.number_covered


class _Waiting:
    """The shapes of one fleet with pods that wait for a node, as arrays that one comparison can search."""

    def __init__(self, fleet: int) -> None:
        self._fleet = fleet
        self.shapes: list[_Shape] = []
        self._least = (0, 0)  # a lower bound of the CPU and memory that the shapes need
        self._needs = np.zeros((3, 8), np.int64)
        self._heads = np.full(8, NEVER, np.int64)

    def add(self, shape: _Shape) -> None:
        """Add a shape; its first pod has been added to it."""
        position = len(self.shapes)
        if position == len(self._heads):
            self._needs = np.concatenate([self._needs, np.zeros_like(self._needs)], axis=1)
            self._heads = np.concatenate([self._heads, np.full_like(self._heads, NEVER)])
        shape.position = position
        self.shapes.append(shape)
        self._needs[:, position] = shape.need[:3]
        self._heads[position] = shape.orders[0]
        cpu, memory = shape.need[:2]
        self._least = (min(self._least[0], cpu), min(self._least[1], memory)) if position else (cpu, memory)

    def update(self, shape: _Shape) -> None:
        """Note that the first pod of a shape is gone; remove the shape if it was the last."""
        if shape.pods:
            self._heads[shape.position] = shape.orders[0]
            return
        last = self.shapes.pop()
        if last is not shape:
            self.shapes[shape.position] = last
            self._needs[:, shape.position] = self._needs[:, last.position]
            self._heads[shape.position] = self._heads[last.position]
            last.position = shape.position
        shape.position = -1
        if self.shapes and (shape.need[0] <= self._least[0] or shape.need[1] <= self._least[1]):
            cpu, memory, _ = self._needs[:, : len(self.shapes)].min(axis=1).tolist()
            self._least = (cpu, memory)

    def find_first(self, room: Sequence[int], failed: set[_Shape]) -> _Shape | None:
        """Return the shape with the oldest pod of those that need at most `room`, without `failed`."""
        if room[0] < self._least[0] or room[1] < self._least[1]:
            return None
        number = len(self.shapes)
        cpu, memory, disk = self._needs[:, :number]
        fits = (cpu <= room[0]) & (memory <= room[1]) & (disk <= room[2])
        if failed:
            fits[[shape.position for shape in failed if shape.fleet == self._fleet]] = False
        positions = fits.nonzero()[0]
        if not len(positions):
            return None
        return self.shapes[int(positions[self._heads[positions].argmin()])]


@dataclass
class _Upcoming:
    """A node that starts: the room that the autoscaler has not yet given to waiting pods."""

    group: int
    free: list[int]
    shapes: dict[_Shape, int] = field(default_factory=dict)


@dataclass
class _Option:
    """What the autoscaler would do with one group: the new nodes, and the number of pods that they help."""

    group: int
    nodes: list[_Upcoming] = field(default_factory=list)
    pods: int = 0


class _Nodes:
    """The nodes of one group that take pods, in the order in which the scheduler prefers them.

    Kubernetes Scheduler, "NodeResourcesFit", LeastAllocated: the node that has most left, as the mean of the
    shares of CPU and memory. The nodes of a group are alike, so one pod does not change their order. Among
    equals the oldest comes first; Kubernetes takes any of them.
    """

    def __init__(self, group: NodeGroup) -> None:
        self._cpu, self._memory = group.cpu, group.memory
        self.unit = group.cpu * group.memory
        self.free: dict[int, list[int]] = {}
        self._order: list[tuple[int, int]] = []

    def _weigh(self, amounts: Sequence[int]) -> int:
        """Return the sum of the shares of CPU and memory, as a multiple of 1 / `unit`."""
        return amounts[0] * self._memory + amounts[1] * self._cpu

    def add(self, number: int, free: Sequence[int]) -> None:
        """Add a node that takes pods from now on."""
        self.free[number] = list(free)
        insort(self._order, (-self._weigh(free), number))

    def remove(self, number: int) -> None:
        """Remove a node."""
        del self._order[bisect_left(self._order, (-self._weigh(self.free.pop(number)), number))]

    def change(self, number: int, need: Amounts, sign: int) -> None:
        """Give a pod's room away (-1), or take it back (1)."""
        free = self.free[number]
        del self._order[bisect_left(self._order, (-self._weigh(free), number))]
        for index, amount in enumerate(need):
            free[index] += sign * amount
        insort(self._order, (-self._weigh(free), number))

    def find_best(self, need: Amounts) -> tuple[int, int] | None:
        """Return what the best node for a pod has left afterwards, weighed, and its number."""
        least = self._weigh(need)
        cpu, memory, disk, pods = need
        for weight, number in self._order:
            if -weight < least:
                return None
            free = self.free[number]
            if cpu <= free[0] and memory <= free[1] and disk <= free[2] and pods <= free[3]:
                return -weight - least, number
        return None


class _Simulation:
    """The state at one moment, and the events to come."""

    def __init__(
        self,
        fleets: Sequence[Fleet],
        groups: Sequence[NodeGroup],
        autoscaler: Autoscaler,
        jobs: Jobs,
        begin: int,
    ) -> None:
        self._fleets, self._groups, self._autoscaler = fleets, groups, autoscaler
        self._starts, self._durations = jobs.starts.tolist(), jobs.durations.tolist()
        self._fleet_of: list[int] = jobs.fleets.tolist()
        self._needs: list[Amounts] = [tuple(row) for row in jobs.needs.tolist()]
        count = len(self._starts)
        self._taken, self._begun, self._ended, self._node_of = ([-1] * count for _ in range(4))
        self._now = begin
        self._events: list[tuple[int, int, int]] = []
        self._scans: set[int] = set()
        self._random = Random(0)  # noqa: S311 - choices among equals, the same in each run
        # GitLab's queue: jobs that no runner has taken.
        self._queues: list[deque[int]] = [deque() for _ in fleets]
        self._free_slots = [fleet.slots for fleet in fleets]
        # The scheduler's queue: pods that wait for a node.
        self._waiting = [_Waiting(fleet) for fleet in range(len(fleets))]
        self._shapes: dict[tuple[int, Amounts], _Shape] = {}
        self._orders = 0
        # The nodes.
        self._nodes: list[Node] = []
        self._ready = [_Nodes(group) for group in groups]
        self._pods_on: list[int] = []
        self._upcoming: dict[int, _Upcoming] = {}
        self._sizes = [0] * len(groups)
        self._idle: dict[int, int] = {}  # nodes without pods, in the order in which they became idle
        # What the autoscaler remembers.
        self._open: set[_Shape] = set()
        self._version = 0
        self._needs_scan = False
        self._last_added: int | None = None

    def run(self) -> Result:
        """Handle all events."""
        self._start_first_nodes()
        events, starts, arrived = self._events, [*self._starts, NEVER], 0
        while events or starts[arrived] < NEVER:
            self._now = min(starts[arrived], events[0][0]) if events else starts[arrived]
            freed: list[int] = []  # fleets whose runners may take a job
            changed: list[int] = []  # nodes with more room
            is_scan = False
            while events and events[0][0] == self._now:
                _, kind, number = heappop(events)
                if kind == _SCAN:
                    is_scan = True
                else:
                    self._handle(kind, number, freed, changed)
            while starts[arrived] == self._now:
                fleet = self._fleet_of[arrived]
                self._queues[fleet].append(arrived)
                freed.append(fleet)
                arrived += 1
            if changed:
                self._place_waiting(changed)
            if freed:
                for job in self._take(freed):
                    self._place_new(job)
            if is_scan:
                self._scans.discard(self._now)
                self._needs_scan = False
                self._scan()
            if self._needs_scan and self._open:
                self._plan_scan(self._now + is_scan)
            self._needs_scan = False
        taken, begun, ended, node_of = (
            np.array(values, np.int64) for values in (self._taken, self._begun, self._ended, self._node_of)
        )
        return Result(taken, begun, ended, node_of, self._nodes)

    def _handle(self, kind: int, number: int, freed: list[int], changed: list[int]) -> None:
        """Handle an event that is no scan; `number` is a node's or a job's."""
        if kind == _NODE_READY:
            self._make_ready(number)
            changed.append(number)
        elif kind == _ROOM_FREED:
            changed.append(self._free_room(number))
        elif kind == _JOB_ENDED or self._end_waiting(number):
            self._ended[number] = self._now
            fleet = self._fleet_of[number]
            self._free_slots[fleet] += 1
            freed.append(fleet)

    def _start_first_nodes(self) -> None:
        for position, group in enumerate(self._groups):
            for index in range(max(group.min_size, len(group.held))):
                free: Sequence[int] = group.room
                number = self._add_node(position, self._now)
                if index < len(group.held):
                    free = [all_ - used for all_, used in zip(group.room, group.held[index], strict=True)]
                    self._pods_on[number] = 1  # for good
                else:
                    self._note_idle(number)
                self._ready[position].add(number, free)

    def _add_node(self, group: int, ready: int) -> int:
        self._nodes.append(Node(group, self._now, ready))
        self._pods_on.append(0)
        self._sizes[group] += 1
        return len(self._nodes) - 1

    # Runners

    def _take(self, fleets: list[int]) -> list[int]:
        """Return the jobs that runners take now, in the order in which they came."""
        taken = []
        for fleet in fleets:
            queue = self._queues[fleet]
            while queue and self._free_slots[fleet]:
                job = queue.popleft()
                dropped = self._starts[job] + self._fleets[fleet].queue_timeout
                if self._now > dropped:
                    self._ended[job] = dropped
                    continue
                self._free_slots[fleet] -= 1
                self._taken[job] = self._now
                taken.append(job)
        return sorted(taken) if len(taken) > 1 else taken

    def _end_waiting(self, job: int) -> bool:
        """Remove a pod that has waited too long; return False if it does not wait."""
        if self._begun[job] >= 0:
            return False
        fleet = self._fleet_of[job]
        # Of its shape it is the oldest: all have the same timeout.
        self._remove_oldest(self._shapes[fleet, self._needs[job]])
        return True

    # The scheduler

    def _place_new(self, job: int) -> None:
        """Place a new pod, or let it wait. A pod fits nowhere if one like it waits."""
        fleet, need = self._fleet_of[job], self._needs[job]
        shape = self._shapes.get((fleet, need))
        if shape is None:
            number = self._find_node(fleet, need)
            if number is not None:
                self._place(job, number)
                return
            shape = self._shapes[fleet, need] = _Shape(fleet, need)
        self._orders += 1
        shape.pods.append(job)
        shape.orders.append(self._orders)
        if len(shape.pods) == 1:
            self._waiting[fleet].add(shape)
        self._open.add(shape)
        self._needs_scan |= shape.tried != self._version
        heappush(self._events, (self._now + self._fleets[fleet].poll_timeout, _TIMED_OUT, job))

    def _find_node(self, fleet: int, need: Amounts) -> int | None:
        """Return the node that the scheduler chooses for a pod, or None if it fits on none."""
        best, best_unit = None, 1
        for group in self._fleets[fleet].groups:
            found, unit = self._ready[group].find_best(need), self._ready[group].unit
            if found and (best is None or _compare(found, unit, best, best_unit) > 0):
                best, best_unit = found, unit
        return best[1] if best else None

    def _place_waiting(self, changed: list[int]) -> None:
        """Place pods that wait on nodes that have more room than before, the oldest first."""
        fleets = [fleet for fleet, waiting in enumerate(self._waiting) if waiting.shapes]
        failed: set[_Shape] = set()
        while fleets:
            # A fleet that finds no pod finds none later, since the room only gets less.
            found = {
                fleet: shape for fleet in fleets if (shape := self._find_waiting(fleet, changed, failed))
            }
            fleets = list(found)
            if not fleets:
                return
            first = min(found.values(), key=lambda shape: shape.orders[0])
            number = self._find_node(first.fleet, first.need)
            if number is None:
                failed.add(first)
            else:
                self._place(first.pods[0], number)
                self._remove_oldest(first)

    def _find_waiting(self, fleet: int, changed: list[int], failed: set[_Shape]) -> _Shape | None:
        """Return the shape with the oldest pod that may fit on one of the changed nodes."""
        groups = self._fleets[fleet].groups
        rooms = [
            self._ready[group].free[number]
            for number in changed
            if (group := self._nodes[number].group) in groups
        ]
        if not rooms:
            return None
        most = rooms[0] if len(rooms) == 1 else [max(amounts) for amounts in zip(*rooms, strict=True)]
        return self._waiting[fleet].find_first(most, failed) if most[3] > 0 else None

    def _place(self, job: int, number: int) -> None:
        self._ready[self._nodes[number].group].change(number, self._needs[job], -1)
        self._pods_on[number] += 1
        self._idle.pop(number, None)
        self._node_of[job] = number
        self._begun[job] = self._now
        end = self._now + self._durations[job]
        heappush(self._events, (end, _JOB_ENDED, job))
        heappush(self._events, (end + self._fleets[self._fleet_of[job]].cleanup, _ROOM_FREED, job))

    def _remove_oldest(self, shape: _Shape) -> None:
        """Remove the oldest pod of a shape from those that wait."""
        shape.pods.popleft()
        shape.orders.popleft()
        self._waiting[shape.fleet].update(shape)
        if not shape.pods:
            del self._shapes[shape.fleet, shape.need]
        if shape.number_covered > len(shape.pods):
            # The newest starting node has room for another pod now.
            number = max(shape.covered)
            self._uncover(shape, number, 1)
            self._note_change()
        if not shape.number_open:
            self._open.discard(shape)

    def _free_room(self, job: int) -> int:
        """Give a finished pod's room back, and return its node."""
        number = self._node_of[job]
        self._ready[self._nodes[number].group].change(number, self._needs[job], 1)
        self._pods_on[number] -= 1
        if not self._pods_on[number]:
            self._note_idle(number)
        return number

    # The autoscaler

    def _make_ready(self, number: int) -> None:
        """Let a node that has started take pods; the autoscaler's plan for it is forgotten."""
        upcoming = self._upcoming.pop(number)
        for shape, count in list(upcoming.shapes.items()):
            self._uncover(shape, number, count)
            self._open.add(shape)
        self._ready[upcoming.group].add(number, self._groups[upcoming.group].room)
        self._note_idle(number)
        self._note_change()

    def _note_change(self) -> None:
        """Note that the autoscaler may be able to help pods that it could not help before."""
        self._version += 1
        self._needs_scan = True

    def _note_idle(self, number: int) -> None:
        """Note that a node has no pod; the autoscaler sees it at its next scan."""
        self._idle[number] = _next_scan(self._now)
        self._plan_scan(self._idle[number] + self._autoscaler.unneeded_time)

    def _plan_scan(self, time: int) -> None:
        time = _next_scan(time)
        if time not in self._scans:
            self._scans.add(time)
            heappush(self._events, (time, _SCAN, 0))

    def _scan(self) -> None:
        """Add nodes for pods that wait, or else remove idle ones."""
        untried = [shape for shape in self._open if shape.tried != self._version]
        left = self._cover_by_upcoming(sorted(untried, key=lambda shape: shape.orders[0]))
        if self._open and all(self._taken[shape.pods[0]] + YOUNG > self._now for shape in self._open):
            self._plan_scan(self._now + SCAN_INTERVAL)
            return
        estimates = [self._estimate(group, left) for group in range(len(self._groups))] if left else []
        options = [option for option in estimates if option.pods]
        if options:
            self._add_nodes(self._choose(options))
            return
        for shape in left:
            shape.tried = self._version
        self._remove_idle()

    def _cover_by_upcoming(self, shapes: list[_Shape]) -> list[_Shape]:
        """Expect open pods on nodes that start, and return the shapes with pods that have no room there."""
        for shape in shapes:
            allowed = self._fleets[shape.fleet].groups
            for number, node in self._upcoming.items():
                fitting = _count_fitting(node.free, shape.need) if node.group in allowed else 0
                if count := min(shape.number_open, fitting):
                    self._cover(shape, number, node, count)
                    if not shape.number_open:
                        self._open.discard(shape)
                        break
        return [shape for shape in shapes if shape.number_open]

    def _cover(self, shape: _Shape, number: int, node: _Upcoming, count: int) -> None:
        _use(node, shape, count)
        shape.covered[number] = shape.covered.get(number, 0) + count
        shape.number_covered += count

    def _uncover(self, shape: _Shape, number: int, count: int) -> None:
        shape.number_covered -= count
        shape.covered[number] -= count
        if not shape.covered[number]:
            del shape.covered[number]
        if number in self._upcoming:
            _use(self._upcoming[number], shape, -count)

    def _estimate(self, position: int, shapes: list[_Shape]) -> _Option:
        """Return what a group's new nodes can do for the pods of these shapes.

        cluster-autoscaler, estimator/binpacking_estimator.go: first fit, the largest pods first.
        """
        group, option = self._groups[position], _Option(position)
        most = min(group.max_size - self._sizes[position], MAX_ADDED_AT_ONCE)
        if most <= 0:
            return option
        fitting = [
            shape
            for shape in shapes
            if position in self._fleets[shape.fleet].groups and _count_fitting(group.room, shape.need)
        ]
        fitting.sort(key=lambda shape: -(shape.need[0] / group.cpu + shape.need[1] / group.memory))
        for shape in fitting:
            left = shape.number_open
            for node in option.nodes:
                if count := min(left, _count_fitting(node.free, shape.need)):
                    _use(node, shape, count)
                    left -= count
                    if not left:
                        break
            while left and len(option.nodes) < most:
                node = _Upcoming(position, list(group.room))
                count = min(left, _count_fitting(node.free, shape.need))
                _use(node, shape, count)
                left -= count
                option.nodes.append(node)
            option.pods += shape.number_open - left
        return option

    def _choose(self, options: list[_Option]) -> _Option:
        """Return the option that the expander takes (cluster-autoscaler, FAQ, "What are Expanders?")."""
        match self._autoscaler.expander:
            case "priority":
                scores = [-float(self._groups[option.group].priority) for option in options]
            case "least-waste":
                scores = [self._waste(option) for option in options]
            case "most-pods":
                scores = [-float(option.pods) for option in options]
            case "random":
                scores = [0.0] * len(options)
        best = [option for option, score in zip(options, scores, strict=True) if score == min(scores)]
        return best[0] if len(best) == 1 else self._random.choice(best)

    def _waste(self, option: _Option) -> float:
        """Return the shares of CPU and memory that new nodes would have left (expander/waste/waste.go)."""
        group, count = self._groups[option.group], len(option.nodes)
        cpu = sum(shape.need[0] * pods for node in option.nodes for shape, pods in node.shapes.items())
        memory = sum(shape.need[1] * pods for node in option.nodes for shape, pods in node.shapes.items())
        return (count * group.cpu - cpu) / (count * group.cpu) + (count * group.memory - memory) / (
            count * group.memory
        )

    def _add_nodes(self, option: _Option) -> None:
        ready = self._now + self._groups[option.group].start_time
        for node in option.nodes:
            number = self._add_node(option.group, ready)
            self._upcoming[number] = node
            for shape, count in node.shapes.items():
                shape.covered[number] = count
                shape.number_covered += count
                if not shape.number_open:
                    self._open.discard(shape)
            heappush(self._events, (ready, _NODE_READY, number))
        self._note_change()
        self._last_added = self._now
        self._plan_scan(self._now + self._autoscaler.delay_after_add)

    def _remove_idle(self) -> None:
        """Remove nodes that have been idle for long enough, the longest first."""
        if self._last_added is not None and self._now < self._last_added + self._autoscaler.delay_after_add:
            return
        removed = 0
        for number, since in list(self._idle.items()):
            if since + self._autoscaler.unneeded_time > self._now:
                break
            group = self._nodes[number].group
            if self._sizes[group] <= self._groups[group].min_size:
                continue
            if removed == MAX_REMOVED_AT_ONCE:
                self._plan_scan(self._now + SCAN_INTERVAL)
                break
            removed += 1
            del self._idle[number]
            self._nodes[number].removed = self._now
            self._sizes[group] -= 1
            self._ready[group].remove(number)
            self._note_change()


def _use(node: _Upcoming, shape: _Shape, count: int) -> None:
    """Give room of a starting node to pods of a shape; a negative number gives it back."""
    for index, amount in enumerate(shape.need):
        node.free[index] -= amount * count
    node.shapes[shape] = node.shapes.get(shape, 0) + count
    if not node.shapes[shape]:
        del node.shapes[shape]


def _count_fitting(free: Sequence[int], need: Amounts) -> int:
    """Return how many pods fit."""
    return min(left // amount for left, amount in zip(free, need, strict=True) if amount)


def _compare(one: tuple[int, int], unit: int, other: tuple[int, int], other_unit: int) -> int:
    """Return a number above zero if the first node has more left than the other, or is older."""
    return one[0] * other_unit - other[0] * unit or other[1] - one[1]


def _next_scan(time: int) -> int:
    """Return the time of the next scan; at a scan's time, this one."""
    return -(-time // SCAN_INTERVAL) * SCAN_INTERVAL
