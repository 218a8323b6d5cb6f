"""The cluster-admin role: its trust, and the access entry that makes it an administrator of Kubernetes."""

from collections.abc import Sequence

from cdktf import TerraformStack
from cdktf_cdktf_provider_aws.eks_access_entry import EksAccessEntry
from cdktf_cdktf_provider_aws.eks_access_policy_association import EksAccessPolicyAssociation
from cdktf_cdktf_provider_aws.eks_cluster import EksCluster
from cdktf_cdktf_provider_aws.iam_role import IamRole
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy

from stacks.iam import policy, trust


def build_admin_role(
    stack: TerraformStack,
    *,
    name: str,
    cluster: EksCluster,
    account_id: str,
    partition: str,
    principal_arns: Sequence[str],
) -> IamRole:
    """Add the role that administers `cluster`; its own account and `principal_arns` may assume it."""
    account_arn = f"arn:{partition}:iam::{account_id}:root"
    role = IamRole(
        stack,
        "cluster_admin_role",
        name=name,
        description=f"Administers the EKS cluster {cluster.name_input}",
        assume_role_policy=trust({"AWS": [account_arn, *principal_arns]}),
    )
    IamRolePolicy(
        stack,
        "cluster_admin_role_policy",
        name="describe-cluster",
        role=role.name,
        policy=policy({"Action": "eks:DescribeCluster", "Resource": cluster.arn}),
    )
    entry = EksAccessEntry(stack, "cluster_admin_access", cluster_name=cluster.name, principal_arn=role.arn)
    EksAccessPolicyAssociation(
        stack,
        "cluster_admin_access_policy",
        cluster_name=cluster.name,
        principal_arn=entry.principal_arn,
        policy_arn=f"arn:{partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        access_scope={"type": "cluster"},
    )
    return role
