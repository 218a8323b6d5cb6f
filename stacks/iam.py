"""IAM: policy documents, and the roles of pods.

Not here: the permissions of a workload (beside the workload).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cdktf import LocalExecProvisioner
from cdktf_cdktf_provider_aws.eks_pod_identity_association import EksPodIdentityAssociation
from cdktf_cdktf_provider_aws.iam_role import IamRole
from constructs import Construct

# Amazon EKS API Reference, CreatePodIdentityAssociation: an association takes effect "several seconds" after
# the call. Users report 5 to 15 (aws/eks-pod-identity-agent issue 52, eksctl issue 7709); this is twice that.
ASSOCIATION_SECONDS = 30


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

    def assign_role(
        self, scope: Construct, *, name: str, namespace: str, service_account: str
    ) -> tuple[IamRole, EksPodIdentityAssociation]:
        """Give the pods of one service account a role called `<resource_prefix>-<name>`, without policies.

        EKS gives a pod its role when the pod is created, and never later. So the resource of the association
        is complete only when the association is in effect. Resources that make pods depend on it. Terraform
        runs the wait when it creates the association, and at no other time.

        Args:
            scope: Construct that the role and its association belong to.
            name: Name of the role without the prefix.
            namespace: Kubernetes namespace of the service account.
            service_account: Name of the service account.

        """
        role = IamRole(
            scope,
            "role",
            name=f"{self.resource_prefix}-{name}",
            assume_role_policy=self._build_trust_policy(namespace, service_account),
        )
        association = EksPodIdentityAssociation(
            scope,
            "pod_identity",
            cluster_name=self.cluster_name,
            namespace=namespace,
            service_account=service_account,
            role_arn=role.arn,
            provisioners=[LocalExecProvisioner(type="local-exec", command=f"sleep {ASSOCIATION_SECONDS}")],
        )
        return role, association

    def _build_trust_policy(self, namespace: str, service_account: str) -> str:
        """Return a trust policy for the pods of one service account.

        EKS tags each session with the pod's cluster, namespace and service account (Amazon EKS, "Grant
        Pods access to AWS resources based on tags"); the conditions compare these tags.
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
