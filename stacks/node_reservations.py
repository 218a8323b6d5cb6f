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
# The autoscaler expects a second kube-proxy on the first node of an empty group, and starts no node for a job
# that does not fit beside it (kubernetes/autoscaler, cloudprovider/utils.go, BuildKubeProxy).
AUTOSCALER_KUBE_PROXY_MILLICPU = 100


def storage_for_pods(disk_size_gib: int) -> int:
    """Return the MiB of a node's disk that pods may use."""
    return int(disk_size_gib * 1024 * STORAGE_FOR_PODS) - STORAGE_RESERVED_MIB


def reserved_for_others(min_size: int) -> int:
    """Return the millicpu of an empty node that a job can't have, in a group with this `min_size`."""
    return DAEMON_SETS_MILLICPU + (0 if min_size else AUTOSCALER_KUBE_PROXY_MILLICPU)
