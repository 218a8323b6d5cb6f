"""IAM documents as Terraform JSON: the trust of a role, and a policy's statements.

Not here: any role (each stands with what uses it).
"""

import json
from collections.abc import Sequence
from typing import Any


def policy(*statements: dict[str, Any]) -> str:
    """Return a policy document of these statements, each with `Effect: Allow`."""
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **item} for item in statements]}
    )


def trust(principal: dict[str, Any], actions: Sequence[str] = ("sts:AssumeRole",)) -> str:
    """Return the trust policy that lets `principal` (in IAM's own form) assume a role."""
    return policy({"Principal": principal, "Action": list(actions)})


def pod_identity_trust(cluster_arn: str, *, namespace: str, service_account: str) -> str:
    """Return the trust policy for the pods of one service account of one cluster.

    EKS tags each session with where the pod is (Amazon EKS, "Grant Pods access to AWS resources based
    on tags"); the conditions hold the role to it.
    """
    return policy(
        {
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {
                "StringEquals": {
                    "aws:RequestTag/eks-cluster-arn": cluster_arn,
                    "aws:RequestTag/kubernetes-namespace": namespace,
                    "aws:RequestTag/kubernetes-service-account": service_account,
                }
            },
        }
    )
