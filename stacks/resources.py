"""The resources that a job's containers request: names and units. No cdktf import."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from stacks.settings.quantities import byte_text, cpu_text

MIB = Decimal(1024**2)


@dataclass(frozen=True)
class Resource:
    """One kind of resource.

    `key` is its name in the settings, `name` the one in Kubernetes; `unit` is what plans count in.
    `default_request` is the request of a container for which neither the fleet nor the job names one.
    """

    key: str
    name: str
    unit: str
    unit_size: Decimal
    write: Callable[[Decimal], str]
    default_request: Decimal


RESOURCES = (
    Resource("cpu", "cpu", "m", Decimal("0.001"), cpu_text, Decimal("0.1")),
    Resource("memory", "memory", "Mi", MIB, byte_text, 128 * MIB),
    Resource("ephemeral_storage", "ephemeral-storage", "Mi", MIB, byte_text, 128 * MIB),
)
