"""JobIdentity: the AWS role of one fleet's jobs, and the service account that brings it to them.

Intent: jobs have an AWS identity only if the settings name its policies. EKS Pod Identity gives it to pods
of this service account; the token for it is valid for nothing else, and not for the Kubernetes API.
Not here: the hole in the network policy (isolation.py); the runner's key (runner_config.py).
"""

from collections.abc import Sequence

from cdktf import ITerraformDependable
from cdktf_cdktf_provider_aws.iam_role_policy_attachment import IamRolePolicyAttachment
from cdktf_cdktf_provider_kubernetes.service_account_v1 import ServiceAccountV1
from constructs import Construct

from stacks.iam import PodIdentities
from stacks.runner_config import JOB_SERVICE_ACCOUNT


class JobIdentity(Construct):
    """One role for all jobs of a fleet; its policies are managed policies of AWS or of the account."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        fleet: str,
        namespace: str,
        identities: PodIdentities,
        policy_arns: Sequence[str],
        depends_on: list[ITerraformDependable],
    ) -> None:
        """Give the job pods in `namespace` a role with these policies."""
        super().__init__(scope, id_)
        role, association = identities.assign_role(
            self, name=f"jobs-{fleet}", namespace=namespace, service_account=JOB_SERVICE_ACCOUNT
        )
        self.resources: list[ITerraformDependable] = [
            association,
            ServiceAccountV1(
                self,
                "service_account",
                metadata={"name": JOB_SERVICE_ACCOUNT, "namespace": namespace},
                automount_service_account_token=False,
                depends_on=depends_on,
            ),
            # The ARN is part of the id, so that a change of one policy leaves the others attached.
            *(
                IamRolePolicyAttachment(
                    self, f"policy_{arn.partition(':iam::')[2]}", role=role.name, policy_arn=arn
                )
                for arn in policy_arns
            ),
        ]
        """The resources that must exist before a job starts: a pod gets its role only at its start."""
