"""The report about newer versions, with a stand-in of every registry on this machine."""

import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from stacks.settings.load import PROJECT
from stacks.versions import CLUSTER_AUTOSCALER_IMAGE_TAGS, GITLAB_RUNNER_CHART
from tools.newer_versions import Addresses, main

CHART = "entries:\n  {0}:\n  - version: {1}\n  - version: 999.0.0-rc1\n  - version: 0.1.0\n"
PROVIDER = '{{"versions": [{{"version": "{0}"}}, {{"version": "{1}"}}, {{"version": "99.0.0-beta1"}}]}}'
PYTHON_PACKAGE = '<a href="/files/{0}-{1}-py3-none-any.whl">{0}-{1}-py3-none-any.whl</a>'
PINNED_CLI = json.loads((PROJECT / "package.json").read_text())["devDependencies"]["cdktf-cli"]
NPM_PACKAGE = {
    "name": "cdktf-cli",
    "dist-tags": {"latest": "0.99.0"},
    "versions": {
        version: {"name": "cdktf-cli", "version": version, "dist": {"tarball": "http://127.0.0.1/"}}
        for version in (PINNED_CLI, "0.99.0")
    },
}
ANSWERS = {
    "/runner/index.yaml": CHART.format("gitlab-runner", "0.999.1"),
    "/autoscaler/index.yaml": CHART.format("cluster-autoscaler", "9.0.0"),
    "/providers/hashicorp/aws/versions": PROVIDER.format("9.10.0", "9.9.0"),
    "/providers/hashicorp/helm/versions": PROVIDER.format("3.0.0", "2.17.0"),
    "/providers/hashicorp/kubernetes/versions": "<html>a login page</html>",
    "/tags/cluster-autoscaler-1.": json.dumps(
        [
            {"ref": f"refs/tags/cluster-autoscaler-{version}"}
            for version in ("1.20.9", "1.36.0", "1.36.9", "1.36.10", "1.99.0", "1.99.1-beta.1")
        ]
    ),
    "/simple/pip/": PYTHON_PACKAGE.format("pip", "23.0"),
    "/simple/pinned/": PYTHON_PACKAGE.format("pinned", "2.0"),
    "/cdktf-cli": json.dumps(NPM_PACKAGE),
}


class Registry(BaseHTTPRequestHandler):
    """A stand-in of all registries: it gives the ANSWERS."""

    def do_GET(self) -> None:
        """Answer."""
        body = ANSWERS.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        kind = "text/html" if self.path.startswith("/simple/") else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    """Serve the stand-in, and give its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def report(
    url: str, monkeypatch: pytest.MonkeyPatch, folder: Path, printed: pytest.CaptureFixture[str]
) -> str:
    """Return the report of registries at a URL, for one installed Python package: `pinned` 1.0."""
    metadata = folder / "pinned-1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: pinned\nVersion: 1.0\n")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    variables = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": f"{url}/simple",
        "PIP_PATH": str(folder),
        "npm_config_registry": url,
        "npm_config_cache": str(folder),
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["newer_versions"])
    main(Addresses(f"{url}/runner", f"{url}/autoscaler", f"{url}/providers", f"{url}/tags"))
    return printed.readouterr().out


def test_the_report_names_what_is_newer_and_what_it_could_not_compare(
    registry: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Release candidates, older versions and Kubernetes versions before ours are not newer."""
    lines = [" ".join(line.split()) for line in report(registry, monkeypatch, tmp_path, capsys).splitlines()]
    assert lines == [
        "Newer than the tested versions:",
        f"chart gitlab-runner {GITLAB_RUNNER_CHART} → 0.999.1",
        "provider aws 5.100.0 → 9.10.0",
        f"cluster-autoscaler for Kubernetes 1.36 {CLUSTER_AUTOSCALER_IMAGE_TAGS['1.36']} → v1.36.10",
        "cluster-autoscaler for Kubernetes 1.99 none → v1.99.0",
        "Python package pinned 1.0 → 2.0",
        f"npm package cdktf-cli {PINNED_CLI} → 0.99.0",
        "Not compared: provider kubernetes: Expecting value: line 1 column 1 (char 0)",
    ]


@pytest.mark.long
def test_each_registry_that_can_not_be_reached_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine without a network gets a report that says so; no package counts as up to date."""
    first, *lines = report("http://127.0.0.1:9", monkeypatch, tmp_path, capsys).splitlines()
    assert first == "No newer version was found."
    assert [line.split(":")[:2] for line in lines] == [
        ["Not compared", f" {name}"]
        for name in (
            "chart gitlab-runner",
            "chart cluster-autoscaler",
            "provider aws",
            "provider helm",
            "provider kubernetes",
            "releases of cluster-autoscaler",
            "Python packages",
            "npm packages",
        )
    ]
    assert "ECONNREFUSED" in lines[-1], "npm's own words"
