"""The replay's simulation keeps its promises, and agrees with a plain one that looks at everything each second."""

import random
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.simulation import Amounts, Autoscaler, Fleet, Jobs, NodeGroup, Result, simulate

SECOND = 1000
Case = tuple[list[Fleet], list[NodeGroup], Autoscaler, list[tuple[int, int, int, Amounts]]]


def run(case: Case) -> Result:
    """Simulate a case; its jobs are (start, seconds, fleet, need), with times in seconds."""
    fleets, groups, autoscaler, rows = case
    starts, seconds, of_fleets = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    needs = np.array([row[3] for row in rows], np.int64).reshape(len(rows), 4)
    jobs = Jobs(starts * SECOND, seconds * SECOND, of_fleets, needs)
    return simulate(fleets, groups, autoscaler, jobs)


def fits(need: Amounts, free: list[int] | Amounts) -> bool:
    """Return whether a pod fits."""
    return all(amount <= left for amount, left in zip(need, free, strict=True))


@dataclass
class PlainNode:
    """A node of the plain simulation."""

    group: int
    requested: int
    ready: int
    free: list[int]
    pods: int = 0
    removed: int | None = None


@dataclass
class Plain:
    """The rules of the replay as plain loops over seconds, nodes and pods."""

    case: Case
    now: int = 0
    nodes: list[PlainNode] = field(default_factory=list)
    idle: dict[int, int] = field(default_factory=dict)
    covers: list[tuple[int, Amounts, int]] = field(default_factory=list)  # fleet, need, node
    pending: list[int] = field(default_factory=list)
    last_added: int | None = None

    def run(self) -> tuple[list[int], list[int], list[int], list[PlainNode]]:
        """Return when each job was taken and begun, its node, and the nodes."""
        fleets, groups, _, rows = self.case
        self.now = rows[0][0]
        self.random = random.Random(0)
        count = len(rows)
        self.taken, self.begun, self.node_of = [-1] * count, [-1] * count, [-1] * count
        failed: set[int] = set()
        slots = [fleet.slots for fleet in fleets]
        for position, group in enumerate(groups):
            for index in range(max(group.min_size, len(group.held))):
                self.nodes.append(PlainNode(position, self.now, self.now, list(group.room)))
                if index < len(group.held):
                    self.nodes[-1].pods = 1
                    self.use(len(self.nodes) - 1, group.held[index], -1)
                else:
                    self.idle[len(self.nodes) - 1] = -(-self.now // 10) * 10
        queue: list[int] = []
        while len(failed) + sum(begun >= 0 for begun in self.begun) < count or self.now < self.horizon:
            for job, begun in enumerate(self.begun):
                if begun >= 0 and begun + rows[job][1] + self.cleanup(job) == self.now:
                    self.use(self.node_of[job], rows[job][3], 1)
                    self.nodes[self.node_of[job]].pods -= 1
                    if not self.nodes[self.node_of[job]].pods:
                        self.idle[self.node_of[job]] = -(-self.now // 10) * 10
                if begun >= 0 and begun + rows[job][1] == self.now:
                    slots[rows[job][2]] += 1
            for number, node in enumerate(self.nodes):
                if node.ready == self.now and node.requested < node.ready:
                    self.covers = [cover for cover in self.covers if cover[2] != number]
                    self.idle[number] = -(-self.now // 10) * 10
            for job in list(self.pending):
                if self.taken[job] * SECOND + fleets[rows[job][2]].poll_timeout == self.now * SECOND:
                    failed.add(job)
                    self.stop_waiting(job)
                    slots[rows[job][2]] += 1
            queue += [job for job in range(count) if rows[job][0] == self.now]
            for job in list(queue):
                if slots[rows[job][2]]:
                    slots[rows[job][2]] -= 1
                    queue.remove(job)
                    self.taken[job] = self.now
                    self.pending.append(job)
            for job in list(self.pending):
                self.schedule(job)
            if self.now % 10 == 0:
                self.scan()
            self.now += 1
        return self.taken, self.begun, self.node_of, self.nodes

    @property
    def horizon(self) -> int:
        """Return a time when all is over."""
        rows = self.case[3]
        last = max(
            [begun + row[1] for begun, row in zip(self.begun, rows, strict=True) if begun >= 0]
            + [rows[-1][0]]
        )
        return max(last, self.last_added or 0) + 200

    def cleanup(self, job: int) -> int:
        return self.case[0][self.case[3][job][2]].cleanup // SECOND

    def use(self, number: int, need: Amounts, sign: int) -> None:
        self.nodes[number].free = [
            left + sign * amount for left, amount in zip(self.nodes[number].free, need, strict=True)
        ]

    def is_ready(self, number: int) -> bool:
        return self.nodes[number].ready <= self.now and self.nodes[number].removed is None

    def stop_waiting(self, job: int) -> None:
        self.pending.remove(job)
        shape = (self.case[3][job][2], self.case[3][job][3])
        own = [cover for cover in self.covers if cover[:2] == shape]
        if len(own) > sum(
            (self.case[3][other][2], self.case[3][other][3]) == shape for other in self.pending
        ):
            self.covers.remove(max(own, key=lambda cover: cover[2]))

    def schedule(self, job: int) -> None:
        fleets, groups, _, rows = self.case
        need = rows[job][3]
        best = None
        for number, node in enumerate(self.nodes):
            if self.is_ready(number) and node.group in fleets[rows[job][2]].groups and fits(need, node.free):
                group = groups[node.group]
                score = Fraction(node.free[0] - need[0], group.cpu) + Fraction(
                    node.free[1] - need[1], group.memory
                )
                if best is None or score > best[0]:
                    best = (score, number)
        if best:
            self.stop_waiting(job)
            self.use(best[1], need, -1)
            self.nodes[best[1]].pods += 1
            self.idle.pop(best[1], None)
            self.begun[job], self.node_of[job] = self.now, best[1]

    def scan(self) -> None:
        fleets, groups, autoscaler, rows = self.case
        shapes = list(dict.fromkeys((rows[job][2], rows[job][3]) for job in self.pending))
        upcoming = {
            number: list(groups[node.group].room)
            for number, node in enumerate(self.nodes)
            if node.ready > self.now
        }
        for _, need, number in self.covers:
            upcoming[number] = [left - amount for left, amount in zip(upcoming[number], need, strict=True)]
        left: list[tuple[int, Amounts]] = []
        heads: list[int] = []
        for shape in shapes:
            waiting = [job for job in self.pending if (rows[job][2], rows[job][3]) == shape]
            number_open = len(waiting) - sum(cover[:2] == shape for cover in self.covers)
            for number, free in upcoming.items():
                while (
                    number_open
                    and self.nodes[number].group in fleets[shape[0]].groups
                    and fits(shape[1], free)
                ):
                    upcoming[number] = free = [a - b for a, b in zip(free, shape[1], strict=True)]
                    self.covers.append((*shape, number))
                    number_open -= 1
            left += [shape] * number_open
            heads += [self.taken[waiting[0]]] if number_open else []
        if heads and min(heads) + 2 > self.now:
            return
        options = []
        for position, group in enumerate(groups):
            size = sum(node.group == position and node.removed is None for node in self.nodes)
            new: list[list[int]] = []
            covers: list[tuple[int, Amounts, int]] = []
            own = [
                shape for shape in left if position in fleets[shape[0]].groups and fits(shape[1], group.room)
            ]
            sizes = [-(need[0] / group.cpu + need[1] / group.memory) for _, need in own]
            for index in sorted(range(len(own)), key=sizes.__getitem__):
                shape = own[index]
                place = next((index for index, free in enumerate(new) if fits(shape[1], free)), len(new))
                if place == len(new):
                    if size + len(new) == group.max_size:
                        continue
                    new.append(list(group.room))
                new[place] = [a - b for a, b in zip(new[place], shape[1], strict=True)]
                covers.append((*shape, len(self.nodes) + place))
            if covers:
                options.append((position, len(new), covers))
        if options:
            self.add(options)
        elif (
            self.last_added is None
            or self.now * SECOND >= self.last_added * SECOND + autoscaler.delay_after_add
        ):
            self.remove()

    def add(self, options: list[tuple[int, int, list[tuple[int, Amounts, int]]]]) -> None:
        groups, autoscaler = self.case[1], self.case[2]
        scores = []
        for position, count, covers in options:
            group = groups[position]
            cpu, memory = count * group.cpu, count * group.memory
            scores.append(
                {
                    "priority": -group.priority,
                    "most-pods": -len(covers),
                    "random": 0,
                    "least-waste": (cpu - sum(need[0] for _, need, _ in covers)) / cpu
                    + (memory - sum(need[1] for _, need, _ in covers)) / memory,
                }[autoscaler.expander]
            )
        best = [option for option, score in zip(options, scores, strict=True) if score == min(scores)]
        position, count, covers = best[0] if len(best) == 1 else self.random.choice(best)
        self.covers += covers
        for _ in range(count):
            ready = self.now + groups[position].start_time // SECOND
            self.nodes.append(PlainNode(position, self.now, ready, list(groups[position].room)))
        self.last_added = self.now

    def remove(self) -> None:
        removed = 0
        for number, since in list(self.idle.items()):
            position = self.nodes[number].group
            size = sum(node.group == position and node.removed is None for node in self.nodes)
            is_due = (self.now - since) * SECOND >= self.case[2].unneeded_time
            if is_due and size > self.case[1][position].min_size and removed < 10:
                self.nodes[number].removed = self.now
                del self.idle[number]
                removed += 1


GI = 4  # small numbers, so that pods often just fit


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a few fleets, groups and jobs; each job fits on an empty node of its fleet."""
    groups = []
    for _ in range(draw(st.integers(1, 3))):
        cpu, memory = draw(st.integers(4, 8)), draw(st.integers(4, 8))
        least = draw(st.integers(0, 2))
        held = [(1, 1, 0, 1)] * draw(st.integers(0, least))
        groups.append(
            NodeGroup(
                room=(cpu - 1, memory, 9, draw(st.integers(2, 5))),
                cpu=cpu,
                memory=memory,
                min_size=least,
                max_size=max(1, least + draw(st.integers(0, 3))),
                start_time=draw(st.integers(1, 45)) * SECOND,
                priority=draw(st.integers(1, 2)),
                held=tuple(held),
            )
        )
    fleets = [
        Fleet(
            slots=draw(st.integers(1, 6)),
            groups=tuple(sorted(draw(st.sets(st.integers(0, len(groups) - 1), min_size=1)))),
            poll_timeout=draw(st.integers(20, 90)) * SECOND,
            cleanup=draw(st.integers(0, 6)) * SECOND,
        )
        for _ in range(draw(st.integers(1, 2)))
    ]
    autoscaler = Autoscaler(
        draw(st.sampled_from(["least-waste", "most-pods", "random", "priority"])),
        unneeded_time=draw(st.sampled_from([10, 35, 60])) * SECOND,
        delay_after_add=draw(st.sampled_from([5, 40])) * SECOND,
    )
    rows = []
    for start in sorted(draw(st.lists(st.integers(0, 90), min_size=1, max_size=14))):
        fleet = draw(st.integers(0, len(fleets) - 1))
        room = groups[draw(st.sampled_from(fleets[fleet].groups))].room
        need = (draw(st.integers(1, room[0])), draw(st.integers(0, room[1])), draw(st.integers(0, 2)), 1)
        rows.append((start, draw(st.integers(1, 40)), fleet, need))
    return fleets, groups, autoscaler, rows


def check_against_plain(case: Case) -> None:
    """Fail if the simulation and the plain one differ in any time or node."""
    result = run(case)
    taken, begun, node_of, nodes = Plain(case).run()
    assert (result.taken // SECOND).tolist() == taken
    assert [time // SECOND for time in result.begun.tolist()] == begun
    assert result.node_of_job.tolist() == node_of
    assert [
        (node.group, node.requested / SECOND, node.ready / SECOND, node.removed and node.removed / SECOND)
        for node in result.nodes
    ] == [(node.group, node.requested, node.ready, node.removed) for node in nodes]


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(cases())
def test_the_simulation_agrees_with_plain_loops(case: Case) -> None:
    """Heaps and shapes only make it faster: each time and each node is the same."""
    check_against_plain(case)
