"""The role and the Helm values of the cluster autoscaler."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from ruamel.yaml import YAML

from jobs.replay import SYSTEM_PODS
from stacks.versions import CLUSTER_AUTOSCALER_IMAGE_TAGS
from tests.environments import Synthesized


def release(stacks: Synthesized) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the autoscaler's release and its Helm values."""
    (found,) = (
        item
        for item in stacks["workloads"]["resource"]["helm_release"].values()
        if item["chart"] == "cluster-autoscaler"
    )
    return found, YAML(typ="safe").load(found["values"][0])


def test_it_discovers_the_groups_of_this_cluster(example: Synthesized) -> None:
    """It looks for node groups with the cluster's name, in the cluster's region."""
    _, values = release(example)
    (cluster,) = example["cluster"]["resource"]["aws_eks_cluster"].values()
    (provider,) = example["cluster"]["provider"]["aws"]
    assert values["cloudProvider"] == "aws"
    assert values["autoDiscovery"]["clusterName"] == cluster["name"]
    assert values["awsRegion"] == provider["region"]


@pytest.mark.parametrize("version", CLUSTER_AUTOSCALER_IMAGE_TAGS)
def test_its_image_has_the_minor_version_of_the_cluster(
    version: str, synthesize_changed: Callable[..., Synthesized]
) -> None:
    """Each Kubernetes version of the settings gets an autoscaler of the same minor version."""
    stacks = synthesize_changed({"cluster.kubernetes_version": version})
    _, values = release(stacks)
    (cluster,) = stacks["cluster"]["resource"]["aws_eks_cluster"].values()
    assert cluster["version"] == version
    assert values["image"]["tag"].startswith(f"v{version}.")


