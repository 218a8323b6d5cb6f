"""plans.py without Terraform: its command line, the stacks' order, what each reads of the others."""

import subprocess
import sys
from pathlib import Path

import pytest

from deployment import plans
from stacks.settings.load import PROJECT
from tests.environments import STACKS, Synthesized


def run(*arguments: str, environment: str = "example") -> subprocess.CompletedProcess[str]:
    """Run plans.py with a command line."""
    return subprocess.run(
        [sys.executable, "plans.py", *arguments],
        cwd=PROJECT,
        env={"ENV": environment, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("destroy",), ("plan", "network")])
def test_a_wrong_command_line_is_no_plan_with_changes(arguments: tuple[str, ...]) -> None:
    """The status of a usage error is 1: 2 is that of a plan."""
    done = run(*arguments)
    assert done.returncode == 1
    assert "usage: plans.py" in done.stderr


def test_help_names_every_exit_status() -> None:
    """A pipeline's author finds them without reading the code."""
    done = run("--help")
    assert done.returncode == 0
    assert all(f"\n  {status}  " in done.stdout for status in (0, 1, 2, 3))


def test_an_unknown_environment_is_an_error() -> None:
    """It is refused by name, without a traceback, and nothing is written."""
    done = run("plan", environment="nowhere")
    assert done.returncode == 1
    assert "environments/nowhere.yaml: no such environment" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (PROJECT / "plans" / "nowhere").exists()


@pytest.fixture
def output(example: Synthesized, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the example environment was synthesized to."""
    assert example
    return next(tmp_path_factory.getbasetemp().glob("example*"))


def test_stacks_are_planned_in_the_order_in_which_they_read_each_other(output: Path) -> None:
    """network, cluster, workloads, whatever the order in cdktf's manifest."""
    assert tuple(stack.name for stack in plans.read_stacks(output)) == STACKS


def test_only_outputs_that_are_read_hold_a_stack_up(output: Path) -> None:
    """The cluster stands on the private subnets; nobody's plan waits for the NAT gateways' addresses."""
    cluster = plans.read_stacks(output)[1]
    read = cluster.outputs_read("network")
    assert "private_subnet_ids" in read
    assert "nat_public_ips" not in read
