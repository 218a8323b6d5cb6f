"""The numbers of days that CloudWatch can keep logs."""

from typing import Annotated

from pydantic import AfterValidator

# Amazon CloudWatch Logs, "PutRetentionPolicy".
RETENTION_DAYS = [
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
]
RETENTION_RULE = f"one of {', '.join(map(str, RETENTION_DAYS))}"


def _require_retention(days: int) -> int:
    if days not in RETENTION_DAYS:
        raise ValueError(f"must be {RETENTION_RULE}")
    return days


RetentionDays = Annotated[int, AfterValidator(_require_retention)]
