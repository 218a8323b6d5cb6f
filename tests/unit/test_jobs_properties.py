"""Promises of the model behind `python -m jobs`, and of the cost, for all values that hypothesis tries.

The examples are always the same ones: a few here, many in `make test-long`.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from jobs.admission import admit
from jobs.ci_file import Job, Service
from jobs.ci_yaml import Place
from jobs.estimates import cost_an_hour, expect_wait, share_of_node
from jobs.explain import Verdict, explain
from jobs.instance_sizes import known_sizes
from jobs.pod import Container, Pod, build_pod
from jobs.scheduling import Group, choose_groups, describe_group, exceeding
from jobs.variables import Variable
from plan_review.money import add_up, estimate
from prices.table import known_prices
from stacks.resources import RESOURCES
from stacks.settings.load import load_environment
from stacks.settings.node_groups import NodeGroupSettings
from tests.plan_documents import plan, resource

EXAMPLE = load_environment("example")
FLEET = EXAMPLE.runners["default"]
PLACE = Place("ci.yml", 1)
MIB = 1024**2

AMOUNTS = some.fixed_dictionaries(
    {
        "cpu": some.decimals(0, 64, places=3),
        "memory": some.integers(0, 256 * 1024).map(lambda mib: Decimal(mib) * MIB),
        "ephemeral_storage": some.integers(0, 200 * 1024).map(lambda mib: Decimal(mib) * MIB),
    }
)
TYPES = some.sampled_from(["m5.large", "m5.2xlarge", "m5.4xlarge", "m5.8xlarge", "m5.24xlarge"])
NODE_GROUPS = some.builds(
    NodeGroupSettings,
    instance_types=TYPES.map(lambda name: (name,)),
    capacity_type=some.sampled_from(["ON_DEMAND", "SPOT"]),
    min_size=some.integers(0, 3),
    max_size=some.integers(3, 9),
    disk_size_gib=some.integers(20, 500),
)
# Around the fleet's maxima, which are 16 and 16Gi.
CPU = some.sampled_from(["20", "16001m", "16", "8", "100m"]) | some.integers(1, 64).map(str)
MEMORY = some.sampled_from(["20Gi", "16385Mi", "16Gi", "9G", "1Mi"]) | some.integers(1, 96).map("{}Gi".format)
JOBS = some.builds(
    lambda variables, services: Job(
        "job",
        PLACE,
        variables={name: Variable(text, PLACE) for name, text in variables.items()},
        services=tuple(Service(image) for image in services),
    ),
    some.fixed_dictionaries(
        {},
        optional={
            "KUBERNETES_CPU_REQUEST": CPU,
            "KUBERNETES_CPU_LIMIT": CPU,
            "KUBERNETES_MEMORY_REQUEST": MEMORY,
            "KUBERNETES_MEMORY_LIMIT": MEMORY,
        },
    ),
    some.lists(some.sampled_from(["postgres:17", "docker:28-dind"]), max_size=3),
)


@pytest.fixture(params=[12, pytest.param(2000, marks=pytest.mark.long)])
def prove(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return a function that tries a property with examples."""

    def run(holds: Any, times: int = 1) -> None:
        number = request.param * times
        settings(max_examples=number, derandomize=True, database=None, deadline=None)(holds)()

    return run


def described(group: NodeGroupSettings, name: str = "group") -> Group:
    """Return a node group as the scheduler sees it."""
    return describe_group(name, group, known_sizes(), monitoring_agent=False)


def test_more_room_never_stops_a_pod_that_fitted(prove: Callable[[Any], None]) -> None:
    """Kubernetes Scheduler, NodeResourcesFit: a larger machine or disk holds what the smaller one held."""

    @given(AMOUNTS, NODE_GROUPS, some.sampled_from(["m5.24xlarge"]), some.integers(0, 500))
    def holds(requests: Any, group: NodeGroupSettings, larger: str, disk: int) -> None:
        more = group.model_copy(
            update={"instance_types": (larger,), "disk_size_gib": group.disk_size_gib + disk}
        )
        assert {*exceeding(requests, described(more))} <= {*exceeding(requests, described(group))}

    prove(holds)


def test_a_smaller_pod_fits_wherever_the_larger_one_fits(prove: Callable[[Any], None]) -> None:
    """Kubernetes Scheduler, NodeResourcesFit: requests are compared resource by resource."""

    @given(AMOUNTS, NODE_GROUPS, some.decimals(0, 1, places=2))
    def holds(requests: Any, group: NodeGroupSettings, part: Decimal) -> None:
        smaller = {key: amount * part for key, amount in requests.items()}
        assert {*exceeding(smaller, described(group))} <= {*exceeding(requests, described(group))}

    prove(holds)


def test_a_larger_maximum_never_refuses_an_accepted_job(prove: Callable[..., None]) -> None:
    """GitLab Runner, overwrites.go, and Kubernetes, "Limit Ranges": both only compare with the maximum."""

    @given(JOBS, some.integers(0, 64), some.integers(0, 128))
    def holds(job: Job, cpu: int, gib: int) -> None:
        larger = FLEET.build.model_copy(
            update={
                "cpu_request_overwrite_max_allowed": str(16 + cpu),
                "cpu_limit_overwrite_max_allowed": str(16 + cpu),
                "memory_request_overwrite_max_allowed": f"{16 + gib}Gi",
                "memory_limit_overwrite_max_allowed": f"{16 + gib}Gi",
            }
        )
        fleets = (FLEET, FLEET.model_copy(update={"build": larger}))
        of_runner = [build_pod(job, fleet="default", settings=fleet) for fleet in fleets]
        of_kubernetes = [
            admit(pod, job, fleet="default", settings=fleet)
            for pod, fleet in zip(of_runner, fleets, strict=True)
        ]
        for before, after in (of_runner, of_kubernetes):
            assert before.problems or not after.problems
            assert before.problems or all(
                before.requests(resource) == after.requests(resource) for resource in RESOURCES
            )

    prove(holds, times=2)  # half of the jobs have a problem before


