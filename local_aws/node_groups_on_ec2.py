"""Auto Scaling groups for ministack's managed node groups, as EKS makes them.

Each node group gets a launch template, an Auto Scaling group with EKS's tags, and EC2 instances. The group's
sizes are the one record of how many nodes there are, so a program that resizes the group changes what EKS
answers. The tags: "Cluster Autoscaler on AWS" (kubernetes/autoscaler) and "Simplify node lifecycle with
managed node groups" (EKS user guide).
"""

from collections.abc import Callable
from typing import Any

from ministack.services import autoscaling, ec2, eks

Response = tuple[int, dict[str, str], bytes]
IMAGE = "ami-0e0e0e0e0e0e0e0e0"


def apply() -> None:
    """Replace functions of ministack; call this once, after the patches of EKS."""
    create, delete = eks._create_nodegroup, eks._delete_nodegroup

    def create_with_group(cluster: str, body: dict[str, Any]) -> Response:
        existed = f"{cluster}/{body.get('nodegroupName')}" in eks._nodegroups
        response: Response = create(cluster, body)
        record = eks._nodegroups.get(f"{cluster}/{body.get('nodegroupName')}")
        if record is not None and not existed:
            _create_group(cluster, record)
        return response

    def delete_with_group(cluster: str, node_group: str) -> Response:
        record = eks._nodegroups.get(f"{cluster}/{node_group}")
        if record is not None:
            _delete_group(_group_name(record))
        response: Response = delete(cluster, node_group)
        return response

    eks._create_nodegroup = create_with_group
    eks._delete_nodegroup = delete_with_group
    autoscaling._reconcile_instances = _with_instances(autoscaling._reconcile_instances)
    actions = autoscaling._ACTION_MAP
    actions["SetDesiredCapacity"] = _within_bounds(actions["SetDesiredCapacity"])
    actions["DescribeAutoScalingGroups"] = _of_tags(actions["DescribeAutoScalingGroups"])
    actions["TerminateInstanceInAutoScalingGroup"] = _terminate_instance


def resize(record: dict[str, Any]) -> None:
    """Give the Auto Scaling group the sizes of a node group that was updated."""
    group = autoscaling._asgs.get(_group_name(record))
    if group is not None:
        sizes = record["scalingConfig"]
        group["MinSize"], group["MaxSize"] = sizes["minSize"], sizes["maxSize"]
        group["DesiredCapacity"] = sizes["desiredSize"]
        autoscaling._reconcile_instances(group)


def _group_name(record: dict[str, Any]) -> str:
    return str(record["resources"]["autoScalingGroups"][0]["name"])


def _create_group(cluster: str, record: dict[str, Any]) -> None:
    name, sizes = _group_name(record), record["scalingConfig"]
    ec2._create_launch_template(
        {
            "LaunchTemplateName": name,
            "LaunchTemplateData.ImageId": IMAGE,
            "LaunchTemplateData.InstanceType": record["instanceTypes"][0],
        }
    )
    tags = {
        "eks:cluster-name": cluster,
        "eks:nodegroup-name": record["nodegroupName"],
        "k8s.io/cluster-autoscaler/enabled": "true",
        f"k8s.io/cluster-autoscaler/{cluster}": "owned",
        f"kubernetes.io/cluster/{cluster}": "owned",
    }
    parameters = {
        "AutoScalingGroupName": name,
        "MinSize": str(sizes["minSize"]),
        "MaxSize": str(sizes["maxSize"]),
        "DesiredCapacity": str(sizes["desiredSize"]),
        "VPCZoneIdentifier": ",".join(record["subnets"]),
        "LaunchTemplate.LaunchTemplateName": name,
        "LaunchTemplate.Version": "1",
    }
    zones = dict.fromkeys(
        ec2._subnets[subnet]["AvailabilityZone"] for subnet in record["subnets"] if subnet in ec2._subnets
    )
    parameters |= {f"AvailabilityZones.member.{n}": zone for n, zone in enumerate(zones, start=1)}
    for number, (key, value) in enumerate(tags.items(), start=1):
        parameters |= {
            f"Tags.member.{number}.Key": key,
            f"Tags.member.{number}.Value": value,
            f"Tags.member.{number}.PropagateAtLaunch": "true",
        }
    autoscaling._create_asg(parameters)


def _delete_group(name: str) -> None:
    group = autoscaling._asgs.get(name)
    if group is not None:
        group["DesiredCapacity"] = 0
        autoscaling._reconcile_instances(group)
        autoscaling._delete_asg({"AutoScalingGroupName": name})
        ec2._delete_launch_template({"LaunchTemplateName": name})


