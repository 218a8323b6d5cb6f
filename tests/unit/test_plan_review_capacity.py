"""The maximum number of nodes."""

import re
from itertools import pairwise
from typing import Any

import pytest

from plan_review.findings import Category
from stacks.settings.node_groups import NodeGroupSettings
from tests.plan_documents import State, findings, report, resource


def group(size: float | None, types: str = "m5.large") -> State:
    """Return a node group with a maximum; none for None."""
    return None if size is None else {"scaling_config": [{"max_size": size}], "instance_types": [types]}


def groups(**sizes: tuple[State, State]) -> list[dict[str, Any]]:
    """Return the changes of node groups by name."""
    return [
        resource(
            "aws_eks_node_group",
            before,
            after,
            address=f"aws_eks_node_group.{name}",
            actions=("no-op",) if before == after else (),
        )
        for name, (before, after) in sizes.items()
    ]


@pytest.mark.parametrize(
    ("changes", "text", "needs_approval"),
    [
        (groups(a=(group(2), group(5))), "at most 2 → 5", True),
        (groups(a=(group(5), group(2))), "at most 5 → 2", False),
        (groups(a=(None, group(3)), b=(group(4), group(4))), "at most 4 → 7", True),
        (groups(a=(group(3), None)), "at most 3 → 0", False),
        (groups(a=(group(3), None), b=(None, group(3))), "at most 3 → 3", False),
        (groups(a=(group(3), group(3, "p5.48xlarge"))), "at most 3 → 3", True),
        (groups(a=(group(3), group(0)), b=(group(0, "p5"), group(3, "p5"))), "at most 3 → 3", True),
    ],
)
def test_more_nodes_of_a_type_need_an_approval(
    changes: list[dict[str, Any]],
    text: str,
    needs_approval: bool,  # noqa: FBT001
) -> None:
    """Other machines may cost more; the same ones in another group do not. Prices do not decide."""
    (found,) = findings(Category.CAPACITY, *changes)
    assert found.text == f"{text} nodes in all groups together"
    assert found.needs_approval is needs_approval


@pytest.mark.parametrize(
    ("after", "needs_approval"), [("m5.4xlarge", True), ("m5.large", False), ("p5.48xlarge", True)]
)
def test_a_larger_machine_of_a_template_needs_an_approval(
    after: str,
    needs_approval: bool,  # noqa: FBT001
) -> None:
    """A smaller one of the same family costs less; another family may cost more."""
    states = ({"instance_type": kind} for kind in ("m5.xlarge", after))
    (found,) = findings(Category.CAPACITY, resource("aws_launch_template", *states))
    assert found.needs_approval is needs_approval


@pytest.mark.parametrize(
    ("small", "large"),
    list(
        pairwise(
            ["nano", "micro", "small", "medium", "large", "xlarge", "2xlarge", "metal-24xl", "metal-48xl"]
        )
    ),
)
def test_the_settings_and_the_plan_order_sizes_alike(small: str, large: str) -> None:
    """A larger size ranks above a smaller one in both, and metal with a number is the size of that number."""
    ranks = [
        NodeGroupSettings(instance_types=(f"m7i.{size}",), max_size=1).instance_size
        for size in (small, large)
    ]
    assert ranks == sorted(set(ranks))
    plans = [
        groups(a=(group(1, f"m7i.{old}"), group(1, f"m7i.{new}")))
        for old, new in ((small, large), (large, small))
    ]
    assert [findings(Category.CAPACITY, *plan)[0].needs_approval for plan in plans] == [True, False]
    number = re.sub("metal-(.+)xl", r"\1xlarge", large)
    same = groups(a=(group(1, f"m7i.{large}"), group(1, f"m7i.{number}")))
    assert not any(found.needs_approval for found in findings(Category.CAPACITY, *same))


