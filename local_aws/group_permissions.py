"""IAM's view of Auto Scaling groups for ministack: which group a request is about, and the group's tags.

ministack evaluates `aws:ResourceTag` for a few services only. "Actions, resources, and condition keys for
Amazon EC2 Auto Scaling" (Service Authorization Reference): SetDesiredCapacity and
TerminateInstanceInAutoScalingGroup are authorized on the group.
"""

from collections.abc import Callable, Iterator
from typing import Any

from ministack.core import iam_actions
from ministack.services import autoscaling, tagging


def apply() -> None:
    """Replace functions of ministack; call this once, before it serves."""
    iam_actions.extract_resource_arn = _name_the_group(iam_actions.extract_resource_arn)
    tagging._RESOURCE_TAG_COLLECTORS["autoscaling"] = _read_tags


def _name_the_group(extract: Callable[..., str]) -> Callable[..., str]:
    """Return a function that answers with the whole ARN of the group that a request names."""

    def extract_arn(service: str, *arguments: Any) -> str:
        if service == "autoscaling":
            _method, _path, _headers, _body, parameters, *_ = arguments
            name = iam_actions._query_param(parameters, "AutoScalingGroupName")
            instance = iam_actions._query_param(parameters, "InstanceId")
            for group in autoscaling._asgs.values():
                instances = {item["InstanceId"] for item in group["Instances"]}
                if group["AutoScalingGroupName"] == name or instance in instances:
                    return str(group["AutoScalingGroupARN"])
        return extract(service, *arguments)

    return extract_arn


def _read_tags() -> Iterator[tuple[str, list[dict[str, str]]]]:
    for name, group in autoscaling._asgs.items():
        yield group["AutoScalingGroupARN"], autoscaling._tags.get(name, [])
