"""Other projects, in plain Terraform and in cdktf, that read what the stacks publish."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_aws import aws_provider
from stacks.settings.aws import EMULATOR_CREDENTIALS
from stacks.settings.load import PROJECT
from tests.emulator.project import Project

TYPES = {"aws_db_subnet_group", "aws_security_group", "aws_vpc_endpoint"}
DATABASE = "cdktf.out/stacks/database"


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


# A whole provider package takes a minute of processor time to load. `stacks` makes Python load parts of it.
LEAN_SYNTH = """
import runpy, sys
sys.path.append({project!r})
import stacks
runpy.run_path("main.py", run_name="__main__")
"""


def by_cdktf(consumer: Consumer) -> None:
    """Deploy an example as its README says, with the command line of cdktf."""
    (consumer.folder / ".venv").symlink_to(PROJECT / ".venv")
    configuration = consumer.folder / "cdktf.json"
    # Without an activated virtual environment.
    configuration.write_text(configuration.read_text().replace('"python ', '".venv/bin/python '))
    consumer.run(str(PROJECT / "node_modules/.bin/cdktf"), "deploy", "--auto-approve", "--skip-provider-lock")


def by_terraform(consumer: Consumer) -> None:
    """Synthesize an example, and deploy it with Terraform."""
    consumer.run(sys.executable, "-c", LEAN_SYNTH.format(project=str(PROJECT)))
    for command in (("init",), ("apply", "-auto-approve")):
        consumer.run("terraform", *command, "-input=false", below=DATABASE)


@pytest.mark.parametrize("deploy", [by_terraform, pytest.param(by_cdktf, marks=pytest.mark.long)])
def test_a_cdktf_project_builds_on_the_outputs(
    deployed: Project,
    environment: dict[str, str],
    tmp_path: Path,
    deploy: Callable[[Consumer], None],
) -> None:
    """The example is deployed, plans nothing more, and is destroyed whole; cdktf needs none of our code."""
    consumer = Consumer.of(deployed, "cdktf_consumer", tmp_path / "consumer", environment)
    deploy(consumer)
    try:
        group = consumer.run("terraform", "output", "-raw", "security_group_id", below=DATABASE)
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
        assert "No changes." in consumer.run("terraform", "plan", "-no-color", below=DATABASE)
    finally:
        consumer.run("terraform", "destroy", "-auto-approve", below=DATABASE)
    assert deployed.client("rds").describe_db_subnet_groups()["DBSubnetGroups"] == []