def test_an_admitted_container_has_no_request_above_its_limit(prove: Callable[[Any], None]) -> None:
    """The API server refuses such a container, so the model must have refused it before."""

    @given(JOBS)
    def holds(job: Job) -> None:
        pod = admit(build_pod(job, fleet="default", settings=FLEET), job, fleet="default", settings=FLEET)
        assert pod.problems or all(
            amount <= container.limits.get(key, amount)
            for container in pod.containers
            for key, amount in container.requests.items()
        )

    prove(holds)


def test_the_autoscaler_chooses_among_the_groups_that_fit(prove: Callable[[Any], None]) -> None:
    """cluster-autoscaler, "What are Expanders?": at least one, whatever the expander, and none besides."""

    @given(
        AMOUNTS,
        some.lists(NODE_GROUPS, min_size=1, max_size=4),
        some.sampled_from(["least-waste", "most-pods", "random", "priority"]),
    )
    def holds(requests: Any, groups: list[NodeGroupSettings], expander: str) -> None:
        named = [described(group, f"group-{number}") for number, group in enumerate(groups)]
        fitting = [group for group in named if not exceeding(requests, group)]
        priorities = {group.name: number + 1 for number, group in enumerate(named)}
        autoscaler = EXAMPLE.autoscaler.model_copy(
            update={"expander": expander, "expander_priorities": priorities}
        )
        chosen = choose_groups(requests, fitting, autoscaler)
        assert {*chosen} <= {group.name for group in fitting}
        assert bool(chosen) == bool(fitting)

    prove(holds)


def test_one_more_node_group_never_stops_a_job_that_ran(prove: Callable[[Any], None]) -> None:
    """From the job to the answer: what ran still runs, and fits where it did."""

    @given(JOBS, NODE_GROUPS)
    def holds(job: Job, group: NodeGroupSettings) -> None:
        groups = {**EXAMPLE.cluster.node_groups, "more": group}
        cluster = EXAMPLE.cluster.model_copy(update={"node_groups": groups})
        larger = EXAMPLE.model_copy(update={"cluster": cluster})
        (before,), (after,) = (
            explain((job,), environment, fleet="default") for environment in (EXAMPLE, larger)
        )
        if before.verdict is Verdict.RUNS:
            assert after.verdict is Verdict.RUNS
            assert {*before.fits} <= {*after.fits}
            assert {*after.chosen} <= {*after.fits}

    prove(holds)


def test_a_larger_request_never_costs_less(prove: Callable[[Any], None]) -> None:
    """The share grows with the request, up to the whole node, and never beyond."""

    @given(AMOUNTS, AMOUNTS, NODE_GROUPS)
    def holds(requests: Any, more: Any, group: NodeGroupSettings) -> None:
        larger = {key: amount + more[key] for key, amount in requests.items()}
        where = {"group": (described(group), group)}
        small, large = (
            cost_an_hour(amounts, where, known_prices(), "eu-central-1")[0] for amounts in (requests, larger)
        )
        assert small
        assert large
        assert 0 <= small.share <= large.share <= large.alone == small.alone
        assert share_of_node(larger, described(group)) <= 1

    prove(holds)


def test_a_further_image_never_shortens_the_wait(prove: Callable[[Any], None]) -> None:
    """The shortest time is never above the longest; one more image or Spot only adds."""

    @given(NODE_GROUPS, some.lists(some.sampled_from(["a", "b", "c"]), max_size=3))
    def holds(group: NodeGroupSettings, images: list[str]) -> None:
        pods = [
            Pod(tuple(Container("build", image, {}, {}, image) for image in names))
            for names in (images, [*images, "another"])
        ]
        one, two = (expect_wait(pod, [group], EXAMPLE.waiting_times) for pod in pods)
        assert one.shortest <= one.longest
        assert one.shortest < two.shortest
        assert one.longest < two.longest

    prove(holds)


def test_more_nodes_never_lower_floor_or_ceiling(prove: Callable[[Any], None]) -> None:
    """The cost in a plan's report grows with minimum and maximum, and the floor is never the higher one."""

    @given(NODE_GROUPS, some.integers(0, 3), some.integers(0, 3))
    def holds(group: NodeGroupSettings, more_at_least: int, more_at_most: int) -> None:
        def state(smallest: int, largest: int) -> Any:
            sizes = {"min_size": smallest, "max_size": largest}
            return {
                "arn": "arn:aws:eks:eu-central-1:123456789012:nodegroup/a",
                "scaling_config": [sizes],
                "instance_types": [*group.instance_types],
                "capacity_type": group.capacity_type,
                "disk_size": group.disk_size_gib,
            }

        before = state(group.min_size, group.max_size)
        after = state(group.min_size + more_at_least, group.max_size + more_at_least + more_at_most)
        cost = estimate([plan(resource("aws_eks_node_group", before, after))], known_prices())
        old, new = add_up(cost.before), add_up(cost.after)
        assert not cost.missing
        assert 0 <= old.floor <= old.ceiling
        assert old.floor <= new.floor <= new.ceiling
        assert old.ceiling <= new.ceiling

    prove(holds)
