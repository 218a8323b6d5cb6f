"""cdktf, typed as any cdktf user types it."""

from dataclasses import replace

import pytest

from local_aws import provider_mirror
from stacks import STACKS
from tests.emulator.project import Project


@pytest.mark.long
def test_diff_after_deploy_finds_no_changes(deployed_by_cdktf: Project) -> None:
    """`cdktf diff` of a deployed stack says so, with a provider that Terraform installs and starts itself."""
    provider_mirror.prepare(deployed_by_cdktf.folder / "cdktf.out")
    environment = {**deployed_by_cdktf.environment, "TF_REATTACH_PROVIDERS": "{}"}
    done = replace(deployed_by_cdktf, environment=environment).run(
        "node_modules/.bin/cdktf", "diff", "network"
    )
    assert done.returncode == 0, done.stderr
    assert "No changes." in done.stdout


@pytest.mark.long
def test_stacks_are_listed_in_their_order(deployed_by_cdktf: Project) -> None:
    """`cdktf list` knows the three stacks."""
    done = deployed_by_cdktf.run("node_modules/.bin/cdktf", "list")
    assert all(stack in done.stdout for stack in STACKS)


def test_a_mistake_in_the_settings_reaches_the_user_of_cdktf(deployed_by_cdktf: Project) -> None:
    """`cdktf synth` with a broken environment fails with the mistake and no traceback."""
    broken = deployed_by_cdktf.folder / "environments" / "broken.yaml"
    broken.write_text("aws: {region: eu-central-1}\n")
    environment = {**deployed_by_cdktf.environment, "ENV": "broken"}
    try:
        done = Project(**{**vars(deployed_by_cdktf), "environment": environment}).cdktf("synth")
    finally:
        broken.unlink()
    assert done.returncode != 0
    assert "environments/broken.yaml:1: aws.account_id" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
