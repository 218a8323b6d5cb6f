"""The node groups of a fleet's jobs: labels, taints, affinity, tolerations."""

from collections.abc import Callable
from typing import Any

from tests.environments import Synthesized, runners

SPOT = {
    "instance_types": ["m5.8xlarge", "m5a.8xlarge"],
    "capacity_type": "SPOT",
    "max_size": 4,
    "taints": [{"key": "spot", "value": "yes", "effect": "NO_SCHEDULE"}],
}
ARM = {
    "instance_types": ["m7g.8xlarge"],
    "ami_type": "AL2023_ARM_64_STANDARD",
    "max_size": 2,
    "taints": [{"key": "arm", "effect": "NO_EXECUTE"}],
}


def executor(stacks: Synthesized) -> dict[str, Any]:
    """Return `[runners.kubernetes]` of the default fleet."""
    table: dict[str, Any] = runners(stacks)["default"]["kubernetes"]
    return table


def groups_of(table: dict[str, Any]) -> list[str]:
    """Return the node groups that the required node affinity allows."""
    required = table["affinity"]["node_affinity"]["required_during_scheduling_ignored_during_execution"]
    (term,) = required["node_selector_terms"]
    (expression,) = term["match_expressions"]
    assert (expression["key"], expression["operator"]) == ("node-group", "In")
    names: list[str] = expression["values"]
    return names


def test_jobs_run_on_every_group_without_taints_by_default(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """A group with taints is only for the fleets that name it."""
    table = executor(synthesize_changed({"cluster.node_groups.spot": SPOT}))
    assert groups_of(table) == ["big", "main"]
    assert table["node_tolerations"] == {}


def test_a_fleet_tolerates_the_taints_of_its_groups(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Affinity and tolerations come from the groups that the fleet names."""
    changes = {"cluster.node_groups.spot": SPOT, "runners.default.node_groups": ["spot"]}
    stacks = synthesize_changed(changes)
    table = executor(stacks)
    assert groups_of(table) == ["spot"]
    assert table["node_tolerations"] == {"spot=yes": "NoSchedule"}
    nodes = [
        group
        for group in stacks["cluster"]["resource"]["aws_eks_node_group"].values()
        if group["labels"]["node-group"] == "spot"
    ]
    assert nodes
    for node in nodes:
        assert node["capacity_type"] == "SPOT"
        assert node["taint"] == [{"effect": "NO_SCHEDULE", "key": "spot", "value": "yes"}]


def test_an_arm_fleet_gets_arm_nodes_and_an_arm_helper(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """The runner chooses its helper image by the node selector."""
    changes = {"cluster.node_groups.arm": ARM, "runners.default.node_groups": ["arm"]}
    table = executor(synthesize_changed(changes))
    assert table["node_selector"] == {"kubernetes.io/arch": "arm64"}
    assert table["node_tolerations"] == {"arm": "NoExecute"}


def test_further_executor_keys_are_passed_through(synthesize_changed: Callable[..., Synthesized]) -> None:
    """They keep GitLab's names, and do not replace the keys that the project sets."""
    further = {
        "pull_policy": "if-not-present",
        "allowed_images": ["registry.example.com/*"],
        "affinity": {"pod_anti_affinity": {"preferred_during_scheduling_ignored_during_execution": []}},
        "volumes": {"empty_dir": [{"name": "tmp", "mount_path": "/tmp"}]},
    }
    table = executor(synthesize_changed({"runners.default.kubernetes": further}))
    assert table["pull_policy"] == ["if-not-present"]
    assert table["allowed_images"] == ["registry.example.com/*"]
    assert "pod_anti_affinity" in table["affinity"]
    assert groups_of(table) == ["big", "main"]
    assert [volume["name"] for volume in table["volumes"]["empty_dir"]] == ["tmp", "docker-certs"]


def test_patches_of_the_pod_come_with_their_feature_flag(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """The runner ignores `pod_spec` without this flag."""
    patch = [{"name": "host", "patch": "hostname: build", "patch_type": "strategic"}]
    runner = runners(synthesize_changed({"runners.default.kubernetes.pod_spec": patch}))["default"]
    assert runner["kubernetes"]["pod_spec"] == patch
    assert runner["feature_flags"] == {"FF_USE_ADVANCED_POD_SPEC_CONFIGURATION": True}
    assert "feature_flags" not in runners(example)["default"]


def test_settings_are_not_read_as_templates(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Terraform writes `$${` and `%%{` as `${` and `%{`; the chart's template prints a quoted `{{`."""
    annotations = {"a": "${CI_JOB_ID} %{if} {{ .Values.x }}"}
    table = executor(synthesize_changed({"runners.default.pod_annotations": annotations}))
    assert table["pod_annotations"]["a"] == "$${CI_JOB_ID} %%{if} {{ `{{` }} .Values.x }}"


def test_labels_and_annotations_of_job_pods(synthesize_changed: Callable[..., Synthesized]) -> None:
    """They are added to the fleet's label and the autoscaler's annotation."""
    changes = {
        "runners.default.pod_labels": {"team": "mobile"},
        "runners.default.pod_annotations": {"job": "$CI_JOB_ID"},
    }
    table = executor(synthesize_changed(changes))
    assert table["pod_labels"] == {"team": "mobile", "gitlab-runner-fleet": "default"}
    assert table["pod_annotations"] == {
        "job": "$CI_JOB_ID",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    }


def test_each_entry_is_one_group_per_zone(example: Synthesized) -> None:
    """Each group has one zone, and the sizes of an entry's groups add up to its own."""
    groups = example["cluster"]["resource"]["aws_eks_node_group"].values()
    for name, (least, most) in {"main": (1, 10), "big": (0, 4)}.items():
        mine = [group for group in groups if group["labels"]["node-group"] == name]
        assert sorted(group["node_group_name"] for group in mine) == [f"{name}-{zone}" for zone in "abc"]
        assert all(len(group["subnet_ids"]) == 1 for group in mine)
        assert sum(group["scaling_config"]["min_size"] for group in mine) == least
        assert sum(group["scaling_config"]["max_size"] for group in mine) == most
    subnets = {group["subnet_ids"][0] for group in groups}
    assert len(subnets) == 3


def test_one_group_for_all_zones_without_protect_running_jobs(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """`protect_running_jobs: false` removes the annotation of job pods and the group per zone."""
    stacks = synthesize_changed({"protect_running_jobs": False})
    groups = stacks["cluster"]["resource"]["aws_eks_node_group"].values()
    assert sorted(group["node_group_name"] for group in groups) == ["big", "main"]
    assert executor(stacks)["pod_annotations"] == {}
