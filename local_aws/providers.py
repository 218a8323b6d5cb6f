"""Whether the workloads stack can be deployed on this machine, or only rehearsed.

Intent: real first. Only where the emulated cluster has no Kubernetes API, or Terraform can't have its
providers, the stand-ins of `rehearsal/` take their place.
"""

import contextlib
import json
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import DockerException

from local_aws import rehearsal
from local_aws.emulator import WORK
from stacks.versions import HELM_PROVIDER, KUBERNETES_PROVIDER

RECORD = WORK / "rehearsal.json"


def missing_for_workloads(endpoint: str | None) -> str:
    """Return what the workloads stack lacks on this machine and how to get it; empty if nothing.

    Args:
        endpoint: URL of the deployed cluster's Kubernetes API; None before there is one.

    """
    if not (_answers(endpoint) if endpoint else _docker_runs()):
        return (
            "no Kubernetes API: with a running Docker engine the emulator backs the cluster with a real k3s. "
            "Start Docker, then `make demo-down demo`."
        )
    if not _terraform_finds_providers():
        return (
            "no helm and kubernetes providers: let Terraform reach its registry, or put them into a provider "
            "mirror, then `make demo`."
        )
    return ""


@contextlib.contextmanager
def served(missing: str, record: Path = RECORD) -> Iterator[dict[str, str]]:
    """Yield the environment variables with which Terraform finds all providers of the workloads stack."""
    if not missing:
        yield {}
        return
    with rehearsal.running(record) as environment:
        yield environment


def _docker_runs() -> bool:
    try:
        client = docker.from_env(timeout=3)
    except DockerException:
        return False
    client.close()
    return True


def _terraform_finds_providers() -> bool:
    required = {
        "helm": {"source": "hashicorp/helm", "version": HELM_PROVIDER},
        "kubernetes": {"source": "hashicorp/kubernetes", "version": KUBERNETES_PROVIDER},
    }
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "main.tf.json"
        configuration.write_text(
            json.dumps({"terraform": {"required_providers": required}}), encoding="utf-8"
        )
        command = ["terraform", "init", "-input=false"]
        return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0  # noqa: S603 - ours


def _answers(endpoint: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only whether anything answers, on loopback
    try:
        with urllib.request.urlopen(f"{endpoint}/version", timeout=3, context=context):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