def _with_instances(reconcile: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a function that also launches and terminates a node group's EC2 instances."""

    def reconcile_both(group: dict[str, Any]) -> None:
        _note_sizes(group)
        before = {item["InstanceId"] for item in group["Instances"]}
        reconcile(group)
        subnets = [name for name in group["VPCZoneIdentifier"].split(",") if name in ec2._subnets]
        names = {lt["LaunchTemplateName"]: lt for lt in ec2._launch_templates.values()}
        template = names.get(group["LaunchTemplate"].get("LaunchTemplateName"))
        if template is None or not subnets:
            return
        group["LaunchTemplate"]["LaunchTemplateId"] = template["LaunchTemplateId"]
        data = template["Versions"][-1]["LaunchTemplateData"]
        for place, item in enumerate(group["Instances"]):
            if item["InstanceId"] not in before:
                subnet = subnets[place % len(subnets)]
                (instance,) = ec2._launch_instances_internal(
                    image_id=data["ImageId"],
                    instance_type=data["InstanceType"],
                    subnet_id=subnet,
                    count=1,
                    key_name="",
                    user_data="",
                    sg_ids=[ec2._DEFAULT_SG_ID],
                )
                item["InstanceId"] = instance["InstanceId"]
                item["AvailabilityZone"] = ec2._subnets[subnet]["AvailabilityZone"]
                ec2._tags[instance["InstanceId"]] = [
                    {"Key": tag["Key"], "Value": tag["Value"]}
                    for tag in autoscaling._tags.get(group["AutoScalingGroupName"], [])
                    if tag["PropagateAtLaunch"]
                ]
        _terminate(before - {item["InstanceId"] for item in group["Instances"]})

    return reconcile_both


def _note_sizes(group: dict[str, Any]) -> None:
    for record in eks._nodegroups.values():
        if _group_name(record) == group["AutoScalingGroupName"]:
            record["scalingConfig"] = {
                "minSize": group["MinSize"],
                "maxSize": group["MaxSize"],
                "desiredSize": group["DesiredCapacity"],
            }


def _terminate(instances: set[str]) -> None:
    for instance in instances & set(ec2._instances):
        ec2._terminate_instances({"InstanceId.1": instance})


def _within_bounds(set_capacity: Callable[[Any], Response]) -> Callable[[Any], Response]:
    """Return a function that refuses a size outside of the group's bounds, as Auto Scaling does."""

    def set_within(parameters: dict[str, str]) -> Response:
        group = autoscaling._asgs.get(parameters.get("AutoScalingGroupName"))
        wanted = int(parameters.get("DesiredCapacity") or 0)
        if group and not group["MinSize"] <= wanted <= group["MaxSize"]:
            bounds = f"between {group['MinSize']} and {group['MaxSize']}"
            error: Response = autoscaling._error(
                "ValidationError", f"New SetDesiredCapacity value {wanted} is not {bounds}."
            )
            return error
        return set_capacity(parameters)

    return set_within


def _of_tags(describe: Callable[[Any], Response]) -> Callable[[Any], Response]:
    """Return a function that knows the filters `tag:<key>`, and shows tags that were set later."""

    def describe_matching(parameters: dict[str, str]) -> Response:
        filters: list[tuple[str, list[str]]] = []
        while (key := f"Filters.member.{len(filters) + 1}") and f"{key}.Name" in parameters:
            filters.append(
                (parameters[f"{key}.Name"], autoscaling._parse_member_list(parameters, f"{key}.Values"))
            )
        names = autoscaling._parse_member_list(parameters, "AutoScalingGroupNames")
        matching = []
        for name, group in autoscaling._asgs.items():
            group["Tags"] = autoscaling._tags.get(name, [])
            tags = {tag["Key"]: tag["Value"] for tag in group["Tags"]}
            if (not names or name in names) and all(_matches(tags, *item) for item in filters):
                matching.append(name)
        chosen = {f"AutoScalingGroupNames.member.{n}": name for n, name in enumerate(matching or ["-"], 1)}
        return describe(chosen)

    return describe_matching


def _matches(tags: dict[str, str], name: str, values: list[str]) -> bool:
    if name == "tag-key":
        return any(value in tags for value in values)
    if name == "tag-value":
        return any(value in tags.values() for value in values)
    return tags.get(name.removeprefix("tag:")) in values


def _terminate_instance(parameters: dict[str, str]) -> Response:
    wanted = parameters.get("InstanceId")
    for group in autoscaling._asgs.values():
        for item in group["Instances"]:
            if item["InstanceId"] == wanted:
                group["Instances"].remove(item)
                _terminate({item["InstanceId"]})
                if parameters.get("ShouldDecrementDesiredCapacity") == "true":
                    group["DesiredCapacity"] -= 1
                autoscaling._reconcile_instances(group)
                cause = "<Cause>An instance was terminated by a user's request.</Cause>"
                activity = (
                    f"<Activity><ActivityId>{autoscaling.new_uuid()}</ActivityId>"
                    f"<AutoScalingGroupName>{group['AutoScalingGroupName']}</AutoScalingGroupName>{cause}"
                    f"<StartTime>{autoscaling.now_iso()}</StartTime>"
                    "<StatusCode>InProgress</StatusCode><Progress>0</Progress></Activity>"
                )
                result = "TerminateInstanceInAutoScalingGroup"
                response: Response = autoscaling._xml(
                    200, f"{result}Response", f"<{result}Result>{activity}</{result}Result>"
                )
                return response
    error: Response = autoscaling._error(
        "ValidationError", f"Instance Id not found - No managed instance found for instance ID: {wanted}"
    )
    return error
