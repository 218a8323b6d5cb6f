"""Node groups have Auto Scaling groups that an outside program finds by tags and resizes."""

from typing import Any

from tests.emulator.project import Project


def _groups(deployed: Project) -> list[dict[str, Any]]:
    """Return the groups as the cluster autoscaler looks for them."""
    cluster = deployed.outputs("cluster")["cluster_name"]
    keys = ("k8s.io/cluster-autoscaler/enabled", f"k8s.io/cluster-autoscaler/{cluster}")
    pages = deployed.client("autoscaling").get_paginator("describe_auto_scaling_groups")
    filters = [{"Name": "tag-key", "Values": [key]} for key in keys]
    return [group for page in pages.paginate(Filters=filters) for group in page["AutoScalingGroups"]]


def test_an_outside_program_resizes_a_node_group(deployed: Project) -> None:
    """SetDesiredCapacity changes the number of instances, and EKS answers the new number."""
    eks, autoscaling = deployed.client("eks"), deployed.client("autoscaling")
    group = next(group for group in _groups(deployed) if group["MaxSize"] > group["DesiredCapacity"])
    tags = {tag["Key"]: tag["Value"] for tag in group["Tags"]}
    names = {"clusterName": tags["eks:cluster-name"], "nodegroupName": tags["eks:nodegroup-name"]}
    name, before = group["AutoScalingGroupName"], group["DesiredCapacity"]
    autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=before + 1)
    (resized,) = (item for item in _groups(deployed) if item["AutoScalingGroupName"] == name)
    assert len(resized["Instances"]) == before + 1
    assert eks.describe_nodegroup(**names)["nodegroup"]["scalingConfig"]["desiredSize"] == before + 1
    autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=resized["Instances"][0]["InstanceId"], ShouldDecrementDesiredCapacity=True
    )
    assert eks.describe_nodegroup(**names)["nodegroup"]["scalingConfig"]["desiredSize"] == before


def test_tags_for_scaling_from_zero_are_on_the_groups(deployed: Project) -> None:
    """Each group of the cluster carries the node-template tags that Terraform sets."""
    for group in _groups(deployed):
        assert any("/node-template/" in tag["Key"] for tag in group["Tags"]), group["AutoScalingGroupName"]
