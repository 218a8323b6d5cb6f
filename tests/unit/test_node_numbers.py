"""The numbers of nodes that an apply would lower."""

from typing import Any

import pytest

from deployment import node_numbers
from plan_review.capacity import NodeNumber
from stacks.settings.load import PROJECT, load_settings

AWS = load_settings(PROJECT / "environments" / "example.yaml").aws
PLANNED = NodeNumber("cicd", "main-a", 3)


class FakeAws:
    """EKS and Auto Scaling with one node group."""

    def __init__(self, desired_size: int, capacities: list[int]) -> None:
        self._desired_size, self._capacities = desired_size, capacities

    def describe_nodegroup(self, **names: str) -> dict[str, Any]:
        """Answer as EKS does."""
        assert names == {"clusterName": "cicd", "nodegroupName": "main-a"}
        return {
            "nodegroup": {
                "scalingConfig": {"desiredSize": self._desired_size},
                "resources": {"autoScalingGroups": [{"name": "eks-main-a"}]},
            }
        }

    def describe_auto_scaling_groups(self, **names: list[str]) -> dict[str, Any]:
        """Answer as Auto Scaling does."""
        assert names == {"AutoScalingGroupNames": ["eks-main-a"]}
        return {"AutoScalingGroups": [{"DesiredCapacity": number} for number in self._capacities]}


@pytest.mark.parametrize(
    ("desired_size", "capacities", "more"),
    [(3, [3], None), (2, [1], None), (4, [4], 4), (3, [5], 5), (4, [], 4), (4, [3], 4)],
)
def test_an_apply_never_lowers_the_number_of_nodes(
    desired_size: int, capacities: list[int], more: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The higher number of EKS and Auto Scaling counts; a number that the plan would raise is no problem."""
    fake = FakeAws(desired_size, capacities)
    monkeypatch.setattr(node_numbers, "create_client", lambda *_, **__: fake)
    found = list(node_numbers.find_fewer_nodes([PLANNED], AWS))
    if more is None:
        assert not found
    else:
        (problem,) = found
        assert problem.startswith(f"the node group main-a has {more} node(s) now, the plan would set 3 ")


def test_a_group_without_an_auto_scaling_group_has_the_number_of_eks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that EKS is making has none; without a name, Auto Scaling would answer with all groups."""
    fake = FakeAws(4, [])
    monkeypatch.setattr(
        fake, "describe_nodegroup", lambda **_: {"nodegroup": {"scalingConfig": {"desiredSize": 4}}}
    )
    monkeypatch.delattr(FakeAws, "describe_auto_scaling_groups")
    monkeypatch.setattr(node_numbers, "create_client", lambda *_, **__: fake)
    assert len(list(node_numbers.find_fewer_nodes([PLANNED], AWS))) == 1
