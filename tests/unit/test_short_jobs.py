"""Short jobs and replaced managers, simulated with the numbers of the synthesized stack.

Kubernetes counts a pod in a quota until its grace is over (kubernetes, QuotaV1Pod). The manager deletes the
pod of a finished job, does not wait, and gives the job's place to the next one.
"""

import sys
from dataclasses import dataclass, replace
from itertools import cycle

import pytest

from stacks.settings.quantities import quantity
from tests.environments import Synthesized, runner_values, runners

MAX_SERVICES = 3
REPLACED_AFTER = (310, 620)  # seconds: two updates of the fleet within the hour
END = 900


@dataclass(frozen=True)
class Fleet:
    """The numbers of a fleet; `hard` is its quota, `largest` what a container may request at most."""

    concurrent: int
    cleanup_seconds: int
    hard: dict[str, str]
    largest: dict[tuple[str, str], float]

    def needs(self, services: int) -> dict[str, float]:
        """Return what a job's pod counts in a quota; a key that is not here fails the test."""
        counted = {"pods": 1.0, "services.loadbalancers": 0.0, "services.nodeports": 0.0}
        for resource in ("cpu", "memory"):
            build, helper, service = (
                self.largest[container, resource] for container in ("", "helper_", "service_")
            )
            counted[f"requests.{resource}"] = build + helper + services * service
        return counted


@pytest.fixture(scope="module")
def fleet(example: Synthesized) -> Fleet:
    """The fleet of the example, as the synthesized stack describes it."""
    executor = runners(example)["default"]["kubernetes"]
    (quota,) = example["workloads"]["resource"]["kubernetes_resource_quota_v1"].values()
    ((_, values),) = runner_values(example["workloads"])

    def largest(container: str, resource: str) -> float:
        request = f"{container}{resource}_request"
        return float(quantity(executor.get(f"{request}_overwrite_max_allowed") or executor[request]))

    return Fleet(
        concurrent=values["concurrent"],
        cleanup_seconds=executor["cleanup_grace_period_seconds"],
        hard=quota["spec"]["hard"],
        largest={
            (container, resource): largest(container, resource)
            for container in ("", "helper_", "service_")
            for resource in ("cpu", "memory")
        },
    )


def count_refused(fleet: Fleet, *, job_seconds: tuple[int, ...], services: int) -> tuple[int, int]:
    """Return how many pods started and how many the quota refused while there are always jobs in the queue.

    A manager that is replaced takes no more jobs and lets its own finish, while the next one fills up.
    """
    needs = fleet.needs(services)
    rooms = [float(quantity(amount)) // needs[key] for key, amount in fleet.hard.items() if needs[key]]
    most_pods = min(rooms, default=sys.maxsize)
    durations = cycle(job_seconds)
    running: list[int] = []  # when the jobs of the present manager end
    pods: list[int] = []  # when Kubernetes ceases to count the pods of all managers
    started = refused = 0
    for now in range(END):
        if now in REPLACED_AFTER:
            running = []
        running = [end for end in running if end > now]
        pods = [gone for gone in pods if gone > now]
        for _ in range(fleet.concurrent - len(running)):
            end = now + next(durations)
            if len(pods) < most_pods:
                running.append(end)
                pods.append(end + fleet.cleanup_seconds)
                started += 1
            else:
                refused += 1
    return started, refused


JOBS = pytest.mark.parametrize("job_seconds", [(5,), (10,), (20,), (60,), (5, 10, 20, 60, 1800)])


@JOBS
@pytest.mark.parametrize("services", range(MAX_SERVICES + 1))
def test_no_pod_is_refused(fleet: Fleet, job_seconds: tuple[int, ...], services: int) -> None:
    """The quota of the example has room for every job at its maxima, also while managers are replaced."""
    started, refused = count_refused(fleet, job_seconds=job_seconds, services=services)
    assert started >= fleet.concurrent * END // max(job_seconds)
    assert refused == 0


@JOBS
def test_the_simulation_sees_a_quota_of_twice_the_jobs(fleet: Fleet, job_seconds: tuple[int, ...]) -> None:
    """With such a quota, and the runner's own 30 seconds for a finished pod, jobs are refused."""
    before = replace(fleet, cleanup_seconds=30, hard={"pods": str(2 * fleet.concurrent)})
    _, refused = count_refused(before, job_seconds=job_seconds, services=0)
    assert refused > 0


def test_the_simulation_sees_a_quota_for_one_service(fleet: Fleet) -> None:
    """With a quota for the containers of one service for each job, jobs with three services are refused."""
    cpu = fleet.needs(1)["requests.cpu"]
    before = replace(fleet, hard={"requests.cpu": f"{2 * fleet.concurrent * cpu:.1f}"})
    _, refused = count_refused(before, job_seconds=(60,), services=MAX_SERVICES)
    assert refused > 0
