"""The requests and limit of a fleet's manager, which follow the number of its jobs. No cdktf import.

GitLab, "Optimize GitLab Runner manager pod performance": the measured need is 10m CPU and 50 MB, and 6m
and 2.5 MB for each job. The memory limit is twice the request. The page's example for 75 jobs and more
requests 600Mi. Small managers keep room for the probe, a second process of the runner.
Not here: the containers of jobs (runner_config.py).
"""

from decimal import Decimal

from stacks.resources import MIB
from stacks.settings.container_resources import ManagerResources
from stacks.settings.quantities import byte_text, cpu_text, quantity

MANY_JOBS = 75


def manager_resources(settings: ManagerResources, *, concurrent: int) -> dict[str, dict[str, str]]:
    """Return the `resources` of a manager's container that runs up to `concurrent` jobs."""
    # The scheduler must find a node for the request; a manager with more to do uses the node's idle CPU.
    cpu = min(Decimal(10 + 6 * concurrent) / 1000, Decimal(1))
    memory = (50 + Decimal("2.5") * concurrent) * MIB
    least_memory = 600 * MIB if concurrent >= MANY_JOBS else 128 * MIB
    request = _choose(settings.memory_request, max(memory, least_memory))
    limit = _choose(settings.memory_limit, max(2 * request, 512 * MIB))
    return {
        "requests": {
            "cpu": cpu_text(_choose(settings.cpu_request, max(cpu, Decimal("0.1")))),
            "memory": byte_text(min(request, limit)),
        },
        "limits": {"memory": byte_text(limit)},
    }


def _choose(setting: str | None, default: Decimal) -> Decimal:
    return default if setting is None else quantity(setting)
