"""The requests and limit of a manager."""

from typing import Any

import pytest

from stacks.manager_resources import manager_resources
from stacks.settings.container_resources import ManagerResources
from tests.environments import Mistakes


def _resources(concurrent: int, **settings: Any) -> tuple[str, str, str]:
    """Return CPU request, memory request and memory limit."""
    found = manager_resources(ManagerResources(**settings), concurrent=concurrent)
    assert found["limits"].keys() == {"memory"}
    return found["requests"]["cpu"], found["requests"]["memory"], found["limits"]["memory"]


@pytest.mark.parametrize(
    ("concurrent", "expected"),
    [
        (1, ("100m", "128Mi", "512Mi")),
        (10, ("100m", "128Mi", "512Mi")),
        (50, ("310m", "175Mi", "512Mi")),
        (74, ("454m", "235Mi", "512Mi")),
        (75, ("460m", "600Mi", "1200Mi")),
        (150, ("910m", "600Mi", "1200Mi")),
        (400, ("1", "1050Mi", "2100Mi")),
    ],
)
def test_a_manager_grows_with_its_jobs(concurrent: int, expected: tuple[str, str, str]) -> None:
    """By GitLab's measurement: 10m and 6m a job; 50Mi and 2.5Mi a job, with a limit of twice that."""
    assert _resources(concurrent) == expected


def test_each_setting_replaces_one_value() -> None:
    """The limit follows the request of the settings, and the request never exceeds the limit."""
    assert _resources(10, cpu_request="2") == ("2", "128Mi", "512Mi")
    assert _resources(10, memory_request="1Gi") == ("100m", "1Gi", "2Gi")
    assert _resources(100, memory_limit="256Mi") == ("610m", "256Mi", "256Mi")
    assert _resources(100, memory_request="1Gi", memory_limit="1Gi") == ("610m", "1Gi", "1Gi")


def test_a_limit_with_which_a_manager_ends_at_once_is_refused(mistakes: Mistakes) -> None:
    """The runner itself needs more than that."""
    assert mistakes({"runners.default.manager.memory_limit": "1Mi"}) == [
        (
            'example.yaml: runners.default.manager.memory_limit: "1Mi": must be at least 128Mi, or '
            "Kubernetes ends the manager"
        )
    ]


def test_a_limit_below_its_request_is_refused(mistakes: Mistakes) -> None:
    """Kubernetes would refuse the manager."""
    changes = {"runners.default.manager": {"memory_request": "1Gi", "memory_limit": "512Mi"}}
    assert mistakes(changes) == [
        (
            'example.yaml: runners.default.manager.memory_limit: "512Mi": must be at least memory_request, '
            "which is 1Gi"
        )
    ]
