"""Deployments while AWS fails: some of the requests to a service are refused, late or cut.

microburst stands between Terraform and the emulated AWS, and fails in AWS's own wire formats.
"""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stacks import STACKS
from stacks.settings.load import PROJECT, load_settings
from tests.chaos import account
from tests.chaos.conftest import Outcomes
from tests.chaos.figures import Figures
from tests.emulator.project import Project, running_project
from tests.machine import find_free_port

START_SECONDS = 300
LOST, CUT = "answer to a write lost", "answer to a write cut"
READS = ("Describe", "Get", "List")
POLICY = json.loads((PROJECT / "docs" / "deployer_policy.json").read_text())
ACTIONS = {action for statement in POLICY["Statement"] for action in statement["Action"]}
MICROBURST = Path(__file__).with_name("microburst_server.py")

# AWS's own codes: Amazon EC2, "Error codes"; S3, "Error responses"; "Common errors" of the other services.
THROTTLING = {"ec2": ("RequestLimitExceeded", 503), "s3": ("SlowDown", 503)}
EXPIRED = {"ec2": ("RequestExpired", 400), "s3": ("ExpiredToken", 400)}
FAULTS: dict[str, Any] = {
    "throttling": lambda service: error(*THROTTLING.get(service, ("ThrottlingException", 400))),
    "5xx": lambda _service: error("InternalError", 500),
    "latency": lambda _service: {"latency": {"min": 200, "max": 3000}},
    "reset": lambda _service: {"reset": True},
    LOST: lambda _service: {"response": {"abort_bytes": 0}},  # microburst_server.py
    CUT: lambda _service: {"response": {"abort_bytes": 1}},
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
        every = [name for names in SERVICES.values() for name in names]
        matches = [{"service": name} for name in (every if self.service == ALL else [self.service])]
        if self.fault in {LOST, CUT}:  # a lost answer to a read does no harm
            matches = [
                {"service": match["service"], "operation": operation}
                for match in matches
                for service, _, operation in (action.partition(":") for action in sorted(ACTIONS))
                if service == match["service"] and not operation.startswith(READS)
            ]
        return [
            {**match, "probability": self.share, **FAULTS[self.fault](match["service"])} for match in matches
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
        return len(self._ask("GET", "fired?limit=100000"))

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
    port = find_free_port()
    arguments = ["--upstream", upstream, "--port", str(port), "--host", "127.0.0.1", "--no-resign"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(MICROBURST), str(seed), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
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
    with disturbed_project(tmp_path_factory.mktemp("disturbed") / "project", aws_reattach, seed) as found:
        project, _ = found
        for stack in STACKS:
            account.succeed(project.terraform(stack, "init", "-input=false"))
        yield found


@contextmanager
def disturbed_project(
    folder: Path, aws_reattach: dict[str, Any], seed: int
) -> Iterator[tuple[Project, Proxy]]:
    """Run a synthesized project whose requests to AWS all go through microburst."""
    with (
        running_project(folder, aws_reattach) as running,
        running_proxy(
            str(running.settings.aws.endpoint_url), seed, folder / ".work" / "microburst.log"
        ) as proxy,
    ):
        local = folder / "environments" / "local.yaml"
        local.write_text(
            local.read_text().replace(str(running.settings.aws.endpoint_url), proxy.endpoint_url)
        )
        project = replace(running, settings=load_settings(local))
        project.synthesize()
        yield project, proxy


@pytest.fixture(scope="module")
def table(figures: Figures, outcomes: Outcomes) -> Iterator[None]:
    """Write the table when the cases are done."""
    yield
    if found := outcomes.read():
        figures.write("faults", tabulate(found), is_whole=len(found) == len(CASES))


@pytest.mark.chaos
@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_deployment_converges_after_each_fault_of_aws(
    disturbed: tuple[Project, Proxy], case: Case, outcomes: Outcomes
) -> None:
    """A stack can be deployed and destroyed after faults: nothing is doubled, orphaned or locked."""
    outcome: dict[str, Any] = {"failed": True, "orphans": {}, "failed requests": 0}
    try:
        outcome = check(*disturbed, case)
    finally:
        outcomes.add({**asdict(case), **outcome})


def check(project: Project, proxy: Proxy, case: Case) -> dict[str, Any]:
    """Deploy a stack while AWS fails, and go on without faults; destroy it in the same way.

    Returns:
        How many requests failed, how many commands succeeded all the same, and what it took to go on.

    """
    account.bring(project, STACKS[: STACKS.index(case.stack)])
    result: dict[str, Any] = {
        "failed requests": 0,
        "succeeded": 0,
        "locks": 0,
        "pushed": 0,
        "orphans": Counter(),
    }
    try:
        for destroys in (False, True):
            proxy.set_rules(case.rules)
            disturbed = run(project, case, destroys=destroys)
            result["failed requests"] += proxy.count_fired()
            proxy.set_rules([])
            printed = disturbed.stdout + disturbed.stderr
            assert "Traceback" not in printed, printed
            assert "panic" not in printed, printed
            found = account.converge(
                project,
                case.stack,
                destroys=destroys,
                run_again=partial(run, project, case, destroys=destroys),
            )
            print(
                case, "destroy" if destroys else "deploy", disturbed.returncode, find_errors(printed), found
            )
            result["succeeded"] += disturbed.returncode == 0
            for name in ("locks", "pushed", "orphans"):
                result[name] += found[name]
    except BaseException:
        proxy.set_rules([])
        account.empty(project)  # the next case begins with an empty account
        raise
    return result


def run(project: Project, case: Case, *, destroys: bool) -> subprocess.CompletedProcess[str]:
    """Deploy or destroy the case's stack, with this project's command if all services are disturbed."""
    if case.service == ALL:
        return project.deployment("destroy" if destroys else "deploy", "--yes", case.stack)
    return account.apply(project, case.stack, destroys=destroys)


def find_errors(printed: str) -> list[str]:
    """Return Terraform's errors."""
    return [line.strip() for line in re.findall(r"Error: (.+)", printed)]


def tabulate(outcomes: list[dict[str, Any]]) -> list[str]:
    """Return the table of the outcomes: a row for each service, a column for each fault."""
    found = {tuple(item[name] for name in ("stack", "service", "fault", "share")): item for item in outcomes}
    rows = dict.fromkeys((case.stack, case.service, case.share) for case in CASES)
    lines = [f"| stack, service, share | {' | '.join(FAULTS)} |", f"| --- |{' --- |' * len(FAULTS)}"]
    for stack, service, share in rows:
        cells = [describe(found.get((stack, service, fault, share))) for fault in FAULTS]
        lines.append(f"| {stack}, {service}, {share:.0%} | {' | '.join(cells)} |")
    orphans = sum((Counter(item["orphans"]) for item in outcomes), Counter())
    listed = ", ".join(f"{count} `{name}`" for name, count in orphans.most_common())
    failed = sum(item["failed requests"] for item in outcomes)
    return [
        *lines,
        "",
        f"{2 * len(outcomes)} commands, {failed:,} disturbed requests. Orphans: {listed or 'none'}.",
    ]


def describe(outcome: dict[str, Any] | None) -> str:
    """Return the cell of an outcome: how many commands failed, what was left, how many requests."""
    if outcome is None:
        return ""
    if outcome.get("failed"):
        return "the case failed"
    words = [
        "none failed" if outcome["succeeded"] == 2 else f"{2 - outcome['succeeded']} failed",
        *([f"{outcome['locks']} × lock"] if outcome["locks"] else []),
        *([f"{outcome['pushed']} × state"] if outcome["pushed"] else []),
        *([f"{sum(outcome['orphans'].values())} × orphan"] if outcome["orphans"] else []),
    ]
    return f"{', '.join(words)} ({outcome['failed requests']})"
