"""Settings of containers: requests and limits, and for job containers the maxima of jobs that change them."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Self

from pydantic import Field, model_validator

from stacks.settings.model import Mistake, SettingsModel, refuse
from stacks.settings.quantities import ByteQuantity, CpuQuantity, quantity

RESOURCES = ("cpu", "memory", "ephemeral_storage")


class ContainerResources(SettingsModel):
    """Requests, limits and overwrite maxima of one kind of job container; the keys are GitLab Runner's."""

    cpu_request: CpuQuantity | None = Field(
        default=None, description="CPU request in vCPU, such as 500m or 1.5."
    )
    cpu_limit: CpuQuantity | None = Field(default=None, description="CPU limit in vCPU, such as 500m or 1.5.")
    cpu_request_overwrite_max_allowed: CpuQuantity | None = Field(
        default=None,
        description="Maximum CPU that a job may request. Without it a job can't change the request.",
    )
    cpu_limit_overwrite_max_allowed: CpuQuantity | None = Field(
        default=None,
        description="Maximum CPU limit that a job may set. Without it a job can't change the limit.",
    )
    memory_request: ByteQuantity | None = Field(
        default=None, description="Memory request, such as 512Mi or 4Gi."
    )
    memory_limit: ByteQuantity | None = Field(default=None, description="Memory limit, such as 512Mi or 4Gi.")
    memory_request_overwrite_max_allowed: ByteQuantity | None = Field(
        default=None,
        description="Maximum memory that a job may request. Without it a job can't change the request.",
    )
    memory_limit_overwrite_max_allowed: ByteQuantity | None = Field(
        default=None,
        description="Maximum memory limit that a job may set. Without it a job can't change the limit.",
    )
    ephemeral_storage_request: ByteQuantity | None = Field(
        default=None, description="Disk request, such as 10Gi."
    )
    ephemeral_storage_limit: ByteQuantity | None = Field(
        default=None, description="Disk limit, such as 10Gi."
    )
    ephemeral_storage_request_overwrite_max_allowed: ByteQuantity | None = Field(
        default=None,
        description="Maximum disk that a job may request. Without it a job can't change the request.",
    )
    ephemeral_storage_limit_overwrite_max_allowed: ByteQuantity | None = Field(
        default=None,
        description="Maximum disk limit that a job may set. Without it a job can't change the limit.",
    )

    @model_validator(mode="after")
    def _require_maxima_that_fit(self) -> Self:
        refuse(mistake for resource in RESOURCES for mistake in self._find_mistakes(resource))
        return self

    def _find_mistakes(self, resource: str) -> Iterator[Mistake]:
        # Kubernetes refuses a request above its limit, GitLab Runner a default above its own maximum.
        request, limit = f"{resource}_request", f"{resource}_limit"
        request_maximum, limit_maximum = (f"{name}_overwrite_max_allowed" for name in (request, limit))
        for low, high in ((request, limit), (request, request_maximum), (limit, limit_maximum)):
            if self._is_above(low, high):
                yield (high,), getattr(self, high), f"must be at least {low}, which is {getattr(self, low)}"
        highest_limit = limit if getattr(self, limit_maximum) is None else limit_maximum
        if getattr(self, limit) is not None and self._is_above(request_maximum, highest_limit):
            accepted = (
                f"must be at least {request_maximum}, which is {getattr(self, request_maximum)}: with the "
                f"{limit} of {getattr(self, limit)} Kubernetes refuses a job that requests it"
            )
            yield (limit_maximum,), getattr(self, limit_maximum), accepted

    def _is_above(self, low: str, high: str) -> bool:
        amounts = getattr(self, low), getattr(self, high)
        return None not in amounts and quantity(amounts[0]) > quantity(amounts[1])

    def most_requested(self, resource: str) -> Decimal:
        """Return the highest request that a container may have for one of `RESOURCES`.

        If a container has only a limit, Kubernetes uses it as the request.

        Returns:
            Amount in vCPU or bytes; 0 if the settings have neither request nor limit.

        """
        only_limited = getattr(self, f"{resource}_request") is None
        limits = self._amounts(resource, "limit") if only_limited else []
        return max(self._amounts(resource, "request") + limits, default=Decimal(0))

    def highest_limit(self, resource: str) -> Decimal:
        """Return the highest limit that a container may have, in vCPU or bytes; never below a request."""
        return max(self._amounts(resource, "request") + self._amounts(resource, "limit"), default=Decimal(0))

    def is_limited(self, resource: str) -> bool:
        """Return whether the settings have a limit or a maximum for a resource."""
        keys = ("limit", "limit_overwrite_max_allowed", "request_overwrite_max_allowed")
        return any(getattr(self, f"{resource}_{key}") is not None for key in keys)

    def _amounts(self, resource: str, kind: str) -> list[Decimal]:
        keys = (f"{resource}_{kind}", f"{resource}_{kind}_overwrite_max_allowed")
        return [quantity(text) for text in (getattr(self, key) for key in keys) if text is not None]


class ManagerResources(SettingsModel):
    """Requests and limit of a fleet's managers. They have no CPU limit: it would only slow them down."""

    cpu_request: CpuQuantity | None = Field(
        default=None,
        description="CPU request in vCPU, such as 500m or 1.5. Default: 10m and 6m for each job of "
        "`concurrent`, 100m to 1.",
    )
    memory_request: ByteQuantity | None = Field(
        default=None,
        description="Memory request, such as 512Mi or 4Gi. Default: 50Mi and 2.5Mi for each job of "
        "`concurrent`, at least 128Mi, and from 75 jobs 600Mi.",
    )
    memory_limit: ByteQuantity | None = Field(
        default=None,
        description="Memory limit, at least 128Mi, such as 512Mi or 4Gi. Default: twice the request, at "
        "least 512Mi.",
    )

    @model_validator(mode="after")
    def _require_a_limit_that_fits(self) -> Self:
        request, limit = self.memory_request, self.memory_limit
        if request and limit and quantity(request) > quantity(limit):
            refuse([(("memory_limit",), limit, f"must be at least memory_request, which is {request}")])
        if limit and quantity(limit) < quantity("128Mi"):
            refuse([(("memory_limit",), limit, "must be at least 128Mi, or Kubernetes ends the manager")])
        return self
