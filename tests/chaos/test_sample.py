"""One fault and one interruption, in every run of the tests; `make chaos` has many more."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos import account, test_faults, test_interruptions
from tests.chaos.test_faults import Proxy, disturbed
from tests.emulator.project import Project

__all__ = ["disturbed"]

FAULT = test_faults.Case("network", "ec2", test_faults.LOST, 0.3)
COMMANDS = {command.name: command for command in test_interruptions.COMMANDS}


def test_a_deployment_converges_after_lost_answers_of_ec2(disturbed: tuple[Project, Proxy]) -> None:
    """Objects that were made twice are listed with the commands that delete them, and none is left."""
    found = test_faults.check(*disturbed, FAULT, destroys_too=False, looks_first=True)
    assert found["failed requests"]
    assert found["orphans"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux lists processes under /proc")
def test_a_deployment_converges_after_a_kill(disturbed: tuple[Project, Proxy], seed: int) -> None:
    """After a SIGKILL the lock can be removed, what is in no state is listed, and one more run is enough."""
    project = replace(disturbed[0], environment={**disturbed[0].environment, "PATH": os.environ["PATH"]})
    account.empty(project)
    case = replace(
        test_interruptions.draw(seed, 0),
        command=COMMANDS["terraform apply"],
        stack="network",
        signal=signal.SIGKILL,
        to_terraform=False,
        share=0.7,
        seconds=0.0,
        looks_first=True,
    )
    outcome = test_interruptions.check(project, case)
    assert outcome["was_running"]
    assert outcome["locks"] == 1
    assert outcome["orphans"]
