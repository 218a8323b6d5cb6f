"""Both charts, rendered by real Helm with the values of the stacks. CONTRIBUTING.md says what it needs."""

import functools
import os
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from tests.environments import Synthesized
from tests.manifests import KUBERNETES_VERSIONS, Manifest, find_mistakes
from tests.recipes import recipes
from tools.charts import ARCHIVES, read_as_helm, render_chart, unpack_charts

FLEETS = {"example.yaml": None, **recipes()}
EVERY_FLEET = pytest.mark.parametrize("changes", FLEETS.values(), ids=FLEETS.keys())


class Rendered(NamedTuple):
    """One release: its namespace, its values as Helm reads them, and the objects of its chart."""

    chart: str
    namespace: str
    values: dict[str, Any]
    objects: list[Manifest]

    def the_only(self, kind: str) -> Manifest:
        """Return the release's one object of a kind."""
        (found,) = (item for item in self.objects if item["kind"] == kind)
        return found


Render = Callable[..., list[Rendered]]


@pytest.fixture(scope="session")
def helm() -> str:
    """The path of the Helm program."""
    program = os.environ.get("HELM") or shutil.which("helm")
    if not program:
        pytest.skip("no helm on the PATH, and HELM does not name one")
    return program


@pytest.fixture(scope="session")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both charts unpacked, in the versions that the stacks install."""
    source = os.environ.get("CHARTS_FOLDER")
    if not source:
        pytest.skip(f"CHARTS_FOLDER is not set: the folder that holds {' and '.join(ARCHIVES)}")
    folder = tmp_path_factory.mktemp("charts")
    unpack_charts(Path(source), folder)
    return folder


@pytest.fixture(scope="session")
def render(synthesize_changed: Callable[..., Synthesized], charts: Path, helm: str) -> Render:
    """Render all releases of the example with some settings changed, for one version of Kubernetes."""

    @functools.cache
    def render_once(chart: str, namespace: str, text: str, version: str) -> Rendered:
        printed = render_chart(helm, charts / chart, namespace=namespace, values=text, version=version)
        objects = [item for item in YAML(typ="safe").load_all(printed) if item]
        return Rendered(chart, namespace, YAML(typ="safe").load(text), objects)

    def releases(changes: dict[str, Any] | None, version: str = KUBERNETES_VERSIONS[-1]) -> list[Rendered]:
        found = synthesize_changed(changes)["workloads"]["resource"]["helm_release"].values()
        return [
            render_once(item["chart"], item["namespace"], read_as_helm(item["values"][0]), version)
            for item in found
        ]

    return releases


@EVERY_FLEET
def test_kubernetes_knows_every_field_of_every_object(render: Render, changes: dict[str, Any] | None) -> None:
    """Each object of both charts is valid in every supported version of Kubernetes."""
    for version in KUBERNETES_VERSIONS:
        for release in render(changes, version):
            assert {"Deployment", "ServiceAccount"} <= {item["kind"] for item in release.objects}
            assert find_mistakes(release.objects) == []


@EVERY_FLEET
def test_no_value_is_without_a_reader(render: Render, charts: Path, changes: dict[str, Any] | None) -> None:
    """The charts read each value of the first two levels; Helm ignores a misspelt one silently."""
    for release in render(changes):
        files = (charts / release.chart / "templates").iterdir()
        templates = "\n".join(file.read_text() for file in files if file.is_file())
        for key, value in release.values.items():
            for name in (f"{key}.{below}" for below in value) if isinstance(value, dict) else (key,):
                read = rf"\.Values\.({re.escape(name)}\b|{re.escape(key)}(?![.\w]))"
                assert re.search(read, templates), f"{release.chart} {release.namespace}: {name}"


@EVERY_FLEET
def test_the_runner_gets_the_configuration_of_the_settings(
    render: Render, changes: dict[str, Any] | None
) -> None:
    """The TOML in the ConfigMap is that of the values, and the runner's own file has `concurrent`."""
    for release in render(changes):
        if release.chart == "gitlab-runner":
            files = release.the_only("ConfigMap")["data"]
            expected = tomllib.loads(release.values["runners"]["config"])
            assert tomllib.loads(files["config.template.toml"]) == expected
            assert tomllib.loads(files["config.toml"])["concurrent"] == release.values["concurrent"]


def test_a_settings_braces_reach_the_runner(render: Render) -> None:
    """Neither Terraform nor Helm reads a setting as a template of theirs."""
    text = "${CI_JOB_ID} %{if} {{ .Values.x }}"
    _, release = render({"runners.default.pod_annotations": {"a": text}})
    template = tomllib.loads(release.the_only("ConfigMap")["data"]["config.template.toml"])
    assert template["runners"][0]["kubernetes"]["pod_annotations"]["a"] == text


@EVERY_FLEET
def test_pods_are_as_the_values_say(render: Render, changes: dict[str, Any] | None) -> None:
    """Values that both charts name alike reach the one Deployment of each release."""
    for release in render(changes):
        template = release.the_only("Deployment")["spec"]["template"]
        annotations = {key: str(value) for key, value in release.values["podAnnotations"].items()}
        assert annotations.items() <= template["metadata"]["annotations"].items()
        assert template["spec"]["nodeSelector"] == release.values["nodeSelector"]
        (container,) = template["spec"]["containers"]
        assert container["resources"] == release.values["resources"]
        account = release.the_only("ServiceAccount")["metadata"]
        assert account["name"] == template["spec"]["serviceAccountName"]
        assert account["namespace"] == release.namespace
