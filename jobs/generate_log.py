"""A made-up day of jobs, to try a replay without a log: `python -m jobs generate`.

It is like a team's day and no team's: pipelines come most often between 9 and 17 o'clock, each starts several
jobs at once, durations are log-normal with a median of 3 minutes, and one job in three asks for more CPU.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from math import log
from random import Random

from jobs.job_log import Row
from stacks.resources import RESOURCES
from stacks.settings import Settings
from stacks.settings.quantities import quantity
from stacks.settings.runners import RunnerSettings

MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
# The weight of each hour of the day.
HOURS = (1, 1, 2, 1, 1, 1, 2, 4, 8, 12, 14, 13, 9, 12, 14, 13, 11, 8, 5, 3, 2, 2, 1, 1)
MEAN_PIPELINE = 6
MEDIAN_SECONDS, SPREAD, LONGEST_SECONDS = 180, 1.0, 4 * 3600
GIB_FOR_EACH_CPU = 2


def generate(settings: Settings, *, count: int, seed: int) -> Iterator[Row]:
    """Yield jobs for the fleets of an environment; the same seed gives the same jobs."""
    random = Random(seed)  # noqa: S311 - no secret
    rows: list[Row] = []
    sizes = {name: list(_list_sizes(runner)) for name, runner in settings.runners.items()}
    fleets = list(sizes)
    while len(rows) < count:
        (hour,) = random.choices(range(24), HOURS)
        start = MIDNIGHT + hour * 3600 + random.random() * 3600
        for _ in range(min(1 + int(random.expovariate(1 / (MEAN_PIPELINE - 1))), count - len(rows))):
            fleet = random.choice(fleets)
            seconds = min(random.lognormvariate(log(MEDIAN_SECONDS), SPREAD), LONGEST_SECONDS)
            cpu, memory = (
                random.choice(sizes[fleet]) if sizes[fleet] and random.random() < 1 / 3 else ("", "")
            )
            rows.append(Row(round(start, 1), round(seconds, 1), cpu, memory, fleet))
    return iter(sorted(rows, key=lambda row: row.start))


def _list_sizes(runner: RunnerSettings) -> Iterator[tuple[str, str]]:
    """Yield CPU and memory of bigger jobs, up to the fleet's maxima."""
    cpu, memory = RESOURCES[:2]
    most_cpu, most_memory = (
        quantity(text)
        if (text := getattr(runner.build, f"{resource.key}_request_overwrite_max_allowed"))
        else None
        for resource in (cpu, memory)
    )
    for number in (2, 4, 8, 16):
        if most_cpu is not None and number <= most_cpu:
            amount = Decimal(number * GIB_FOR_EACH_CPU * 1024**3)
            text = memory.write(min(amount, most_memory)) if most_memory is not None else ""
            yield str(number), text
