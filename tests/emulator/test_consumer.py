"""Another Terraform project that reads what the stacks publish."""

import shutil
import subprocess
from pathlib import Path

from stacks.settings.aws import EMULATOR_CREDENTIALS
from stacks.settings.file import PROJECT
from tests.emulator.project import Project


def test_a_plain_terraform_project_builds_on_the_outputs(deployed: Project, tmp_path: Path) -> None:
    """The example needs nothing but backend.tf.json, a key of its own and the environment's name."""
    folder = tmp_path / "consumer"
    shutil.copytree(PROJECT / "examples" / "consumer", folder)
    shutil.copy(deployed.folder / "backend.tf.json", folder)
    mirror = deployed.stack_folder("network") / "terraform.d"
    if mirror.exists():
        (folder / "terraform.d").symlink_to(mirror)
    environment = {
        **deployed.environment,
        "AWS_ENDPOINT_URL": str(deployed.settings.aws.endpoint_url),
        "AWS_ACCESS_KEY_ID": EMULATOR_CREDENTIALS["access_key"],
        "AWS_SECRET_ACCESS_KEY": EMULATOR_CREDENTIALS["secret_key"],
        "TF_VAR_environment": "local",
    }

    def terraform(*arguments: str) -> str:
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    terraform("init", "-input=false", "-backend-config=key=consumers/registry.tfstate")
    terraform("apply", "-input=false", "-auto-approve")
    try:
        endpoint = terraform("output", "-raw", "endpoint_id")
        (found,) = deployed.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"]
        assert set(found["SubnetIds"]) == set(deployed.outputs("network")["private_subnet_ids"])
        # No second plan: ministack forgets an interface endpoint's groups and private DNS.
    finally:
        terraform("destroy", "-input=false", "-auto-approve")
