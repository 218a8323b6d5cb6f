"""Amounts that a node keeps from job pods: for the kubelet, the system, and the daemon sets. No cdktf import.

Intent: the plan (node_allocatable.py, job_capacity.py) and `python -m jobs` calculate with the same numbers.
"""

# Karpenter, "Settings", vm-memory-overhead-percent: the share that hypervisor and kernel leave.
MEMORY_FOR_APPLICATIONS = 0.925
# Amazon EKS AMI (nodeadm), kubelet configuration: kubeReserved and evictionHard.
MEMORY_RESERVED_MIB, MEMORY_RESERVED_PER_POD_MIB, MEMORY_EVICTION_MIB = 255, 11, 100
STORAGE_RESERVED_MIB, STORAGE_FOR_PODS = 1024, 0.9
# CPU requests of the add-ons' daemon sets: vpc-cni (two containers of 25m) and kube-proxy (100m).
DAEMON_SETS_MILLICPU = 150
# aws/eks-node-monitoring-agent, the chart's values (1.7.0): millicpu and MiB.
MONITORING_AGENT = {"cpu": 10, "memory": 30}
# The autoscaler expects a second kube-proxy on the first node of an empty group, and starts no node for a job
# that does not fit beside it (kubernetes/autoscaler, cloudprovider/utils.go, BuildKubeProxy).
AUTOSCALER_KUBE_PROXY_MILLICPU = 100


def storage_for_pods(disk_size_gib: int) -> int:
    """Return the MiB of a node's disk that pods may use."""
    return int(disk_size_gib * 1024 * STORAGE_FOR_PODS) - STORAGE_RESERVED_MIB


def reserved_for_others(resource: str, *, min_size: int, monitoring_agent: bool) -> int:
    """Return what others request on an empty node, so that a job can't have it.

    Args:
        resource: Key of the resource in the settings. The result is in its unit: millicpu or MiB.
        min_size: Of the node group.
        monitoring_agent: Whether the node monitoring agent runs on each node.

    """
    agent = MONITORING_AGENT.get(resource, 0) if monitoring_agent else 0
    if resource != "cpu":
        return agent
    return agent + DAEMON_SETS_MILLICPU + (0 if min_size else AUTOSCALER_KUBE_PROXY_MILLICPU)
