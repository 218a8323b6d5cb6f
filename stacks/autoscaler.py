"""ClusterAutoscaler: its role, its pod identity, its Helm release.

Intent: the autoscaler may resize the node groups of this cluster and no others, and never evicts itself.
Not here: the tags that describe the node groups to it (node_groups.py; EKS sets the discovery tags).
"""

from collections.abc import Mapping, Sequence

from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy
from cdktf_cdktf_provider_helm.release import Release
from constructs import Construct

from stacks.helm_values import values_yaml
from stacks.iam import PodIdentities, policy
from stacks.runner_config import NEVER_EVICT
from stacks.settings.autoscaler import AutoscalerSettings
from stacks.settings.node_groups import NODE_GROUP_LABEL
from stacks.steady_pods import AFFINITY, AUTOSCALER_NAMESPACE
from stacks.versions import CLUSTER_AUTOSCALER_REPOSITORY

NAME = "cluster-autoscaler"
# "Pod Security Standards", "Restricted"; the user of the chart's example (values.yaml, securityContext). The
# image runs as another user that is not root, and the autoscaler writes no file.
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "runAsGroup": 65534,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class ClusterAutoscaler(Construct):
    """The cluster autoscaler of one cluster."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        identities: PodIdentities,
        region: str,
        chart_version: str,
        image_tag: str,
        node_group: str,
        node_group_names: Mapping[str, Sequence[str]],
        settings: AutoscalerSettings,
    ) -> None:
        """Install the autoscaler on `node_group`.

        `node_group_names` has for each node group of the settings its names in EKS.
        """
        super().__init__(scope, id_)
        role, association = identities.assign_role(
            self, name=NAME, namespace=AUTOSCALER_NAMESPACE, service_account=NAME
        )
        permissions = IamRolePolicy(
            self, "policy", name=NAME, role=role.name, policy=_build_policy(identities.cluster_name)
        )
        self.release = Release(
            self,
            "release",
            name=NAME,
            namespace=AUTOSCALER_NAMESPACE,
            repository=CLUSTER_AUTOSCALER_REPOSITORY,
            chart=NAME,
            version=chart_version,
            wait=True,
            timeout=600,
            max_history=5,
            values=[
                values_yaml(
                    {
                        "fullnameOverride": NAME,
                        "cloudProvider": "aws",
                        "awsRegion": region,
                        "autoDiscovery": {"clusterName": identities.cluster_name},
                        "image": {"tag": image_tag},
                        "rbac": {"serviceAccount": {"create": True, "name": NAME}},
                        "extraArgs": _build_flags(settings),
                        **_build_priorities(settings, node_group_names),
                        "nodeSelector": {NODE_GROUP_LABEL: node_group},
                        "affinity": AFFINITY,
                        "priorityClassName": "system-cluster-critical",
                        "podDisruptionBudget": {"maxUnavailable": 1},
                        "podAnnotations": NEVER_EVICT,
                        "securityContext": POD_SECURITY,
                        "containerSecurityContext": CONTAINER_SECURITY,
                        "resources": {
                            "requests": {"cpu": "100m", "memory": "300Mi"},
                            "limits": {"memory": "600Mi"},
                        },
                    }
                )
            ],
            depends_on=[permissions, association],
        )


def _build_flags(settings: AutoscalerSettings) -> dict[str, object]:
    flags = settings.model_dump(exclude={"expander_priorities"})
    return {name.replace("_", "-"): value for name, value in flags.items()}


def _build_priorities(
    settings: AutoscalerSettings, node_group_names: Mapping[str, Sequence[str]]
) -> dict[str, object]:
    """Return the chart's value for the expander `priority`: a pattern of each Auto Scaling group.

    EKS names an Auto Scaling group `eks-<node group>-<UUID>`. A pattern without the zones and the whole
    UUID would match the group `main-a` of the settings where it means the zone a of `main`.
    """
    by_priority: dict[int, list[str]] = {}
    for entry, priority in settings.expander_priorities.items():
        names = "|".join(node_group_names[entry])
        by_priority.setdefault(priority, []).append(f"^eks-({names})-{UUID}$")
    return {"expanderPriorities": by_priority} if by_priority else {}


def _build_policy(cluster_name: str) -> str:
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
