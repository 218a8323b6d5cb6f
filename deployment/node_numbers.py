"""The number of nodes belongs to the autoscaler, also between a plan and its apply.

AWS provider 5.100.0 sends the number that a node group had at the time of the plan, whenever the plan
changes the group's minimum or maximum; `ignore_changes` only hides it. EKS takes a lower number at once,
without regard to disruption budgets (Amazon EKS, "Update a managed node group"). So jobs would end.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from deployment.aws import create_client
from plan_review.capacity import NodeNumber
from stacks.settings.aws import AwsSettings


def find_fewer_nodes(planned: Iterable[NodeNumber], aws: AwsSettings) -> Iterator[str]:
    """Yield a sentence for each node group that has more nodes now than the plan would set."""
    planned = list(planned)
    if not planned:
        return
    clients = {name: create_client(name, aws, region=aws.region) for name in ("eks", "autoscaling")}
    for item in planned:
        live = _read_number(item, **clients)
        if live > item.number:
            yield (
                f"the node group {item.group} has {live} node(s) now, the plan would set {item.number} and "
                "end the jobs on the other nodes"
            )


def _read_number(item: NodeNumber, *, eks: Any, autoscaling: Any) -> int:
    """Return the desired number of nodes.

    The autoscaler changes the Auto Scaling group, and EKS follows after a while (EKS API,
    NodegroupScalingConfig). So the higher number counts.
    """
    group = eks.describe_nodegroup(clusterName=item.cluster, nodegroupName=item.group)["nodegroup"]
    numbers: list[int] = [group["scalingConfig"]["desiredSize"]]
    names = [entry["name"] for entry in group.get("resources", {}).get("autoScalingGroups", [])]
    if names:  # without names, AWS would answer with all groups of the account
        found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
        numbers += [entry["DesiredCapacity"] for entry in found]
    return max(numbers)
