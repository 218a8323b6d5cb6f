"""IAM: policy documents, and the roles of pods.

Not here: what a workload may do (each stands with its workload).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cdktf import ITerraformDependable
from cdktf_cdktf_provider_aws.eks_pod_identity_association import EksPodIdentityAssociation
from cdktf_cdktf_provider_aws.iam_role import IamRole
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy
from constructs import Construct


def policy(*statements: dict[str, Any]) -> str:
    """Return a policy document of these statements, each with `Effect: Allow`."""
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **item} for item in statements]}
    )


def trust(principal: dict[str, Any], actions: Sequence[str] = ("sts:AssumeRole",)) -> str:
    """Return the trust policy that lets `principal` (in IAM's own form) assume a role."""
    return policy({"Principal": principal, "Action": list(actions)})


@dataclass(frozen=True)
class PodIdentities:
    """Makes roles for the pods of one cluster (EKS Pod Identity)."""

    resource_prefix: str
    cluster_name: str
    cluster_arn: str

    def grant(
        self, scope: Construct, *, thing: str, namespace: str, service_account: str, permissions: str
    ) -> list[ITerraformDependable]:
        """Give the pods of one service account a role called `<resource_prefix>-<thing>`.

        Args:
            scope: Where the role, its policy and its association go.
            thing: What the role is for.
            namespace: Kubernetes namespace of the service account.
            service_account: Its name.
            permissions: Policy document.

        Returns:
            What must be there before the pods start: the agent hands out a role at a pod's start.

        """
        role = IamRole(
            scope,
            "role",
            name=f"{self.resource_prefix}-{thing}",
            assume_role_policy=self._trust(namespace, service_account),
        )
        policy_ = IamRolePolicy(scope, "policy", name=thing, role=role.name, policy=permissions)
        association = EksPodIdentityAssociation(
            scope,
            "pod_identity",
            cluster_name=self.cluster_name,
            namespace=namespace,
            service_account=service_account,
            role_arn=role.arn,
        )
        return [policy_, association]

    def _trust(self, namespace: str, service_account: str) -> str:
        """Return a trust policy for the pods of one service account.

        EKS tags each session with where the pod is (Amazon EKS, "Grant Pods access to AWS resources
        based on tags"); the conditions hold the role to it.
        """
        return policy(
            {
                "Principal": {"Service": "pods.eks.amazonaws.com"},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
                "Condition": {
                    "StringEquals": {
                        "aws:RequestTag/eks-cluster-arn": self.cluster_arn,
                        "aws:RequestTag/kubernetes-namespace": namespace,
                        "aws:RequestTag/kubernetes-service-account": service_account,
                    }
                },
            }
        )
