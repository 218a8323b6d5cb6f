"""The answer for each job of a CI file: which fleet takes it, whether it can run, where, and what to change.

No cdktf import, no file, no clock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from jobs.admission import admit
from jobs.ci_file import Job
from jobs.estimates import HourlyCost, Wait, cost_an_hour, expect_wait
from jobs.instance_sizes import InstanceSize, known_sizes
from jobs.pod import Pod, Problem, build_pod, variable_name, write_place
from jobs.scheduling import Group, choose_groups, describe_group, exceeding
from jobs.variables import Variable
from prices.table import PriceTable, known_prices
from stacks.resources import RESOURCES, Resource
from stacks.settings import Settings
from stacks.settings.runners import RunnerSettings

MAX_CORRECTIONS = 8  # of a job's values, until all changes together work


class Verdict(StrEnum):
    """The answer for one job."""

    RUNS = "can run"
    CANNOT = "cannot run"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Answer:
    """The answer for one job on one fleet; `fleet` is None if no fleet or no certain one takes it.

    `wait` and `cost` are those on a new node of the chosen groups, if the job can run.
    """

    job: Job
    fleet: str | None
    verdict: Verdict
    pod: Pod = field(default_factory=Pod)
    fits: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    wait: Wait | None = None
    cost: HourlyCost | None = None


@dataclass(frozen=True)
class _Environment:
    """The settings, instance types and prices by which jobs are judged."""

    settings: Settings
    sizes: Mapping[str, InstanceSize]
    prices: PriceTable


def explain(
    jobs: tuple[Job, ...],
    settings: Settings,
    *,
    fleet: str | None = None,
    sizes: Mapping[str, InstanceSize] | None = None,
    prices: PriceTable | None = None,
) -> list[Answer]:
    """Return the answers for jobs, in their order.

    Args:
        jobs: The jobs of a CI file.
        settings: The environment.
        fleet: The fleet that takes all jobs; without it, the tags decide.
        sizes: Sizes of instance types, besides those that are known.
        prices: Prices of instance types; by default those in this project's table.

    """
    environment = _Environment(settings, {**known_sizes(), **(sizes or {})}, prices or known_prices())
    return [answer for job in jobs for answer in _answer(job, environment, fleet)]


def _answer(job: Job, environment: _Environment, fleet: str | None) -> Iterator[Answer]:
    settings = environment.settings
    if not job.needs_runner:
        yield Answer(job, None, Verdict.RUNS, notes=("GitLab starts another pipeline; no runner takes it",))
        return
    if fleet:
        yield _judge(job, environment, fleet)
        return
    if job.unknown_tags:
        yield Answer(job, None, Verdict.UNKNOWN, unknown=(*job.unknown, *job.unknown_tags))
        return
    takers = [name for name, runner in settings.runners.items() if takes(runner.tags, job.tags)]
    without_tags = [name for name, runner in settings.runners.items() if runner.tags is None]
    tagged = [] if job.tags else [name for name, runner in settings.runners.items() if runner.tags]
    for name in takers:
        yield _judge(job, environment, name)
    if takers:
        return
    if without_tags or tagged:
        words = f"the tags {', '.join(job.tags)}" if job.tags else "no tags"
        if without_tags:
            reason = f"whether {', '.join(without_tags)} takes such jobs is not in the settings"
            advice = f"choose with --fleet, or set runners.{without_tags[0]}.tags"
        else:
            reason = f"whether {', '.join(tagged)} runs untagged jobs is only in GitLab"
            advice = "choose with --fleet"
        reason = f"the job has {words}, and {reason}: {advice}"
        yield Answer(job, None, Verdict.UNKNOWN, unknown=(*job.unknown, reason))
    else:
        yield Answer(job, None, Verdict.CANNOT, problems=(_find_no_fleet(job, settings),))


def takes(of_fleet: Sequence[str] | None, of_job: Sequence[str]) -> bool:
    """Return whether a fleet takes a job for certain: it has every tag of the job.

    GitLab, "Use tags to control which jobs a runner can run"; a runner without tags takes untagged jobs.
    """
    return of_fleet is not None and ({*of_job} <= {*of_fleet} if of_job else not of_fleet)


def _find_no_fleet(job: Job, settings: Settings) -> Problem:
    tagged = {name: runner.tags for name, runner in settings.runners.items() if runner.tags}
    if not tagged:
        first = next(iter(settings.runners))
        change = f"in the settings runners.{first}.tags: [{', '.join(job.tags)}]"
        return Problem("GitLab", f"no fleet has the tags {', '.join(job.tags)}", change)
    nearest = max(tagged, key=lambda name: len({*job.tags} & {*(tagged[name] or ())}))
    tags = tagged[nearest] or ()
    wanted = [tag for tag in job.tags if tag in tags] or list(tags)
    value = f"[{', '.join(wanted)}]"
    place = job.tags_place or job.place
    change = f"{write_place(place)}tags: {value} (the fleet {nearest})"
    return Problem("GitLab", f"no fleet has the tags {', '.join(job.tags)}", change, value, place=place)


def _judge(job: Job, environment: _Environment, fleet: str) -> Answer:
    """Return the answer for a job on a fleet; all its changes together were tried.

    A change may meet the next obstacle: the fleet's maximum accepts 16 CPU, and no node has them. Then the
    value is corrected again, or a further problem is added.
    """
    answer = _judge_once(job, environment, fleet)
    found: dict[str, Problem] = {}
    tried, problems = job, answer.problems
    for _ in range(MAX_CORRECTIONS):
        before = dict(found)
        for problem in problems:
            key = problem.variable or problem.text
            first = found.get(key)
            found[key] = _with_value(first, problem) if first else problem
            if problem.variable and problem.nearest:
                variable = tried.variables.get(problem.variable, Variable(None))
                changed = {problem.variable: replace(variable, text=problem.nearest)}
                tried = replace(tried, variables={**tried.variables, **changed})
        if found == before:
            break
        problems = _judge_once(tried, environment, fleet).problems
    return replace(answer, problems=tuple(found.values()))


def _with_value(first: Problem, later: Problem) -> Problem:
    """Return a problem with the change of a later one, which is about the same variable."""
    return (
        first
        if first.nearest == later.nearest
        else replace(first, change=later.change, nearest=later.nearest)
    )


def _judge_once(job: Job, environment: _Environment, fleet: str) -> Answer:
    settings = environment.settings
    runner = settings.runners[fleet]
    pod = build_pod(job, fleet=fleet, settings=runner)
    if pod.problems:  # the runner makes none
        return Answer(
            job, fleet, Verdict.CANNOT, replace(pod, containers=()), problems=pod.problems, notes=pod.notes
        )
    pod = admit(pod, job, fleet=fleet, settings=runner)
    groups, unknown_types = _describe_groups(settings, runner, environment.sizes)
    requests = {resource.key: pod.requests(resource) for resource in RESOURCES}
    fitting = [group for group in groups if not exceeding(requests, group)]
    problems, unknown = list(pod.problems), [] if pod.problems else list(pod.unknown)
    # A pod that the runner or Kubernetes refuses never reaches the scheduler.
    if not problems and not unknown and not fitting:
        if unknown_types:
            unknown += [
                f"the size of {name} is not known here: give it with --instance-type {name}=VCPUS:MIB"
                for name in unknown_types
            ]
        else:
            problems += _find_room_problems(job, pod, groups, fleet)
    notes = list(pod.notes)
    if fitting and unknown_types:
        notes.append(f"groups with {', '.join(unknown_types)} are left out: their size is not known here")
    verdict = Verdict.CANNOT if problems else Verdict.UNKNOWN if unknown else Verdict.RUNS
    if verdict is not Verdict.RUNS:
        return Answer(
            job, fleet, verdict, pod, problems=tuple(problems), unknown=tuple(unknown), notes=tuple(notes)
        )
    names = choose_groups(requests, fitting, settings.autoscaler)
    chosen = {
        group.name: (group, settings.cluster.node_groups[group.name])
        for group in fitting
        if group.name in names
    }
    wait = expect_wait(pod, [group for _, group in chosen.values()], settings.waiting_times)
    if wait.shortest > runner.poll_timeout_seconds:
        notes.append(
            f"on a new node it waits {wait.shortest} seconds or more, and the runner gives up after "
            f"{runner.poll_timeout_seconds}: runners.{fleet}.poll_timeout_seconds"
        )
    cost, missing = cost_an_hour(requests, chosen, environment.prices, settings.aws.region)
    return Answer(
        job,
        fleet,
        verdict,
        pod,
        fits=tuple(group.name for group in fitting),
        chosen=tuple(names),
        notes=(*notes, *missing),
        wait=wait,
        cost=cost,
    )


def _describe_groups(
    settings: Settings, runner: RunnerSettings, sizes: Mapping[str, InstanceSize]
) -> tuple[list[Group], list[str]]:
    groups, unknown = [], []
    for name, group in runner.placed_on(settings.cluster.node_groups).items():
        missing = [instance_type for instance_type in group.instance_types if instance_type not in sizes]
        unknown += missing
        if not missing:
            agent = settings.cluster.node_monitoring_agent
            groups.append(describe_group(name, group, sizes, monitoring_agent=agent))
    return groups, list(dict.fromkeys(unknown))


def _find_room_problems(job: Job, pod: Pod, groups: list[Group], fleet: str) -> Iterator[Problem]:
    """Yield a problem for each resource that is too much on the group that comes nearest."""
    requests = {resource.key: pod.requests(resource) for resource in RESOURCES}

    def excess(group: Group) -> tuple[int, Decimal]:
        over = exceeding(requests, group)
        ratios = (requests[key] / max(group.room[key], 1) for key in over)
        return len(over), sum(ratios, Decimal(0))

    group = min(groups, key=excess)
    for resource in RESOURCES:
        if resource.key not in exceeding(requests, group):
            continue
        room = group.room[resource.key] * resource.unit_size
        text = (
            f"the pod requests {resource.write(requests[resource.key])} {resource.name} with helper and "
            f"services; an empty node of {group.name} has {write_room(resource, room)} for it"
        )
        yield _reduce(job, pod, resource, requests[resource.key] - room, text, fleet)


def _reduce(job: Job, pod: Pod, resource: Resource, excess: Decimal, text: str, fleet: str) -> Problem:
    """Return a problem whose change lowers the largest request by the excess."""
    largest = max(pod.containers, key=lambda part: part.requests.get(resource.key, Decimal(0)))
    same = [part for part in pod.containers if part.kind == largest.kind]
    left = largest.requests[resource.key] - excess / len(same)
    name = variable_name(largest.kind, resource, "request")
    value = write_room(resource, left) if left >= resource.unit_size else None
    if value is None:
        place = job.services_place or job.place
        change = f"{write_place(place)}services: fewer of them, or a group with larger instances"
        return Problem("scheduler", text, change, place=place)
    larger = "or a node group with larger instances in the settings"
    if name in job.variables:
        line = job.variables[name].place
        change = f'{write_place(line)}{name}: "{value}" ({larger})'
        return Problem("scheduler", text, change, value, name, line)
    change = f'in the settings runners.{fleet}.{largest.kind}.{resource.key}_request: "{value}" ({larger})'
    return Problem("scheduler", text, change, value)


def write_room(resource: Resource, amount: Decimal) -> str:
    """Return an amount as a quantity, rounded down to the unit: a value that fits."""
    return resource.write(int(amount / resource.unit_size) * resource.unit_size)
