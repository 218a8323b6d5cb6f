"""Restoring an older version of a state, as docs/operations.md describes it."""

import random

from tests.emulator.project import Project
from tests.state_damages import StateObject

LOST = "aws_vpc.vpc"


def test_an_older_state_can_be_restored(deployed: Project) -> None:
    """After a mistaken `terraform state rm` and a deletion, the version before them leaves nothing to change.

    Until then no command goes on: Terraform would create the whole network a second time.
    """
    chance, environment = random.Random(), deployed.settings.environment
    state = StateObject(deployed.client("s3"), deployed.state_bucket, environment, "network", chance)
    good = state.list_versions()[0]
    removed = deployed.terraform("network", "state", "rm", LOST)
    assert removed.returncode == 0, removed.stderr
    assert deployed.planned_changes("network")[LOST]["change"]["actions"] == ["create"]
    state.delete()
    known = state.list_versions()

    refused = deployed.deployment("plan")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        f"network: the state local/network.tfstate in the bucket {deployed.state_bucket} was deleted on "
    )
    assert "make restore ENV=local STACKS=network" in refused.stderr

    restored = deployed.deployment("restore", "network", "--version-id", good, "--yes")
    assert restored.returncode == 0, restored.stderr
    assert deployed.planned_changes("network") == {}
    assert state.list_versions()[1:] == known, "the mistaken version is kept, so that this can be undone"
