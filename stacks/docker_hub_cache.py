"""The pull-through cache of Docker Hub in the account's ECR registry.

Intent: nodes pull an image from Docker Hub once for all of them, as an account whose credential only ECR
reads. Amazon ECR, "Sync an upstream registry with an Amazon ECR private registry".
Not here: the secret with the credential; the images of the fleets, which name the cache by its prefix.
"""

from cdktf import ITerraformDependable, TerraformStack
from cdktf_cdktf_provider_aws.ecr_pull_through_cache_rule import EcrPullThroughCacheRule
from cdktf_cdktf_provider_aws.iam_role import IamRole
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy

from stacks.iam import policy


def build_docker_hub_cache(
    stack: TerraformStack,
    *,
    resource_prefix: str,
    credential_arn: str,
    node_role: IamRole,
    partition: str,
    region: str,
) -> ITerraformDependable:
    """Add the cache as `<resource_prefix>-dockerhub/`, and let nodes fill it."""
    rule = EcrPullThroughCacheRule(
        stack,
        "docker_hub_cache",
        # At most 30 characters; the registry is shared by all environments of the account and region.
        ecr_repository_prefix=f"{resource_prefix}-dockerhub",
        upstream_registry_url="registry-1.docker.io",
        credential_arn=credential_arn,
    )
    repositories = (
        f"arn:{partition}:ecr:{region}:{rule.registry_id}:repository/{rule.ecr_repository_prefix_input}/*"
    )
    # The first pull of an image creates its repository ("IAM permissions required to sync an upstream
    # registry with an Amazon ECR private registry").
    return IamRolePolicy(
        stack,
        "node_role_docker_hub_policy",
        name="fill-docker-hub-cache",
        role=node_role.name,
        policy=policy(
            {"Action": ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"], "Resource": repositories}
        ),
    )
