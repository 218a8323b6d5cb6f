"""A separate cdktf project that uses the network and the cluster of one environment.

It creates what an RDS database needs in the private subnets: a subnet group, and a security group that
allows access from nodes and pods. `ENVIRONMENT` names the environment, a file under environments/ of the
runners' project. `AWS_REGION` names its region; the default is the region of the state bucket.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cdktf import App, DataTerraformRemoteStateS3, S3Backend, TerraformOutput, TerraformStack
from cdktf_cdktf_provider_aws.db_subnet_group import DbSubnetGroup
from cdktf_cdktf_provider_aws.provider import AwsProvider
from cdktf_cdktf_provider_aws.security_group import SecurityGroup, SecurityGroupIngress
from constructs import Construct

FOLDER = Path(__file__).resolve().parent
POSTGRESQL_PORT = 5432


class DatabaseStack(TerraformStack):
    """Subnet group and security group of a database."""

    def __init__(
        self, scope: Construct, id_: str, *, environment: str, region: str, backend: Mapping[str, Any]
    ) -> None:
        """Read the outputs of the two stacks, and create the groups."""
        super().__init__(scope, id_)
        # A key that begins with an environment's name and a slash would belong to the runners' stacks.
        S3Backend(
            self,
            bucket=backend["bucket"],
            region=backend["region"],
            encrypt=backend["encrypt"],
            key=f"consumers/{environment}-{id_}.tfstate",
        )
        # S3Backend of cdktf 0.21 has no argument for it.
        self.add_override("terraform.backend.s3.use_lockfile", backend["use_lockfile"])
        AwsProvider(self, "aws", region=region)

        network = self._read_outputs("network", environment, backend)
        cluster = self._read_outputs("cluster", environment, backend)
        subnet_group = DbSubnetGroup(
            self,
            "subnets",
            name=f"{environment}-database",
            description="Private subnets of the runners",
            subnet_ids=network.get_list("private_subnet_ids"),
        )
        security_group = SecurityGroup(
            self,
            "database",
            name=f"{environment}-database",
            description="PostgreSQL from the nodes of the cluster",
            vpc_id=network.get_string("vpc_id"),
            ingress=[
                SecurityGroupIngress(
                    description="Nodes and pods",
                    from_port=POSTGRESQL_PORT,
                    to_port=POSTGRESQL_PORT,
                    protocol="tcp",
                    security_groups=[cluster.get_string("cluster_security_group_id")],
                )
            ],
        )
        TerraformOutput(self, "subnet_group_name", value=subnet_group.name, description="For the database.")
        TerraformOutput(self, "security_group_id", value=security_group.id, description="For the database.")

    def _read_outputs(
        self, stack: str, environment: str, backend: Mapping[str, Any]
    ) -> DataTerraformRemoteStateS3:
        return DataTerraformRemoteStateS3(
            self,
            stack,
            bucket=backend["bucket"],
            region=backend["region"],
            key=f"{environment}/{stack}.tfstate",
        )


def main() -> None:
    """Synthesize the stack for the environment that `ENVIRONMENT` names."""
    environment = os.environ.get("ENVIRONMENT")
    if not environment:
        sys.exit("ENVIRONMENT: not set. Accepted: the name of an environment of the runners, such as prod")
    # The copied backend.tf.json names the bucket of the runners' state, too.
    backend = json.loads((FOLDER / "backend.tf.json").read_text())["terraform"]["backend"]["s3"]
    app = App()
    region = os.environ.get("AWS_REGION") or backend["region"]
    DatabaseStack(app, "database", environment=environment, region=region, backend=backend)
    app.synth()


if __name__ == "__main__":
    main()
