"""Settings of running jobs."""

import pytest

from plan_review.findings import Category
from tests.plan_documents import findings, report, resource

VALUES = """\
concurrent: 10
runners:
  config: |
    [[runners]]
    [runners.kubernetes]
    image = "alpine:3.22"
    privileged = false
    poll_timeout = 900
    [runners.kubernetes.pod_annotations]
    "cluster-autoscaler.kubernetes.io/safe-to-evict" = "false"
"""


def changes(old: str, new: str) -> tuple[list[str], list[str]]:
    """Return the texts of the findings of a changed release, and the last part of each path."""
    states = ({"values": [values]} for values in (VALUES, VALUES.replace(old, new)))
    found = findings(Category.WORKLOAD, resource("helm_release", *states))
    assert not any(finding.needs_approval for finding in found)
    paths = [item.path.rpartition(".")[2] for finding in found for item in finding.differences]
    return [finding.text for finding in found], paths


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("concurrent: 10", "concurrent: 20", "values: concurrent"),
        ("privileged = false", "", "privileged"),
    ],
)
def test_the_settings_of_jobs_are_shown(old: str, new: str, name: str) -> None:
    """Concurrency and privileges are found in the chart's values and in the runner's TOML."""
    assert changes(old, new) == (["runs jobs in another way"], [name])


def test_privileged_jobs_need_an_approval() -> None:
    """A privileged container is root on its node; the way back needs none."""
    on = {"values": [VALUES.replace("privileged = false", "privileged = true")]}
    (found,) = findings(Category.WORKLOAD, resource("helm_release", {"values": [VALUES]}, on))
    assert found.needs_approval
    (found,) = findings(Category.WORKLOAD, resource("helm_release", on, {"values": [VALUES]}))
    assert not found.needs_approval


@pytest.mark.parametrize("new", ['safe-to-evict" = "true"', 'other" = "false"'])
def test_the_loss_of_eviction_protection_is_shown(new: str) -> None:
    """An annotation that is removed or set to true lets the autoscaler evict running jobs."""
    texts, _ = changes('safe-to-evict" = "false"', new)
    assert texts == ["no longer protects its pods from eviction"]


def test_other_values_are_no_finding() -> None:
    """A timeout of the runner is among the other changes."""
    assert changes("poll_timeout = 900", "poll_timeout = 60") == ([], [])


def test_unknown_values_are_no_finding() -> None:
    """Values that are known only after the apply are among the other changes."""
    change = resource("helm_release", {"values": [VALUES]}, {}, unknown={"values": True})
    assert not findings(Category.WORKLOAD, change)


def test_a_deleted_disruption_budget_is_shown_once() -> None:
    """A deleted PodDisruptionBudget says what its pods lose, and is not among the other deletions."""
    text = report(resource("kubernetes_pod_disruption_budget_v1", {"spec": []}, None))
    assert "is deleted: its pods are no longer protected from eviction" in text
    assert text.count("**`kubernetes_pod_disruption_budget_v1.this`**") == 1
