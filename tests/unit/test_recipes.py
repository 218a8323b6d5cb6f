"""The recipes of docs/runners.md are settings that work."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from ruamel.yaml import YAML

from stacks.settings.load import PROJECT
from tests.environments import Synthesized, runners
from tests.recipes import recipes

RECIPES = recipes()


def test_there_is_a_recipe_for_each_kind_of_fleet() -> None:
    """The page has a recipe for each of these."""
    assert set(RECIPES) == {
        "Big jobs",
        "Untrusted forks",
        "Spot",
        "ARM",
        "Docker-in-docker",
        "Docker Hub",
        "A cache of Docker Hub",
        "Large caches",
        "Several managers",
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


def test_the_job_with_docker_in_docker_finds_the_volume_of_the_default_fleet(example: Synthesized) -> None:
    """Its variables name the service, the port of TLS, and the folder where the fleet mounts a volume."""
    page = (PROJECT / "docs" / "runners.md").read_text()
    (text,) = re.findall(r"^```yml\n(build image:.+?)^```$", page, re.MULTILINE | re.DOTALL)
    job = YAML(typ="safe").load(text)["build image"]
    executor = runners(example)["default"]["kubernetes"]
    (volume,) = executor["volumes"]["empty_dir"]
    assert executor["privileged"] is True
    assert job["services"] == [f"{job['image']}-dind"]
    assert job["variables"] == {
        "DOCKER_HOST": "tcp://docker:2376",
        "DOCKER_TLS_CERTDIR": "/certs",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": volume["mount_path"],
    }
    assert volume["mount_path"] == f"{job['variables']['DOCKER_TLS_CERTDIR']}/client"