def test_each_changed_group_is_shown() -> None:
    """The finding shows the number and the types of each changed group, and no unchanged group."""
    changes = groups(a=(group(2), group(5, "m6.large")), b=(group(1), group(1)), c=(None, group(1)))
    (found,) = findings(Category.CAPACITY, *changes)
    assert [(item.path, item.before, item.after) for item in found.differences] == [
        ("aws_eks_node_group.a", "2 × m5.large", "5 × m6.large"),
        ("aws_eks_node_group.c", None, "1 × m5.large"),
    ]


def test_auto_scaling_groups_count() -> None:
    """The maximum of an Auto Scaling group counts as that of an EKS node group."""
    (found,) = findings(
        Category.CAPACITY, resource("aws_autoscaling_group", {"max_size": 1}, {"max_size": 9})
    )
    assert found.text.startswith("at most 1 → 9 ")


@pytest.mark.parametrize(
    ("before", "after", "needs_approval"),
    [
        (group(2, "m5.12xlarge"), group(2, "m5.8xlarge"), False),
        (group(2, "m5.12xlarge"), group(3, "m5.8xlarge"), False),
        (group(2, "m5.12xlarge"), group(4, "m5.8xlarge"), True),
        (group(2, "m5.large"), group(2, "m5.xlarge"), True),
        (group(2, "m5.xlarge"), group(2, "r5.large"), True),
        (group(2, "m5.metal"), group(2, "m5.large"), True),
    ],
)
def test_smaller_instances_of_a_family_need_no_approval(
    before: State,
    after: State,
    needs_approval: bool,  # noqa: FBT001
) -> None:
    """Within a family the price follows the size; between families it may be any."""
    (found,) = findings(Category.CAPACITY, *groups(a=(before, after)))
    assert found.needs_approval is needs_approval


def test_an_unknown_maximum_needs_an_approval() -> None:
    """An unknown maximum may be any number."""
    change = resource("aws_autoscaling_group", {"max_size": 1}, {}, unknown={"max_size": True})
    (found,) = findings(Category.CAPACITY, change)
    assert found.needs_approval
    assert [item.after for item in found.differences] == ["(known after apply) × node"]


@pytest.mark.parametrize("number", [10**400, -(10**400), 1e400], ids=["large", "small", "infinite"])
def test_an_absurd_maximum_counts_as_unknown(number: float) -> None:
    """A number beyond any group ends in a report that asks for an approval, not in an error."""
    (found,) = findings(Category.CAPACITY, *groups(a=(group(2), group(number))))
    assert found.needs_approval
    assert report(*groups(a=(group(2), group(number))))


def test_a_group_that_stays_empty_is_no_finding() -> None:
    """Other instance types of a group without nodes cost nothing."""
    assert not findings(Category.CAPACITY, *groups(a=(group(0), group(0, "p5.48xlarge"))))


def test_the_number_that_an_apply_sets_is_told() -> None:
    """The AWS provider sends the number of the time of the plan with a new minimum, maximum or number."""
    names = {"cluster_name": "cicd", "node_group_name": "main-a"}
    before = names | {"scaling_config": [{"min_size": 1, "max_size": 5, "desired_size": 3}]}
    after = names | {"scaling_config": [{"min_size": 2, "max_size": 5, "desired_size": 3}]}
    (found,) = findings(Category.CAPACITY, resource("aws_eks_node_group", before, after))
    assert found.text.startswith("sets the group main-a to 3 node(s), its number at the time of this plan")
    assert not found.needs_approval


def test_a_plan_that_leaves_the_sizes_alone_sets_no_number() -> None:
    """With another change of a group the AWS provider sends no number; nor is there one for a new group."""
    sizes = {"scaling_config": [{"min_size": 1, "max_size": 5, "desired_size": 3}]}
    for before, after in ((sizes, sizes | {"labels": {"a": "b"}}), (None, sizes), (sizes, None)):
        found = findings(Category.CAPACITY, resource("aws_eks_node_group", before, after))
        assert not [item for item in found if "sets the group" in item.text]
