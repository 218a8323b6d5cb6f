"""The pod that GitLab Runner makes of a job: the containers with their requests and limits.

GitLab Runner, executors/kubernetes/overwrites.go and "Kubernetes executor", "Overwrite container resources".
No cdktf import, no file, no clock.
Not here: Kubernetes' own defaults and limits (admission.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from jobs.ci_file import Job, Service
from jobs.ci_yaml import Place
from jobs.quantities import correct_quantity, parse_quantity
from jobs.variables import Variable
from stacks.resources import RESOURCES, Resource
from stacks.settings.runners import RunnerSettings

KINDS = {"build": "", "helper": "HELPER_", "service": "SERVICE_"}
# Variables that the settings leave without effect: they have no key that would allow one.
_NEVER_ALLOWED = (
    "KUBERNETES_NAMESPACE_OVERWRITE",
    "KUBERNETES_SERVICE_ACCOUNT_OVERWRITE",
    "KUBERNETES_BEARER_TOKEN",
    "KUBERNETES_NODE_SELECTOR_",
    "KUBERNETES_NODE_TOLERATIONS_",
    "KUBERNETES_POD_",
)

Amounts = Mapping[str, Decimal]
"""Amounts in vCPU or bytes, by the resource's key in the settings."""


@dataclass(frozen=True)
class Problem:
    """A reason why a job can't run.

    Attributes:
        who: The program that refuses it.
        text: The reason.
        change: The one line to change, with its place.
        nearest: The nearest value that works, if there is one.
        variable: Name of the job's variable in this line.
        place: The place of the line, if it is in the CI file; without it the job's first line counts.

    """

    who: str
    text: str
    change: str
    nearest: str | None = None
    variable: str | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Container:
    """A container of a job's pod; `kind` is the settings' name of it."""

    kind: str
    name: str
    requests: Amounts
    limits: Amounts
    image: str | None = ""
    user: str | None = ""


@dataclass(frozen=True)
class Pod:
    """A job's pod, or the reasons why the runner makes none."""

    containers: tuple[Container, ...] = ()
    problems: tuple[Problem, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def requests(self, resource: Resource) -> Decimal:
        """Return what all containers request together."""
        return sum((part.requests.get(resource.key, Decimal(0)) for part in self.containers), Decimal(0))


@dataclass
class _Findings:
    problems: list[Problem] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build_pod(job: Job, *, fleet: str, settings: RunnerSettings) -> Pod:
    """Return the pod that the runner of a fleet would make of a job."""
    found = _Findings()
    containers = [
        _build(kind, kind, job.variables, fleet=fleet, settings=settings, found=found)
        for kind in ("build", "helper")
    ]
    image = job.image or (None if job.image is None else settings.image)
    containers[0] = replace(containers[0], image=image, user=job.user)
    of_fleet = [service.name for service in settings.kubernetes.services or []]
    services = [*(Service(image) for image in of_fleet), *job.services]
    shared: Container | None = None
    for service in services:
        if shared is None:
            shared = _build("service", "service", job.variables, fleet=fleet, settings=settings, found=found)
        container = shared
        if service.variables:  # on top of the amounts that the job's variables give every service
            container = _overwrite(shared, service.variables, fleet=fleet, settings=settings, found=found)
        name = f"service {service.image or '(unknown image)'}"
        containers.append(replace(container, name=name, image=service.image, user=service.user))
    found.notes += _find_ineffective(job.variables)
    return Pod(
        tuple(containers),
        tuple(dict.fromkeys(found.problems)),
        tuple(dict.fromkeys([*job.unknown, *found.unknown])),
        tuple(dict.fromkeys(found.notes)),
    )


def variable_name(kind: str, resource: Resource, which: str) -> str:
    """Return the variable with which a job changes a request or a limit of a kind of container."""
    return f"KUBERNETES_{KINDS[kind]}{resource.key.upper()}_{which.upper()}"


def _build(
    kind: str,
    name: str,
    variables: Mapping[str, Variable],
    *,
    fleet: str,
    settings: RunnerSettings,
    found: _Findings,
) -> Container:
    own = getattr(settings, kind)
    amounts: dict[str, dict[str, Decimal]] = {"request": {}, "limit": {}}
    for resource, which in _each():
        text = getattr(own, f"{resource.key}_{which}")
        amount = None if text is None else parse_quantity(text)
        if amount is not None:
            amounts[which][resource.key] = amount
    container = Container(kind, name, amounts["request"], amounts["limit"])
    return _overwrite(container, variables, fleet=fleet, settings=settings, found=found)


def _overwrite(
    container: Container,
    variables: Mapping[str, Variable],
    *,
    fleet: str,
    settings: RunnerSettings,
    found: _Findings,
) -> Container:
    """Return a container with the requests and limits that the variables ask for."""
    requests, limits = dict(container.requests), dict(container.limits)
    for resource, which in _each():
        name = variable_name(container.kind, resource, which)
        variable = variables.get(name)
        if variable is None or variable.text == "":
            continue
        key = f"{resource.key}_{which}_overwrite_max_allowed"
        setting = f"runners.{fleet}.{container.kind}.{key}"
        maximum = getattr(getattr(settings, container.kind), key)
        where = write_place(variable.place)
        if maximum is None:
            found.notes.append(f"{where}{name} has no effect: the fleet has no {container.kind}.{key}")
            continue
        if variable.text is None:
            found.unknown.append(f"{where}{name}: {variable.unknown}")
            continue
        amount, most = parse_quantity(variable.text), parse_quantity(maximum)
        if amount is None or most is None:
            meant = correct_quantity(variable.text) or maximum
            meant_amount = parse_quantity(meant)
            nearest = maximum if meant_amount is None or (most and meant_amount > most) else meant
            found.problems.append(
                Problem(
                    "runner",
                    f'{name}: "{variable.text}" is not a Kubernetes quantity',
                    f'{where}{name}: "{nearest}"',
                    nearest,
                    name,
                    variable.place,
                )
            )
            continue
        if amount > most:
            found.problems.append(
                Problem(
                    "runner",
                    f"{name}: {variable.text} is higher than {maximum}, the fleet's {container.kind}.{key}",
                    f'{where}{name}: "{maximum}" (or in the settings {setting}: "{variable.text}"; the '
                    "plan refuses it if no node can hold it)",
                    maximum,
                    name,
                    variable.place,
                )
            )
            continue
        if resource.key != "cpu" and amount < resource.unit_size:
            found.notes.append(f"{where}{name}: {variable.text} are bytes; write {variable.text}Gi for GiB")
        (requests if which == "request" else limits)[resource.key] = amount
    return replace(container, requests=requests, limits=limits)


def _each() -> Iterator[tuple[Resource, str]]:
    # The runner looks at the requests first, and ends at the first mistake.
    for which in ("request", "limit"):
        for resource in RESOURCES:
            yield resource, which


def _find_ineffective(variables: Mapping[str, Variable]) -> Iterator[str]:
    for name, variable in variables.items():
        is_label = name.startswith(("KUBERNETES_POD_LABELS_", "KUBERNETES_POD_ANNOTATIONS_"))
        if name.startswith(_NEVER_ALLOWED) and variable.text != "":
            reason = "of labels and annotations" if is_label else "of this variable"
            yield f"{write_place(variable.place)}{name} has no effect: no fleet allows a change {reason}"


def write_place(place: Place | None) -> str:
    """Return the beginning of a line about a place."""
    return f"{place}: " if place else "--variable "
