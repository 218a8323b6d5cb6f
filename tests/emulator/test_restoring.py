"""Restoring an older version of a state, as docs/operations.md describes it."""

from pathlib import Path

from stacks.backend import state_key
from tests.emulator.project import Project

LOST = "aws_vpc.vpc"


def versions(project: Project) -> list[str]:
    """Return the version IDs of the network's state, the newest first."""
    key = state_key(project.settings.environment, "network")
    found = project.client("s3").list_object_versions(Bucket=project.state_bucket, Prefix=key)["Versions"]
    return [item["VersionId"] for item in found if item["Key"] == key]


def test_an_older_state_can_be_restored(deployed: Project, tmp_path: Path) -> None:
    """After a mistaken `terraform state rm`, pushing the version before it leaves nothing to change."""
    assert deployed.planned_changes("network") == {}
    removed = deployed.terraform("network", "state", "rm", LOST)
    assert removed.returncode == 0, removed.stderr
    assert deployed.planned_changes("network")[LOST]["change"]["actions"] == ["create"]

    mistaken, good, *_ = known = versions(deployed)
    key = state_key(deployed.settings.environment, "network")
    found = deployed.client("s3").get_object(Bucket=deployed.state_bucket, Key=key, VersionId=good)
    old = tmp_path / "old.tfstate"
    old.write_bytes(found["Body"].read())

    refused = deployed.terraform("network", "state", "push", str(old))
    assert refused.returncode == 1
    assert "serial" in refused.stderr
    assert versions(deployed) == known

    pushed = deployed.terraform("network", "state", "push", "-force", str(old))
    assert pushed.returncode == 0, pushed.stderr
    assert deployed.planned_changes("network") == {}
    assert versions(deployed)[1:] == known, "the mistaken version is kept, so that this can be undone"
    assert mistaken == known[0]