def test_its_pod_keeps_to_pod_security_restricted(example: Synthesized) -> None:
    """The fields are those of "Pod Security Standards", "Restricted", and a read-only file system."""
    _, values = release(example)
    pod, container = values["securityContext"], values["containerSecurityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] > 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_it_runs_where_a_node_always_is(example: Synthesized) -> None:
    """Its node group has a minimum of one node and no taints, so the autoscaler can't remove its own node."""
    _, values = release(example)
    selected = [
        group
        for group in example["cluster"]["resource"]["aws_eks_node_group"].values()
        if values["nodeSelector"].items() <= group["labels"].items()
    ]
    assert any(group["scaling_config"]["min_size"] > 0 and not group["taint"] for group in selected)


def test_the_steady_group_need_not_be_the_first(synthesize_changed: Callable[..., Synthesized]) -> None:
    """The autoscaler avoids a group at zero or with taints, also if it is the first in the settings."""
    shape = {"instance_types": ["m5.2xlarge"], "max_size": 3}
    taints = [{"key": "builds", "effect": "NO_SCHEDULE"}]
    groups = {
        "empty": {**shape, "min_size": 0},
        "tainted": {**shape, "min_size": 1, "taints": taints},
        "steady": {**shape, "instance_types": ["m5.8xlarge"], "min_size": 1},
    }
    _, values = release(synthesize_changed({"cluster.node_groups": groups}))
    assert values["nodeSelector"] == {"node-group": "steady"}


def test_it_is_not_evicted_and_not_preempted(example: Synthesized) -> None:
    """Neither its own scale-down nor a pod of higher priority takes its place."""
    _, values = release(example)
    assert values["podAnnotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert values["priorityClassName"] == "system-cluster-critical"


def test_its_service_account_gets_the_role(example: Synthesized) -> None:
    """The release creates the service account that the pod identity names, in the same namespace."""
    found, values = release(example)
    account = values["rbac"]["serviceAccount"]
    associations = example["workloads"]["resource"]["aws_eks_pod_identity_association"].values()
    assert account["create"] is True
    assert (found["namespace"], account["name"]) in {
        (item["namespace"], item["service_account"]) for item in associations
    }


def test_its_pod_starts_after_its_role_exists(example: Synthesized) -> None:
    """A pod gets its role only at its start, so the release waits for the role."""
    found, values = release(example)
    account = values["rbac"]["serviceAccount"]["name"]
    resources = example["workloads"]["resource"]
    ((name, association),) = (
        item
        for item in resources["aws_eks_pod_identity_association"].items()
        if item[1]["service_account"] == account
    )
    role = association["role_arn"].replace(".arn}", ".name}")
    (policy,) = (name for name, item in resources["aws_iam_role_policy"].items() if item["role"] == role)
    assert f"aws_eks_pod_identity_association.{name}" in found["depends_on"]
    assert f"aws_iam_role_policy.{policy}" in found["depends_on"]


def test_nodes_with_running_jobs_stay_by_default(example: Synthesized) -> None:
    """Job pods have emptyDir volumes, and the flag that protects such pods is on."""
    _, values = release(example)
    assert values["extraArgs"]["skip-nodes-with-local-storage"] is True


def test_settings_become_autoscaler_flags(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Every setting under `autoscaler` becomes the flag of the same name."""
    settings = {
        "expander": "most-pods",
        "balance_similar_node_groups": False,
        "skip_nodes_with_system_pods": True,
        "skip_nodes_with_local_storage": False,
        "scale_down_unneeded_time": "7m",
        "scale_down_delay_after_add": "1h30m",
    }
    _, values = release(synthesize_changed({"autoscaler": settings}))
    expected = {
        "expander": "most-pods",
        "balance-similar-node-groups": False,
        "skip-nodes-with-system-pods": True,
        "skip-nodes-with-local-storage": False,
        "scale-down-unneeded-time": "7m",
        "scale-down-delay-after-add": "1h30m",
    }
    assert expected.items() <= values["extraArgs"].items()


IDENTIFIER = "1ec4a8e7-3f5c-741f-b5d2-0a1b2c3d4e5f"
PRIORITIES = {"autoscaler": {"expander": "priority", "expander_priorities": {"main": 20, "big": 10}}}


def test_priorities_name_the_groups_of_every_zone(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Each pattern matches the Auto Scaling groups of its node group, by the names that EKS gives them."""
    stacks = synthesize_changed(PRIORITIES)
    _, values = release(stacks)
    assert "expander-priorities" not in values["extraArgs"]
    ((main,), (big,)) = (values["expanderPriorities"][priority] for priority in (20, 10))
    names = [item["node_group_name"] for item in stacks["cluster"]["resource"]["aws_eks_node_group"].values()]
    for name in names:
        assert bool(re.match(main, f"eks-{name}-{IDENTIFIER}")) == name.startswith("main-")
        assert bool(re.match(big, f"eks-{name}-{IDENTIFIER}")) == name.startswith("big-")


def test_one_group_in_all_zones_has_its_priority(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Without `protect_running_jobs` a group has one Auto Scaling group, with no zone in its name."""
    _, values = release(synthesize_changed({**PRIORITIES, "protect_running_jobs": False}))
    (main,) = values["expanderPriorities"][20]
    assert re.match(main, f"eks-main-{IDENTIFIER}")


def test_patterns_of_priorities_never_overlap(synthesize_changed: Callable[..., Synthesized]) -> None:
    """A node group may be called like a zone's part of another one; both have the priority of their own."""
    shape = {"instance_types": ["m5.2xlarge"], "max_size": 3}
    changes = {
        "cluster.node_groups": {"main": {**shape, "min_size": 1}, "main-a": shape, "main-a-a": shape},
        "autoscaler": {
            "expander": "priority",
            "expander_priorities": {"main": 3, "main-a": 2, "main-a-a": 1},
        },
    }
    stacks = synthesize_changed(changes)
    _, values = release(stacks)
    patterns = [pattern for group in values["expanderPriorities"].values() for pattern in group]
    for group in stacks["cluster"]["resource"]["aws_eks_node_group"].values():
        name = f"eks-{group['node_group_name']}-{IDENTIFIER}"
        assert len([pattern for pattern in patterns if re.match(pattern, name)]) == 1


def test_it_prefers_the_node_of_the_managers(example: Synthesized) -> None:
    """It holds its node as they do, so together they hold one."""
    _, values = release(example)
    (managers, _) = values["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert managers["podAffinityTerm"] == {
        "labelSelector": {"matchLabels": {"app": "gitlab-runner"}},
        "namespaceSelector": {"matchExpressions": [{"key": "gitlab-runner-fleet", "operator": "Exists"}]},
        "topologyKey": "kubernetes.io/hostname",
    }


def test_its_deployment_keeps_its_selector(example: Synthesized) -> None:
    """The chart writes `podLabels` into the selector, which Kubernetes never changes."""
    _, values = release(example)
    assert not {"podLabels", "deployment", "nameOverride"} & values.keys()


def test_a_replay_expects_its_requests(example: Synthesized) -> None:
    """`python -m jobs replay` keeps room for it on a steady node."""
    _, values = release(example)
    cpu, memory = SYSTEM_PODS[0]
    assert values["resources"]["requests"] == {"cpu": f"{cpu}m", "memory": f"{memory}Mi"}
