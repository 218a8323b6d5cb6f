"""One fault and one interruption, in every run of the tests; `make chaos` has many more."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import account, test_faults, test_interruptions

COMMANDS = {command.name: command for command in test_interruptions.COMMANDS}
# AWS makes the VPC, and Terraform never hears of it: so it makes a second one.
LOST_VPC = {
    "service": "ec2",
    "operation": "CreateVpc",
    "times": 1,
    **test_faults.FAULTS[test_faults.LOST]("ec2"),
}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux lists processes under /proc")
def test_a_deployment_converges_after_a_lost_answer_and_a_kill(
    tmp_path: Path, aws_reattach: dict[str, Any], seed: int
) -> None:
    """The lock can be removed, the VPC in no state is listed and deleted, and one more run is enough."""
    case = replace(
        test_interruptions.draw(seed, 0),
        command=COMMANDS["terraform apply"],
        stack="network",
        signal=signal.SIGKILL,
        to_terraform=False,
        share=0.5,
        seconds=0.0,
        looks_first=True,
    )
    with test_faults.disturbed_project(tmp_path / "project", aws_reattach, seed) as (disturbed, proxy):
        project = replace(disturbed, environment={**disturbed.environment, "PATH": os.environ["PATH"]})
        account.succeed(project.terraform("network", "init", "-input=false"))
        proxy.set_rules([LOST_VPC])
        outcome = test_interruptions.check(project, case)
        assert proxy.count_fired() == 1
    assert outcome["was_running"]
    assert outcome["locks"] == 1
    assert outcome["orphans"]["aws_vpc"]
