"""The replay's rules a second time, as plain loops over seconds, nodes and pods: slow, and easy to check."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from jobs.simulation import Amounts, Autoscaler, Fleet, NodeGroup

SECOND = 1000

Row = tuple[int, int, int, Amounts]
"""A job: its start and duration in seconds, its fleet, and what its pod requests."""
Case = tuple[list[Fleet], list[NodeGroup], Autoscaler, list[Row]]
Shape = tuple[int, Amounts]
Cover = tuple[Shape, int]
"""A pod of a shape that the autoscaler expects on a starting node."""


def fits(need: Sequence[int], free: Sequence[int]) -> bool:
    """Return whether a pod fits."""
    return all(amount <= left for amount, left in zip(need, free, strict=True))


def subtract(free: Sequence[int], need: Sequence[int]) -> list[int]:
    """Return what is left."""
    return [left - amount for left, amount in zip(free, need, strict=True)]


@dataclass
class PlainNode:
    """A node; times are seconds."""

    group: int
    requested: int
    ready: int
    free: list[int]
    pods: int = 0
    removed: int | None = None


@dataclass
class PlainSimulation:
    """The state at one second."""

    case: Case
    now: int = 0
    nodes: list[PlainNode] = field(default_factory=list)
    idle: dict[int, int] = field(default_factory=dict)
    covers: list[Cover] = field(default_factory=list)
    queue: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    last_added: int | None = None

    def run(self) -> None:
        """Go through the seconds until all is over."""
        self.fleets, self.groups, self.autoscaler, self.rows = self.case
        self.now = self.rows[0][0]
        self.random = random.Random(0)
        self.taken, self.begun, self.node_of, self.ended = ([-1] * len(self.rows) for _ in range(4))
        self.slots = [fleet.slots for fleet in self.fleets]
        self._start_nodes()
        while -1 in self.ended or self.now < max(*self.ended, self.last_added or 0) + 200:
            self._end_jobs()
            self._take_jobs()
            for job in list(self.pending):
                self._place(job)
            if self.now % 10 == 0:
                self._scan()
            self.now += 1

    def _start_nodes(self) -> None:
        for position, group in enumerate(self.groups):
            for index in range(max(group.min_size, len(group.held))):
                node = PlainNode(position, self.now, self.now, list(group.room))
                self.nodes.append(node)
                if index < len(group.held):
                    node.pods, node.free = 1, subtract(node.free, group.held[index])
                else:
                    self._note_idle(len(self.nodes) - 1)

    def _note_idle(self, number: int) -> None:
        self.idle[number] = -(-self.now // 10) * 10

    def _end_jobs(self) -> None:
        for job, (_, seconds, fleet, need) in enumerate(self.rows):
            if self.begun[job] < 0:
                continue
            end, number = self.begun[job] + seconds, self.node_of[job]
            if end + self.fleets[fleet].cleanup // SECOND == self.now:
                self.nodes[number].free = subtract(self.nodes[number].free, [-amount for amount in need])
                self.nodes[number].pods -= 1
                if not self.nodes[number].pods:
                    self._note_idle(number)
            if end == self.now:
                self.ended[job] = self.now
                self.slots[fleet] += 1
        for number, node in enumerate(self.nodes):
            if node.ready == self.now and node.requested < node.ready:
                self.covers = [cover for cover in self.covers if cover[1] != number]
                self._note_idle(number)
        for job in list(self.pending):
            fleet = self.rows[job][2]
            if self.taken[job] + self.fleets[fleet].poll_timeout // SECOND == self.now:
                self.ended[job] = self.now
                self._stop_waiting(job)
                self.slots[fleet] += 1

    def _take_jobs(self) -> None:
        self.queue += [job for job, row in enumerate(self.rows) if row[0] == self.now]
        for job in list(self.queue):
            start, _, fleet, _ = self.rows[job]
            if (self.now - start) * SECOND > self.fleets[fleet].queue_timeout:
                self.queue.remove(job)
                self.ended[job] = start + self.fleets[fleet].queue_timeout // SECOND
            elif self.slots[fleet]:
                self.slots[fleet] -= 1
                self.queue.remove(job)
                self.taken[job] = self.now
                self.pending.append(job)

    def _shape(self, job: int) -> Shape:
        return self.rows[job][2:]

    def _stop_waiting(self, job: int) -> None:
        self.pending.remove(job)
        own = [cover for cover in self.covers if cover[0] == self._shape(job)]
        if len(own) > sum(self._shape(other) == self._shape(job) for other in self.pending):
            self.covers.remove(max(own, key=lambda cover: cover[1]))

    def _place(self, job: int) -> None:
        fleet, need = self._shape(job)
        best: tuple[Fraction, int] | None = None
        for number, node in enumerate(self.nodes):
            is_ready = node.ready <= self.now and node.removed is None
            if is_ready and node.group in self.fleets[fleet].groups and fits(need, node.free):
                group, left = self.groups[node.group], subtract(node.free, need)
                score = Fraction(left[0], group.cpu) + Fraction(left[1], group.memory)
                if best is None or score > best[0]:
                    best = score, number
        if best:
            number = best[1]
            self._stop_waiting(job)
            self.nodes[number].free = subtract(self.nodes[number].free, need)
            self.nodes[number].pods += 1
            self.idle.pop(number, None)
            self.begun[job], self.node_of[job] = self.now, number

    def _scan(self) -> None:
        left, oldest = self._find_open_pods()
        if left and oldest + 2 > self.now:
            return
        options = [option for group in range(len(self.groups)) if (option := self._pack(group, left))[2]]
        if options:
            self._add(options)
        elif (
            self.last_added is None
            or (self.now - self.last_added) * SECOND >= self.autoscaler.delay_after_add
        ):
            self._remove()

    def _find_open_pods(self) -> tuple[list[Shape], int]:
        """Return the shape of each pod that no starting node has room for, and when the oldest came."""
        upcoming = {
            number: list(self.groups[node.group].room)
            for number, node in enumerate(self.nodes)
            if node.ready > self.now
        }
        for (_, need), number in self.covers:
            upcoming[number] = subtract(upcoming[number], need)
        left: list[Shape] = []
        oldest = self.now
        for shape in dict.fromkeys(map(self._shape, self.pending)):
            waiting = [job for job in self.pending if self._shape(job) == shape]
            count = len(waiting) - sum(cover[0] == shape for cover in self.covers)
            for number, free in upcoming.items():
                if self.nodes[number].group in self.fleets[shape[0]].groups:
                    while count and fits(shape[1], free):
                        free[:] = subtract(free, shape[1])
                        self.covers.append((shape, number))
                        count -= 1
            left += [shape] * count
            oldest = min(oldest, self.taken[waiting[0]]) if count else oldest
        return left, oldest

    def _pack(self, position: int, shapes: list[Shape]) -> tuple[int, int, list[Cover]]:
        """Return a group, the number of new nodes, and the pods on them."""
        group = self.groups[position]
        size = sum(node.group == position and node.removed is None for node in self.nodes)
        new: list[list[int]] = []
        covers: list[Cover] = []
        own = [s for s in shapes if position in self.fleets[s[0]].groups and fits(s[1], group.room)]
        weights = [-(need[0] / group.cpu + need[1] / group.memory) for _, need in own]
        for index in sorted(range(len(own)), key=weights.__getitem__):
            need = own[index][1]
            place = next((place for place, free in enumerate(new) if fits(need, free)), len(new))
            if place == len(new):
                if size + len(new) == group.max_size:
                    continue
                new.append(list(group.room))
            new[place] = subtract(new[place], need)
            covers.append((own[index], len(self.nodes) + place))
        return position, len(new), covers

    def _add(self, options: list[tuple[int, int, list[Cover]]]) -> None:
        scores: list[float] = []
        for position, count, covers in options:
            group = self.groups[position]
            cpu, memory = count * group.cpu, count * group.memory
            waste = (cpu - sum(need[0] for (_, need), _ in covers)) / cpu
            waste += (memory - sum(need[1] for (_, need), _ in covers)) / memory
            values = {
                "priority": -group.priority,
                "most-pods": -len(covers),
                "random": 0,
                "least-waste": waste,
            }
            scores.append(values[self.autoscaler.expander])
        best = [option for option, score in zip(options, scores, strict=True) if score == min(scores)]
        position, count, covers = best[0] if len(best) == 1 else self.random.choice(best)
        self.covers += covers
        ready = self.now + self.groups[position].start_time // SECOND
        for _ in range(count):
            self.nodes.append(PlainNode(position, self.now, ready, list(self.groups[position].room)))
        self.last_added = self.now

    def _remove(self) -> None:
        removed = 0
        for number, since in list(self.idle.items()):
            position = self.nodes[number].group
            size = sum(node.group == position and node.removed is None for node in self.nodes)
            is_due = (self.now - since) * SECOND >= self.autoscaler.unneeded_time
            if is_due and size > self.groups[position].min_size and removed < 10:
                self.nodes[number].removed = self.now
                del self.idle[number]
                removed += 1
