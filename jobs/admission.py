"""Whether Kubernetes admits a job's pod: the LimitRange of the fleet, and the rules for containers.

Kubernetes, "Limit Ranges". No cdktf import, no file, no clock. The amounts are those of the object that
Terraform creates (stacks/job_limits.py).
Not here: Pod Security, since the settings refuse what it refuses (stacks/settings/pod_security.py), and its
level `baseline` accepts any user that a job names.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from jobs.ci_file import Job
from jobs.pod import Container, Pod, Problem, variable_name, write_place
from jobs.quantities import write_exactly
from stacks.job_limits import ContainerLimit, container_limits
from stacks.resources import Resource
from stacks.settings.runners import RunnerSettings


def admit(pod: Pod, job: Job, *, fleet: str, settings: RunnerSettings) -> Pod:
    """Return the pod as Kubernetes stores it, with the reasons why it would refuse it."""
    limits = container_limits(settings)
    containers = tuple(_fill_in(container, limits) for container in pod.containers)
    stored = replace(pod, containers=containers)
    roots, unknown_users = _find_roots(stored, job, fleet, settings)
    problems = [
        *roots,
        *_find_images(stored, job, fleet, settings),
        *(
            problem
            for container in containers
            for limit in limits
            for problem in _find_container_problems(container, limit, job, fleet, settings)
        ),
    ]
    kinds = {"build": settings.kubernetes.allowed_images, "service": settings.kubernetes.allowed_services}
    unknown = [
        f"{container.name}: whether the fleet allows its image, which depends on a variable"
        for container in containers
        if container.image is None and kinds.get(container.kind)
    ]
    notes = list(pod.notes)
    if not settings.privileged and any("dind" in (container.image or "") for container in containers):
        notes.append(f"docker-in-docker does not start: the fleet {fleet} has privileged: false")
    return replace(
        stored,
        problems=(*pod.problems, *dict.fromkeys(problems)),
        unknown=(*pod.unknown, *unknown, *unknown_users),
        notes=tuple(notes),
    )


def _fill_in(container: Container, of_fleet: Sequence[ContainerLimit]) -> Container:
    """Set the requests and limits that the container does not name.

    The API server first takes a limit as the request; then the LimitRange gives its defaults.
    """
    requests, limits = {**container.limits, **container.requests}, dict(container.limits)
    for limit in of_fleet:
        key = limit.resource.key
        if limit.highest is not None:
            limits.setdefault(key, limit.highest)
        # Without a default of its own, the request of a LimitRange is its limit.
        default = limit.highest if limit.default_request is None else limit.default_request
        if default is not None:
            requests.setdefault(key, default)
    return replace(container, requests=requests, limits=limits)


def _find_container_problems(
    container: Container, of_fleet: ContainerLimit, job: Job, fleet: str, settings: RunnerSettings
) -> Iterator[Problem]:
    resource, highest = of_fleet.resource, of_fleet.highest
    request, limit = container.requests.get(resource.key), container.limits.get(resource.key)
    for which, amount in (("request", request), ("limit", limit)):
        if amount is not None and amount < 0:
            name = variable_name(container.kind, resource, which)
            value = str(resource.write(resource.default_request))
            yield _change(job, container, resource, which, f"{name} is below zero", value, fleet)
        elif amount is not None and highest is not None and amount > highest:
            text = (
                f"{container.name}: the {resource.name} {which} {write_exactly(resource, amount)} is above "
                f"{write_exactly(resource, highest)}, the maximum of the LimitRange"
            )
            yield _change(job, container, resource, which, text, write_exactly(resource, highest), fleet)
    if request is not None and limit is not None and request > limit >= 0:
        text = (
            f"{container.name}: the {resource.name} request {write_exactly(resource, request)} is above the "
            f"limit {write_exactly(resource, limit)}"
        )
        maximum = getattr(getattr(settings, container.kind), f"{resource.key}_limit_overwrite_max_allowed")
        limit_name = variable_name(container.kind, resource, "limit")
        if limit_name in job.variables and maximum and limit < request:
            yield _change(job, container, resource, "limit", text, write_exactly(resource, request), fleet)
        else:
            yield _change(job, container, resource, "request", text, write_exactly(resource, limit), fleet)


def _change(
    job: Job, container: Container, resource: Resource, which: str, text: str, value: str, fleet: str
) -> Problem:
    """Return a problem, with the line to change: the job's variable, or else the setting."""
    name = variable_name(container.kind, resource, which)
    if name in job.variables:
        place = job.variables[name].place
        return Problem("Kubernetes", text, f'{write_place(place)}{name}: "{value}"', value, name, place)
    setting = f'in the settings runners.{fleet}.{container.kind}.{resource.key}_{which}: "{value}"'
    return Problem("Kubernetes", text, setting, value)


def _find_roots(pod: Pod, job: Job, fleet: str, settings: RunnerSettings) -> tuple[list[Problem], list[str]]:
    """Return containers that would run as root, though the fleet has run_as_non_root, and unknown users.

    GitLab Runner, merge request 5724: the fleet's user of a container wins over the job's. Kubernetes,
    "Configure a Security Context": the kubelet starts no root; the container's context wins over the pod's.
    """
    problems, unknown = [], []
    of_pod = settings.kubernetes.pod_security_context
    for container in pod.containers:
        own = getattr(settings.kubernetes, f"{container.kind}_container_security_context")
        non_root = own.run_as_non_root if own and own.run_as_non_root is not None else None
        if non_root is None:
            non_root = of_pod.run_as_non_root if of_pod else None
        if not non_root or (own and own.run_as_user is not None):
            continue
        if container.user is None:
            unknown.append(f"{container.name}: its kubernetes:user, which depends on a variable")
        elif container.user.partition(":")[0] == "0":
            key = "image" if container.kind == "build" else "services"
            place = (job.services_place if key == "services" else None) or job.place
            problems.append(
                Problem(
                    "kubelet",
                    f"{container.name}: the user {container.user} is root, and the fleet {fleet} has "
                    "run_as_non_root: true",
                    f"{write_place(place)}{key}: kubernetes: user: another user ID than 0",
                    place=place,
                )
            )
    return problems, unknown


def _find_images(pod: Pod, job: Job, fleet: str, settings: RunnerSettings) -> Iterator[Problem]:
    """Yield images that the runner does not allow (GitLab Runner, "Restrict Docker images and services")."""
    for container in pod.containers:
        kind = {"build": "images", "service": "services"}.get(container.kind)
        allowed = getattr(settings.kubernetes, f"allowed_{kind}") if kind else None
        image = container.image
        if not allowed or not image or image == settings.image:
            continue
        if not any(matches(pattern, image) for pattern in allowed):
            key = "image" if container.kind == "build" else "services"
            yield Problem(
                "runner",
                f"{image} is not one of the fleet's allowed_{kind}",
                f"{write_place(job.place)}{key}: one of {', '.join(allowed)} (or in the settings "
                f"runners.{fleet}.kubernetes.allowed_{kind})",
            )


def matches(pattern: str, image: str) -> bool:
    """Return whether a pattern of doublestar matches: * stays in a part of a path, ** does not."""
    words = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.fullmatch("".join(words.get(part, re.escape(part)) for part in parts), image) is not None
