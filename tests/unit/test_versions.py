"""Versions of charts, providers and the autoscaler's image that differ from the tested ones."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from plan_review.findings import Category
from plan_review.plan import read_plan
from plan_review.review import PlannedStack
from stacks.settings.load import load_settings
from stacks.versions import CLUSTER_AUTOSCALER_IMAGE_TAGS
from tests.environments import Mistakes, Synthesized, WriteEnvironment

AUTOSCALER_TAG = "versions.cluster_autoscaler_image_tag"
CHOSEN = {
    "gitlab_runner_chart": "0.999.0",
    "cluster_autoscaler_chart": "9.999.0",
    "cluster_autoscaler_image_tag": "v1.99.2",
    "aws_provider": "5.999.0",
    "helm_provider": "3.999.0",
    "kubernetes_provider": "3.999.0",
}


@pytest.fixture(scope="module")
def changed(synthesize_changed: Callable[..., Synthesized]) -> Synthesized:
    """The example environment with other versions of everything."""
    return synthesize_changed({"versions": CHOSEN, "cluster.kubernetes_version": "1.99"})


def untested(stack: dict[str, Any]) -> list[str]:
    """Return the messages of the checks of a stack's versions."""
    return [item["error_message"] for item in stack["check"]["tested_versions"]["assert"]]


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("gitlab_runner_chart", "0.86", "not of the accepted form"),
        ("gitlab_runner_chart", ">= 0.86.0", "not of the accepted form"),
        ("cluster_autoscaler_chart", "v9.59.0", "not of the accepted form"),
        ("cluster_autoscaler_image_tag", "1.35.2", "not of the accepted form"),
        (
            "cluster_autoscaler_image_tag",
            "v1.36.1",
            "must have the minor version of cluster.kubernetes_version",
        ),
        ("aws_provider", "~> 5.0", "not of the accepted form"),
        ("aws_provider", "7.0.0", "must be a 5.x or 6.x version"),
        ("aws_provider", "6.x", "not of the accepted form"),
        ("kubernetes_provider", "2.35.1", "must be 2.36.0 or newer"),
        ("terraform", "1.11.0", "unknown key"),
    ],
)
def test_ranges_and_versions_that_do_not_work_are_refused(
    mistakes: Mistakes, key: str, value: str, accepted: str
) -> None:
    """A version is exact; an autoscaler of another minor version and AWS provider 7.x do not work."""
    (line,) = mistakes({f"versions.{key}": value})
    assert line.startswith(f"example.yaml: versions.{key}: ")
    assert accepted in line


def test_the_emulated_aws_has_the_tested_providers_only(mistakes: Mistakes) -> None:
    """The local environment would otherwise run another version than its settings say."""
    (line,) = mistakes({"versions.helm_provider": "3.3.0"}, base="local", name="local")
    assert line.endswith(
        'versions.helm_provider: "3.3.0": must be 3.1.2 in an environment on the emulated AWS'
    )


def test_a_release_candidate_is_a_version(write_environment: WriteEnvironment) -> None:
    """Charts and images have them."""
    versions = {"gitlab_runner_chart": "0.87.0-rc1", "cluster_autoscaler_image_tag": "v1.35.3-beta.0"}
    assert load_settings(write_environment({"versions": versions}))


def test_the_stacks_use_the_versions_of_the_settings(changed: Synthesized) -> None:
    """Both charts, the autoscaler's image and all three providers."""
    releases = list(changed["workloads"]["resource"]["helm_release"].values())
    assert {(release["chart"], release["version"]) for release in releases} == {
        ("gitlab-runner", "0.999.0"),
        ("cluster-autoscaler", "9.999.0"),
    }
    (values,) = (release["values"][0] for release in releases if release["chart"] == "cluster-autoscaler")
    assert YAML(typ="safe").load(values)["image"]["tag"] == "v1.99.2"
    providers = {
        stack: {name: item["version"] for name, item in document["terraform"]["required_providers"].items()}
        for stack, document in changed.items()
    }
    aws = {"aws": "5.999.0"}
    assert providers == {
        "network": aws,
        "cluster": aws,
        "workloads": aws | {"helm": "3.999.0", "kubernetes": "3.999.0"},
    }


def test_each_stack_warns_of_the_untested_versions_that_it_uses(changed: Synthesized) -> None:
    """A warning is where the version takes effect; the tested versions are in it."""
    settings = {
        stack: {message.partition(": ")[0] for message in untested(changed[stack])} for stack in changed
    }
    assert settings["network"] == {"versions.aws_provider"}
    assert settings["cluster"] == {"versions.aws_provider", "cluster.kubernetes_version"}
    without_image = {f"versions.{key}" for key in CHOSEN} - {AUTOSCALER_TAG}  # none is tested for 1.99
    assert settings["workloads"] == without_image | {"cluster.kubernetes_version"}
    (message,) = untested(changed["network"])
    assert message.startswith("versions.aws_provider: 5.999.0: not tested here. Tested: 5.100.0. ")


def test_another_image_for_a_tested_kubernetes_version_is_untested(
    write_environment: WriteEnvironment,
) -> None:
    """The tested tag itself, written in the settings, is not."""
    tested = CLUSTER_AUTOSCALER_IMAGE_TAGS["1.35"]
    for tag, found in (("v1.35.99", {AUTOSCALER_TAG: ("v1.35.99", [tested])}), (tested, {})):
        settings = load_settings(write_environment({AUTOSCALER_TAG: tag}))
        assert settings.versions.find_untested("1.35") == found


def test_the_report_of_a_plan_shows_untested_versions(changed: Synthesized, tmp_path: Path) -> None:
    """Terraform evaluates the checks in each plan, and a plan with nothing to do has them, too."""
    stack = changed["workloads"]
    local = {"untested_versions": stack["locals"]["untested_versions"]}
    check = {"tested_versions": stack["check"]["tested_versions"]}
    (tmp_path / "main.tf.json").write_text(json.dumps({"locals": local, "check": check}))
    _, shown = (
        subprocess.run(
            ["terraform", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for arguments in (["plan", "-input=false", "-out=tfplan"], ["show", "-json", "tfplan"])
    )
    (found,) = PlannedStack("workloads", read_plan(shown)).findings
    assert found.category == Category.CHECK
    assert not found.needs_approval
    assert all(message in found.text for message in untested(stack))
