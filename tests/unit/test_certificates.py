"""Certificates of a private authority: accepted and refused settings, and their way to the manager."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stacks.settings.load import load_settings
from tests.environments import Mistakes, Synthesized, WriteEnvironment, runner_values
from tests.recipes import recipes

FLEET = "runners.default"
URL = {f"{FLEET}.gitlab_url": "https://GitLab.example.com:8443/git"}
CA = recipes()["Self-managed GitLab"][f"{FLEET}.tls_ca"]
KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJd0Secret\n-----END PRIVATE KEY-----\n"


def read_ca(write_environment: WriteEnvironment, changes: dict[str, Any]) -> str | None:
    """Return `tls_ca` of the fleet as the settings hold it."""
    return load_settings(write_environment(URL | changes)).runners["default"].tls_ca


def test_certificates_may_be_in_the_settings(write_environment: WriteEnvironment) -> None:
    """Several are accepted, indented or with comments around them; the settings keep the certificates."""
    text = f"# Root\n{CA}\nIntermediate:\n  {CA.replace(chr(10), chr(10) + '  ')}"
    assert read_ca(write_environment, {f"{FLEET}.tls_ca": text}) == CA + CA


def test_certificates_may_be_in_a_file_beside_the_settings(
    write_environment: WriteEnvironment, tmp_path: Path
) -> None:
    """The settings hold the file's content; lines may end as on Windows."""
    (tmp_path / "ca.pem").write_bytes(CA.replace("\n", "\r\n").encode())
    assert read_ca(write_environment, {f"{FLEET}.tls_ca": "ca.pem"}) == CA


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param("missing.pem", '"missing.pem": can\'t be read (No such file', id="missing"),
        pytest.param("/etc/hosts", '"/etc/hosts": is not in the folder of the', id="absolute"),
        pytest.param("../ca.pem", '"../ca.pem": is not in the folder of the', id="outside"),
        pytest.param(".", '".": can\'t be read', id="folder"),
        pytest.param("empty.pem", '"empty.pem": holds no certificate', id="empty"),
        pytest.param(CA[:200], "holds no certificate", id="cut"),
        pytest.param(CA.replace("MIIB", "MIIC"), "block 1 of 1 is no X.509 certificate", id="no certificate"),
        pytest.param(CA + CA.replace("MIIB", "MIIC"), "block 2 of 2 is no X.509", id="second block"),
        pytest.param(CA.replace("CERTIFICATE", "CERTIFICATE REQUEST"), "holds no certificate", id="request"),
        pytest.param("long.pem", "is longer than 200000 characters", id="long"),
        pytest.param(5, "5: must be a string", id="number"),
    ],
)
def test_an_unusable_certificate_is_refused(
    mistakes: Mistakes, tmp_path: Path, value: object, words: str
) -> None:
    """The message says what is wrong and what is accepted."""
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "long.pem").write_text(CA * 500)
    (line,) = mistakes(URL | {f"{FLEET}.tls_ca": value})
    assert line.startswith(f"example.yaml: {FLEET}.tls_ca: ")
    assert words in line
    assert "PEM" in line


@pytest.mark.parametrize(
    "value", [KEY, CA + KEY, "both.pem", [KEY]], ids=["key", "both", "file", "in a list"]
)
def test_a_private_key_is_refused_and_never_shown(mistakes: Mistakes, tmp_path: Path, value: object) -> None:
    """A certificate that came with its key reaches neither a terminal nor the state."""
    (tmp_path / "both.pem").write_text(CA + KEY)
    (line,) = mistakes(URL | {f"{FLEET}.tls_ca": value})
    assert line.startswith(f"example.yaml: {FLEET}.tls_ca: ")
    assert "private key" in line
    assert "MC4C" not in line


def test_certificates_without_tls_are_refused(mistakes: Mistakes) -> None:
    """A GitLab at http:// has no certificate."""
    url = "http://gitlab.example.com"
    (line,) = mistakes({f"{FLEET}.gitlab_url": url, f"{FLEET}.tls_ca": CA})
    assert line.startswith(f'example.yaml: {FLEET}.gitlab_url: "{url}": must begin with https:// if tls_ca')


def test_the_manager_trusts_the_certificates(synthesize_changed: Callable[..., Synthesized]) -> None:
    """The chart mounts their Secret, which is there first and has the name that the runner looks for."""
    workloads = synthesize_changed(URL | {f"{FLEET}.tls_ca": CA})["workloads"]
    ((address, secret),) = (
        item for item in workloads["resource"]["kubernetes_secret_v1"].items() if "data" in item[1]
    )
    assert secret["data"] == {"GitLab.example.com.crt": CA}
    ((release, values),) = runner_values(workloads)
    assert secret["metadata"] == {"name": values["certsSecretName"], "namespace": release["namespace"]}
    assert f"kubernetes_secret_v1.{address}" in release["depends_on"]


def test_new_certificates_replace_the_managers_pod(synthesize_changed: Callable[..., Synthesized]) -> None:
    """An annotation of the pod follows their content: the runner reads them at its start."""
    ((_, values),) = runner_values(synthesize_changed(URL | {f"{FLEET}.tls_ca": CA})["workloads"])
    assert values["podAnnotations"]["tls-ca-sha256"] == hashlib.sha256(CA.encode()).hexdigest()
