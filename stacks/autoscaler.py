"""ClusterAutoscaler: its role, its pod identity, its Helm release.

Intent: it may resize the node groups of this cluster and no other, and never evicts itself.
Not here: the groups' tags by which it finds them (node_groups.py; EKS sets the discovery tags).
"""

from cdktf_cdktf_provider_aws.eks_pod_identity_association import EksPodIdentityAssociation
from cdktf_cdktf_provider_aws.iam_role import IamRole
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy
from cdktf_cdktf_provider_helm.release import Release
from constructs import Construct

from stacks.helm import values_yaml
from stacks.iam import pod_identity_trust, policy
from stacks.runner_config import NEVER_EVICT
from stacks.settings.node_groups import NODE_GROUP_LABEL
from stacks.settings.runners import AutoscalerSettings
from stacks.versions import CLUSTER_AUTOSCALER_CHART, CLUSTER_AUTOSCALER_IMAGE_TAGS

NAME = "cluster-autoscaler"
NAMESPACE = "kube-system"


class ClusterAutoscaler(Construct):
    """The cluster autoscaler of one cluster."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment_name: str,
        region: str,
        cluster_name: str,
        cluster_arn: str,
        kubernetes_version: str,
        node_group: str,
        settings: AutoscalerSettings,
    ) -> None:
        """Install it on `node_group`, with the image of the cluster's own Kubernetes minor version."""
        super().__init__(scope, id_)
        role = IamRole(
            self,
            "role",
            name=f"{environment_name}-{NAME}",
            assume_role_policy=pod_identity_trust(cluster_arn, namespace=NAMESPACE, service_account=NAME),
        )
        permissions = IamRolePolicy(
            self, "policy", name="scale-node-groups", role=role.name, policy=_permissions(cluster_name)
        )
        identity = EksPodIdentityAssociation(
            self,
            "pod_identity",
            cluster_name=cluster_name,
            namespace=NAMESPACE,
            service_account=NAME,
            role_arn=role.arn,
        )
        self.release = Release(
            self,
            "release",
            name=NAME,
            namespace=NAMESPACE,
            repository="https://kubernetes.github.io/autoscaler",
            chart=NAME,
            version=CLUSTER_AUTOSCALER_CHART,
            wait=True,
            timeout=600,
            max_history=5,
            values=[
                values_yaml(
                    {
                        "fullnameOverride": NAME,
                        "cloudProvider": "aws",
                        "awsRegion": region,
                        "autoDiscovery": {"clusterName": cluster_name},
                        "image": {"tag": CLUSTER_AUTOSCALER_IMAGE_TAGS[kubernetes_version]},
                        "rbac": {"serviceAccount": {"create": True, "name": NAME}},
                        "extraArgs": _flags(settings),
                        "nodeSelector": {NODE_GROUP_LABEL: node_group},
                        "priorityClassName": "system-cluster-critical",
                        "podDisruptionBudget": {"maxUnavailable": 1},
                        "podAnnotations": NEVER_EVICT,
                        "resources": {
                            "requests": {"cpu": "100m", "memory": "300Mi"},
                            "limits": {"memory": "600Mi"},
                        },
                    }
                )
            ],
            # The agent hands out the role when the pod starts, so it must be there before.
            depends_on=[permissions, identity],
        )


def _flags(settings: AutoscalerSettings) -> dict[str, object]:
    return {name.replace("_", "-"): value for name, value in settings.model_dump().items()}


def _permissions(cluster_name: str) -> str:
    """Return the policy of "Cluster Autoscaler on AWS", "Full Cluster Autoscaler Features Policy"."""
    owned = "aws:ResourceTag/k8s.io/cluster-autoscaler"
    return policy(
        {
            "Action": [
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeAutoScalingInstances",
                "autoscaling:DescribeLaunchConfigurations",
                "autoscaling:DescribeScalingActivities",
                "ec2:DescribeImages",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeLaunchTemplateVersions",
                "ec2:GetInstanceTypesFromInstanceRequirements",
                "eks:DescribeNodegroup",
            ],
            "Resource": "*",
        },
        {
            "Action": [
                "autoscaling:SetDesiredCapacity",
                "autoscaling:TerminateInstanceInAutoScalingGroup",
            ],
            "Resource": "*",
            "Condition": {"StringEquals": {f"{owned}/enabled": "true", f"{owned}/{cluster_name}": "owned"}},
        },
    )
