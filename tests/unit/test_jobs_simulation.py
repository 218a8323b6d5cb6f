"""The replay's simulation keeps its promises, and agrees with plain loops over seconds, nodes and pods."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.simulation import Autoscaler, Fleet, Jobs, NodeGroup, Result, simulate
from tests.plain_replay import SECOND, Case, PlainSimulation, Row


def run(case: Case) -> Result:
    """Simulate a case; its jobs are (start, seconds, fleet, need), with times in seconds."""
    fleets, groups, autoscaler, rows = case
    starts, seconds, of_fleets = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    needs = np.array([row[3] for row in rows], np.int64).reshape(len(rows), 4)
    jobs = Jobs(starts * SECOND, seconds * SECOND, of_fleets, needs)
    return simulate(fleets, groups, autoscaler, jobs, begin=rows[0][0] * SECOND)


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
            queue_timeout=draw(st.sampled_from([15, 10**6])) * SECOND,
        )
        for _ in range(draw(st.integers(1, 2)))
    ]
    autoscaler = Autoscaler(
        draw(st.sampled_from(["least-waste", "most-pods", "random", "priority"])),
        unneeded_time=draw(st.sampled_from([10, 35, 60])) * SECOND,
        delay_after_add=draw(st.sampled_from([5, 40])) * SECOND,
    )
    rows: list[Row] = []
    for start in sorted(draw(st.lists(st.integers(0, 90), min_size=1, max_size=14))):
        fleet = draw(st.integers(0, len(fleets) - 1))
        room = groups[draw(st.sampled_from(fleets[fleet].groups))].room
        need = (draw(st.integers(1, room[0])), draw(st.integers(0, room[1])), draw(st.integers(0, 2)), 1)
        rows.append((start, draw(st.integers(1, 40)), fleet, need))
    return fleets, groups, autoscaler, rows


def check_against_plain(case: Case) -> None:
    """Fail if the simulation and the plain one differ in any time or node."""
    result = run(case)
    plain = PlainSimulation(case)
    plain.run()
    assert (result.taken // SECOND).tolist() == plain.taken
    assert (result.begun // SECOND).tolist() == plain.begun
    assert (result.ended // SECOND).tolist() == plain.ended
    assert result.node_of_job.tolist() == plain.node_of
    assert [
        (node.group, node.requested / SECOND, node.ready / SECOND, node.removed and node.removed / SECOND)
        for node in result.nodes
    ] == [(node.group, node.requested, node.ready, node.removed) for node in plain.nodes]


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(cases())
def test_the_simulation_agrees_with_plain_loops(case: Case) -> None:
    """Heaps and shapes only make it faster: each time and each node is the same."""
    check_against_plain(case)


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(cases())
def test_every_job_ends_once_and_no_node_has_more_than_its_room(case: Case) -> None:
    """Each job runs whole on a ready node of its fleet, or fails at its timeout; slots and sizes hold."""
    fleets, groups, _, rows = case
    result = run(case)
    for job, (start, seconds, fleet, _) in enumerate(rows):
        taken, begun, ended = (int(times[job]) for times in (result.taken, result.begun, result.ended))
        if taken < 0:
            assert ended == start * SECOND + fleets[fleet].queue_timeout
            continue
        assert start * SECOND <= taken <= start * SECOND + fleets[fleet].queue_timeout
        if begun < 0:
            assert ended == taken + fleets[fleet].poll_timeout
            continue
        node = result.nodes[result.node_of_job[job]]
        assert node.group in fleets[fleet].groups
        assert max(taken, node.ready) <= begun < taken + fleets[fleet].poll_timeout
        assert ended == begun + seconds * SECOND
        assert ended + fleets[fleet].cleanup <= (node.removed or ended + fleets[fleet].cleanup)
    for time in sorted({*result.taken.tolist(), *result.begun.tolist()} - {-1}):
        runs = [job for job in range(len(rows)) if 0 <= result.taken[job] <= time < result.ended[job]]
        for fleet, settings_ in enumerate(fleets):
            assert sum(rows[job][2] == fleet for job in runs) <= settings_.slots
        for number, node in enumerate(result.nodes):
            on_node = [
                job
                for job, row in enumerate(rows)
                if result.node_of_job[job] == number
                and result.begun[job] <= time < result.ended[job] + fleets[row[2]].cleanup
            ]
            used = [sum(rows[job][3][index] for job in on_node) for index in range(4)]
            assert all(amount <= room for amount, room in zip(used, groups[node.group].room, strict=True))
        for position, group in enumerate(groups):
            alive = [node for node in result.nodes if node.group == position and node.requested <= time]
            size = sum(node.removed is None or node.removed > time for node in alive)
            assert max(group.min_size, len(group.held)) <= size <= group.max_size


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60)), min_size=1, max_size=20),
    st.integers(1, 4),
    st.integers(1, 8),
)
def test_more_nodes_or_slots_never_make_equal_jobs_wait_longer(
    times: list[tuple[int, int]], nodes: int, slots: int
) -> None:
    """Jobs of one size wait for nodes that are always there: first come, first served."""
    autoscaler = Autoscaler("least-waste", 10 * SECOND, 10 * SECOND)
    rows = [(start, seconds, 0, (2, 2, 0, 1)) for start, seconds in sorted(times)]

    def begin(nodes: int, slots: int) -> list[int]:
        group = NodeGroup((5, 5, 5, 9), 5, 5, nodes, nodes, SECOND)
        begun: list[int] = run(([Fleet(slots, (0,), 10**9, 0)], [group], autoscaler, rows)).begun.tolist()
        return begun

    now = begin(nodes, slots)
    for more in (begin(nodes + 1, slots), begin(nodes, slots + 1)):
        assert all(after <= before for after, before in zip(more, now, strict=True))


@pytest.mark.long
def test_the_simulation_agrees_with_plain_loops_in_many_cases() -> None:
    """As above, for 3,000 random cases."""
    settings(max_examples=3000, derandomize=True, deadline=None, database=None)(
        given(cases())(check_against_plain)
    )()


def one_group(**changes: Any) -> NodeGroup:
    """Return a group of 4-CPU nodes that starts empty; a node needs 60 seconds."""
    return replace(NodeGroup((4, 4, 4, 9), 4, 4, 0, 5, 60 * SECOND), **changes)


ONE_FLEET = [Fleet(10, (0,), 900 * SECOND, 0)]
QUICK = Autoscaler("least-waste", 100 * SECOND, 10 * SECOND)


def test_a_scan_adds_a_node_for_pods_that_are_two_seconds_old() -> None:
    """A pod of second 3 is seen at 10; one of second 9 is too young then, and waits for the scan at 20."""
    job = (30, 0, (4, 4, 0, 1))
    waits = [int(run((ONE_FLEET, [one_group()], QUICK, [(start, *job)])).begun[0]) for start in (3, 9)]
    assert waits == [70 * SECOND, 80 * SECOND]


def test_one_new_node_serves_all_pods_that_fit_on_it() -> None:
    """The autoscaler packs pods that wait, counts nodes that start, and stops at `max_size`."""
    small = [(1, 300, 0, (1, 1, 0, 1))] * 4
    result = run((ONE_FLEET, [one_group()], QUICK, [*small, (15, 300, 0, (1, 1, 0, 1))]))
    assert [node.requested // SECOND for node in result.nodes] == [10, 20]
    full = run((ONE_FLEET, [one_group(max_size=1)], QUICK, [*small, (15, 300, 0, (1, 1, 0, 1))]))
    assert len(full.nodes) == 1
    assert full.begun[4] == 370 * SECOND


def test_an_idle_node_goes_after_its_time_and_the_least_number_stays() -> None:
    """Idle since the scan at 110, it goes at 210; a group at `min_size` keeps its node."""
    rows = [(1, 31, 0, (4, 4, 0, 1))]
    assert run((ONE_FLEET, [one_group()], QUICK, rows)).nodes[0].removed == 210 * SECOND
    assert run((ONE_FLEET, [one_group(min_size=1)], QUICK, rows)).nodes[0].removed is None
    slow = replace(QUICK, delay_after_add=400 * SECOND)
    assert run((ONE_FLEET, [one_group()], slow, rows)).nodes[0].removed == 410 * SECOND


@pytest.mark.parametrize(("expander", "group"), [("least-waste", 1), ("most-pods", 0), ("priority", 2)])
def test_the_expander_chooses_the_group(
    expander: Literal["least-waste", "most-pods", "priority"], group: int
) -> None:
    """The group that fits best, the one that helps most pods, or the one with the highest priority."""
    fleet = replace(ONE_FLEET[0], groups=(0, 1, 2))
    groups = [
        one_group(),
        replace(one_group(max_size=1, priority=1), room=(2, 2, 2, 9), cpu=2, memory=2),
        replace(one_group(max_size=1, priority=2), room=(9, 18, 9, 9), cpu=9, memory=18),
    ]
    rows = [(1, 30, 0, (1, 1, 0, 1))] * 11
    autoscaler = replace(QUICK, expander=expander)
    assert run(([replace(fleet, slots=20)], groups, autoscaler, rows)).nodes[0].group == group


def test_the_scheduler_takes_the_node_with_most_left() -> None:
    """Three jobs spread over three nodes that are always there."""
    rows = [(0, 100, 0, (1, 1, 0, 1))] * 3
    result = run((ONE_FLEET, [one_group(min_size=3)], QUICK, rows))
    assert sorted(result.node_of_job.tolist()) == [0, 1, 2]
