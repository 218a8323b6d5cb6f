"""Arguments that AWS provider 6.x has and the bindings of 5.100.0 do not.

The settings refuse them with an older provider (stacks/versions.py). With bindings of 6.x they become
arguments of the constructors.
"""

from cdktf_cdktf_provider_aws.eks_cluster import EksCluster
from cdktf_cdktf_provider_aws.eks_node_group import EksNodeGroup

from stacks.settings.cluster import ClusterSettings
from stacks.settings.node_groups import NodeGroupSettings


def set_cluster_arguments(cluster: EksCluster, settings: ClusterSettings) -> None:
    """Protect the cluster from deletion and choose the scheduler's scoring, if the settings say so."""
    if settings.deletion_protection is not None:
        cluster.add_override("deletion_protection", settings.deletion_protection)
    if settings.scheduler_scoring:
        # CPU and memory with equal weights are EKS's own (Amazon EKS, "Advanced Kubernetes control plane
        # configuration").
        resources = [{"name": name, "weight": 1} for name in ("cpu", "memory")]
        strategy = {"type": settings.scheduler_scoring, "resource": resources}
        cluster.add_override("kube_scheduler_config", {"node_resources_fit": {"scoring_strategy": strategy}})


def set_node_group_arguments(group: EksNodeGroup, settings: NodeGroupSettings) -> None:
    """Give the node group a warm pool and an update strategy, if the settings have them."""
    if settings.update_strategy:
        group.add_override("update_config.update_strategy", settings.update_strategy)
    if settings.warm_pool:
        pool = {
            "max_group_prepared_capacity": settings.warm_pool.max_prepared,
            "min_size": settings.warm_pool.min_size,
            "pool_state": settings.warm_pool.state,
            # A node of jobs must not come back: its volume has their files.
            "reuse_on_scale_in": False,
        }
        group.add_override("warm_pool_config", pool)
