"""The recipes of docs/runners.md are settings that work."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.environments import Synthesized
from tests.recipes import recipes

RECIPES = recipes()


def test_there_is_a_recipe_for_each_kind_of_fleet() -> None:
    """The page has a recipe for each of these."""
    assert set(RECIPES) == {
        "Big jobs",
        "Untrusted forks",
        "Spot",
        "ARM",
        "An AWS role for jobs",
        "User namespaces",
        "Self-managed GitLab",
    }


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES.keys())
def test_a_recipe_adds_one_fleet_to_the_example(
    synthesize_changed: Callable[..., Synthesized], changes: dict[str, Any]
) -> None:
    """Each recipe synthesizes together with example.yaml, and its fleet has a release of its own."""
    (fleet,) = {path.split(".")[1] for path in changes if path.startswith("runners.")}
    releases = synthesize_changed(changes)["workloads"]["resource"]["helm_release"].values()
    assert f"gitlab-runner-{fleet}" in {release["namespace"] for release in releases}
