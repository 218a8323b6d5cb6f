"""EnvironmentStack: the base of every stack: its backend, and the AWS provider for its account.

Not here: the helm and kubernetes providers, which only the workloads stack has.
"""

import json
from collections.abc import Mapping
from typing import Any

from cdktf import Aspects, TerraformLocal, TerraformStack
from cdktf_cdktf_provider_aws.provider import (
    AwsProvider,
    AwsProviderAssumeRole,
    AwsProviderDefaultTags,
    AwsProviderEndpoints,
)
from constructs import Construct

from stacks.environment import Environment
from stacks.role_settings import RoleSettings
from stacks.settings.aws import EMULATOR_CREDENTIALS
from stacks.state import use_backend
from stacks.versions import TERRAFORM, TERRAFORM_REGISTRY

# Every AWS service that the stacks use. The provider would send requests to any other service to the real
# AWS, with the emulator's placeholder credentials.
EMULATED_SERVICES = (
    *("autoscaling", "cloudwatch", "ec2", "ecr", "eks", "events", "iam", "kms"),
    *("logs", "s3", "servicequotas", "sns", "ssm", "sts"),
)


class EnvironmentStack(TerraformStack):
    """A stack of one environment."""

    def __init__(self, scope: Construct, id_: str, *, environment: Environment) -> None:
        """Set the backend, Terraform's version and the default AWS provider."""
        super().__init__(scope, id_)
        use_backend(self, environment)
        self.add_override("terraform.required_version", TERRAFORM)
        add_aws_provider(self, "aws", environment=environment)
        self.require_provider("aws", environment.versions.aws_provider)
        aws = environment.aws
        if aws.permissions_boundary_arn or aws.role_path:
            roles = RoleSettings(permissions_boundary_arn=aws.permissions_boundary_arn, path=aws.role_path)
            Aspects.of(self).add(roles)

    def require_provider(self, name: str, version: str) -> None:
        """Pin a provider of HashiCorp's.

        Its source has the registry in it. OpenTofu looks in a registry of its own otherwise, and proposes an
        upgrade of the state for ever (opentofu issue 2402).
        """
        self.add_override(
            f"terraform.required_providers.{name}",
            {"source": f"{TERRAFORM_REGISTRY}/hashicorp/{name}", "version": version},
        )

    def warn_of_untested_versions(self, untested: Mapping[str, tuple[str, list[str]]]) -> None:
        """Let each plan warn of versions that this project does not test.

        `untested` has each version by the path of its setting, with the tested versions. A check also reaches
        people who use cdktf's or Terraform's own command line.
        """
        if not untested:
            return
        chosen = {path: version for path, (version, _) in untested.items()}
        # The condition of a check must refer to something, so it can't be `false`.
        versions = TerraformLocal(self, "untested_versions", chosen).fqn
        self.add_override(
            "check.tested_versions",
            {
                "assert": [
                    {
                        "condition": f"${{contains({json.dumps(tested)}, {versions}[{json.dumps(path)}])}}",
                        "error_message": f"{path}: {version}: not tested here. Tested: {', '.join(tested)}. "
                        "Read the release notes, and try it in a spare environment (docs/operations.md, "
                        '"Upgrade").',
                    }
                    for path, (version, tested) in untested.items()
                ]
            },
        )


def add_aws_provider(
    stack: TerraformStack,
    id_: str,
    *,
    environment: Environment,
    alias: str | None = None,
    role_arn: str | None = None,
) -> AwsProvider:
    """Add an AWS provider for the environment's account, or for a role in it."""
    aws = environment.aws
    options: dict[str, Any] = {}
    if aws.account_id:
        options["allowed_account_ids"] = [aws.account_id]
    if aws.is_local:
        options |= {
            **EMULATOR_CREDENTIALS,
            "endpoints": [AwsProviderEndpoints(**dict.fromkeys(EMULATED_SERVICES, aws.endpoint_url))],
            "s3_use_path_style": True,
            "skip_metadata_api_check": "true",
            "max_retries": 5,
        }
    if role_arn:
        options["assume_role"] = [AwsProviderAssumeRole(role_arn=role_arn)]
    return AwsProvider(
        stack,
        id_,
        alias=alias,
        region=aws.region,
        default_tags=[AwsProviderDefaultTags(tags=environment.tags)],
        **options,
    )
