"""Deployments while AWS fails: some of the requests to a service are refused, late or lost.

microburst stands between Terraform and the emulated AWS, and fails in AWS's own wire formats.
"""

import json
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from stacks import STACKS
from stacks.settings.load import load_settings
from tests.chaos import account
from tests.chaos.figures import Figures
from tests.emulator.project import Project, running_project

START_SECONDS = 60
# How microburst seeds nothing by itself: it draws from Python's own generator.
MICROBURST = "import random, sys; random.seed(int(sys.argv[1])); from microburst.cli import main; main(sys.argv[2:])"

# AWS's own codes: Amazon EC2, "Error codes"; S3, "Error responses"; "Common errors" of the other services.
THROTTLING = {"ec2": ("RequestLimitExceeded", 503), "s3": ("SlowDown", 503)}
EXPIRED = {"ec2": ("RequestExpired", 400), "s3": ("ExpiredToken", 400)}
FAULTS: dict[str, Any] = {
    "throttling": lambda service: error(*THROTTLING.get(service, ("ThrottlingException", 400))),
    "5xx": lambda _service: error("InternalError", 500),
    "latency": lambda _service: {"latency": {"min": 200, "max": 3000}},
    "reset": lambda _service: {"reset": True},
    "lost answer": lambda _service: {"response": {"abort_bytes": 0}},
    "expired credentials": lambda service: error(*EXPIRED.get(service, ("ExpiredTokenException", 403))),
}
# The stack in whose deployment a service is disturbed: the first one that uses it.
SERVICES = {
    "network": ("ec2", "s3", "sts"),
    "cluster": ("autoscaling", "eks", "iam", "kms", "logs", "servicequotas"),
    "workloads": ("ssm",),
}
ALL = "all services"


def error(code: str, status: int) -> dict[str, Any]:
    """Return the part of a rule that answers with an error."""
    return {"error": {"code": code, "status": status, "message": "a fault of the test"}}


@dataclass(frozen=True)
class Case:
    """One kind of fault.

    Attributes:
        stack: The stack that is deployed and destroyed meanwhile.
        service: The service that fails, by the name in its requests' signatures, or all of them.
        fault: The kind of fault.
        share: The share of the requests that fail.

    """

    stack: str
    service: str
    fault: str
    share: float

    def __str__(self) -> str:
        """Return the case in words."""
        return f"{self.stack}: {self.service}: {self.fault}, {self.share:.0%}"

    @property
    def rules(self) -> list[dict[str, Any]]:
        """Return microburst's rules."""
        services = [name for names in SERVICES.values() for name in names] if self.service == ALL else [self.service]
        return [
            {"service": name, "probability": self.share, **FAULTS[self.fault](name)} for name in services
        ]


CASES = [
    Case(stack, service, fault, share)
    for stack, names in SERVICES.items()
    for services, share in (((ALL,), 0.1), (names, 0.5))
    for service in services
    for fault in FAULTS
]


@dataclass(frozen=True)
class Proxy:
    """A microburst that runs in front of the emulated AWS."""

    endpoint_url: str

    def set_rules(self, rules: list[dict[str, Any]]) -> None:
        """Replace the rules, and forget which have fired."""
        self._ask("DELETE", "fired")
        self._ask("POST", "rules", rules)

    def count_fired(self) -> int:
        """Return how many requests have failed since."""
        stats = self._ask("GET", "fired?limit=100000")
        return len(stats)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.endpoint_url}/_microburst/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")


@contextmanager
def running_proxy(upstream: str, seed: int, log: Path) -> Iterator[Proxy]:
    """Run microburst on a free port of the loopback interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--upstream", upstream, "--port", str(port), "--host", "127.0.0.1", "--no-resign"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", MICROBURST, str(seed), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield Proxy(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def disturbed(
    tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any], seed: int
) -> Iterator[tuple[Project, Proxy]]:
    """A project whose requests to AWS all go through microburst."""
    folder = tmp_path_factory.mktemp("disturbed") / "project"
    with (
        running_project(folder, aws_reattach) as project,
        running_proxy(str(project.settings.aws.endpoint_url), seed, folder / ".work" / "microburst.log") as proxy,
    ):
        local = folder / "environments" / "local.yaml"
        local.write_text(
            local.read_text().replace(str(project.settings.aws.endpoint_url), proxy.endpoint_url)
        )
        project = replace(project, settings=load_settings(local))
        project.synthesize()
        for stack in STACKS:
            done = project.terraform(stack, "init", "-input=false")
            assert done.returncode == 0, done.stderr
        yield project, proxy
