"""Other projects, in plain Terraform and in cdktf, that read what the stacks publish."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_aws import aws_provider
from stacks.settings.aws import EMULATOR_CREDENTIALS
from stacks.settings.load import PROJECT
from tests.emulator.project import Project

TYPES = {"aws_db_subnet_group", "aws_security_group", "aws_vpc_endpoint"}


@dataclass(frozen=True)
class Consumer:
    """A copy of an example, in a folder outside the project, with a copy of backend.tf.json."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def of(cls, producer: Project, example: str, folder: Path, environment: dict[str, str]) -> "Consumer":
        """Copy an example into a new folder."""
        shutil.copytree(PROJECT / "examples" / example, folder)
        shutil.copy(producer.folder / "backend.tf.json", folder)
        return cls(folder, environment)

    def run(self, *command: str, below: str = ".") -> str:
        """Run a command that must succeed, with nothing but credentials and the environment's name."""
        done = subprocess.run(
            command,
            cwd=self.folder / below,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def environment(deployed: Project) -> Iterator[dict[str, str]]:
    """Environment variables of another team: AWS credentials, and the name of the environment to read."""
    credentials = {
        "AWS_ENDPOINT_URL": str(deployed.settings.aws.endpoint_url),
        "AWS_ACCESS_KEY_ID": EMULATOR_CREDENTIALS["access_key"],
        "AWS_SECRET_ACCESS_KEY": EMULATOR_CREDENTIALS["secret_key"],
    }
    with aws_provider.running(aws_provider.installed_provider(), TYPES, credentials) as reattach:
        yield {
            **deployed.environment,
            **credentials,
            "TF_REATTACH_PROVIDERS": json.dumps(reattach),
            "TF_VAR_environment": "local",
            "ENVIRONMENT": "local",
        }


def test_a_plain_terraform_project_builds_on_the_outputs(
    deployed: Project, environment: dict[str, str], tmp_path: Path
) -> None:
    """The example needs nothing but backend.tf.json, a key of its own and the environment's name."""
    consumer = Consumer.of(deployed, "consumer", tmp_path / "consumer", environment)
    consumer.run("terraform", "init", "-input=false", "-backend-config=key=consumers/registry.tfstate")
    consumer.run("terraform", "apply", "-input=false", "-auto-approve")
    try:
        endpoint = consumer.run("terraform", "output", "-raw", "endpoint_id")
        (found,) = deployed.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"]
        assert set(found["SubnetIds"]) == set(deployed.outputs("network")["private_subnet_ids"])
        # No second plan: ministack forgets an interface endpoint's groups and private DNS.
    finally:
        consumer.run("terraform", "destroy", "-input=false", "-auto-approve")


def test_a_cdktf_project_builds_on_the_outputs(
    deployed: Project, environment: dict[str, str], tmp_path: Path
) -> None:
    """Away from this project's code, the example is deployed, plans nothing more, and is destroyed whole."""
    consumer = Consumer.of(deployed, "cdktf_consumer", tmp_path / "consumer", environment)
    (consumer.folder / ".venv").symlink_to(PROJECT / ".venv")
    configuration = consumer.folder / "cdktf.json"
    # Without an activated virtual environment.
    configuration.write_text(configuration.read_text().replace('"python ', '".venv/bin/python '))
    stack = "cdktf.out/stacks/database"
    cdktf = str(PROJECT / "node_modules/.bin/cdktf")
    consumer.run(cdktf, "deploy", "--auto-approve", "--skip-provider-lock")
    try:
        group = consumer.run("terraform", "output", "-raw", "security_group_id", below=stack)
        (found,) = deployed.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
        (rule,) = found["IpPermissions"]
        assert found["VpcId"] == deployed.outputs("network")["vpc_id"]
        assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [
            deployed.outputs("cluster")["cluster_security_group_id"]
        ]
        (subnets,) = deployed.client("rds").describe_db_subnet_groups(DBSubnetGroupName="local-database")[
            "DBSubnetGroups"
        ]
        assert {item["SubnetIdentifier"] for item in subnets["Subnets"]} == set(
            deployed.outputs("network")["private_subnet_ids"]
        )
        assert "No changes." in consumer.run("terraform", "plan", "-no-color", below=stack)
    finally:
        consumer.run("terraform", "destroy", "-auto-approve", below=stack)
    assert deployed.client("rds").describe_db_subnet_groups()["DBSubnetGroups"] == []
