"""The helm and kubernetes providers of the local environment: stand-ins, or the real ones.

The stand-ins of `rehearsal/` are the default on every machine. A real Kubernetes cluster behind the emulator
needs Docker, and is used only if the user asks for it.
"""

import contextlib
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping

import docker
from docker.errors import DockerException

from local_aws import aws_provider, rehearsal
from local_aws.emulator import WORK
from stacks.errors import UserError

RECORD = WORK / "rehearsal.json"
REHEARSAL, DOCKER = "rehearsal", "docker"


class ProvidersError(UserError):
    """The chosen Kubernetes can't be used; the message says what to do."""


@contextlib.contextmanager
def served(
    kubernetes: str, *, types: Collection[str] | None, aws_variables: Mapping[str, str] | None = None
) -> Iterator[dict[str, str]]:
    """Yield the environment variables that every Terraform command of the local environment needs.

    Args:
        kubernetes: REHEARSAL or DOCKER.
        types: The AWS types that the commands can use; None for all.
        aws_variables: Environment variables of the AWS provider.

    Raises:
        EmulatorError: If Terraform can't install the AWS provider, or the provider does not start.

    """
    if kubernetes == DOCKER:
        yield {}
        return
    with (
        rehearsal.running(RECORD) as stand_ins,
        aws_provider.running(aws_provider.installed_provider(), types, aws_variables) as aws,
    ):
        yield {"TF_REATTACH_PROVIDERS": json.dumps({**stand_ins, **aws})}


def require_docker() -> None:
    """Check that a Docker engine runs.

    Raises:
        ProvidersError: If none answers.

    """
    try:
        client = docker.from_env(timeout=3)
        client.ping()
    except DockerException:
        raise ProvidersError(
            "KUBERNETES=docker: no Docker engine answers. Start Docker, or leave KUBERNETES out: then the "
            "workloads stack is rehearsed, without Docker."
        ) from None
    client.close()


def require_kubernetes_api(endpoint: str) -> None:
    """Check that the emulated cluster has a Kubernetes API.

    Raises:
        ProvidersError: If none answers.

    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the emulator, on loopback
    try:
        with urllib.request.urlopen(f"{endpoint}/version", timeout=3, context=context):  # noqa: S310
            return
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError):
        raise ProvidersError(
            f"KUBERNETES=docker: no Kubernetes API answers at {endpoint}. An emulator that was started "
            "without Docker has none: `make demo-down`, then `make demo KUBERNETES=docker`."
        ) from None
