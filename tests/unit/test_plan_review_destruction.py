"""Resources that Terraform deletes, replaces or forgets."""

import pytest

from plan_review.findings import Category
from tests.plan_documents import findings, report, resource


@pytest.mark.parametrize(
    "kind",
    ["aws_eks_cluster", "aws_eks_node_group", "aws_vpc", "aws_s3_bucket", "aws_db_instance", "aws_kms_key"],
)
@pytest.mark.parametrize("actions", [("delete",), ("delete", "create"), ("create", "delete")])
def test_deleting_irreplaceable_resources_needs_an_approval(kind: str, actions: tuple[str, ...]) -> None:
    """Clusters, node groups, networks, buckets, databases and keys are irreplaceable."""
    after = None if actions == ("delete",) else {"name": "x"}
    (found,) = findings(Category.DESTRUCTION, resource(kind, {"name": "x"}, after, actions=actions))
    assert found.needs_approval


@pytest.mark.parametrize("actions", [("forget",), ("create", "forget")])
def test_a_forgotten_resource_needs_no_approval(actions: tuple[str, ...]) -> None:
    """Terraform removes it from the state and does not delete it; the report shows it."""
    (found,) = findings(Category.DESTRUCTION, resource("aws_s3_bucket", {}, None, actions=actions))
    assert not found.needs_approval
    assert "Terraform no longer manages it" in found.text


def test_any_deletion_is_shown() -> None:
    """A deletion is a finding for unknown types, too."""
    (found,) = findings(Category.DESTRUCTION, resource("acme_thing", {"a": 1}, None))
    assert not found.needs_approval
    assert found.address == "acme_thing.this"


def test_a_replacement_names_what_forces_it() -> None:
    """The finding shows the attributes in `replace_paths`; the other changes show the rest."""
    change = resource(
        "acme_thing",
        {"net": [{"id": "a", "size": 1}], "name": "x"},
        {"net": [{"id": "b", "size": 1}], "name": "y"},
        actions=("delete", "create"),
        replace_paths=[["net", 0, "id"]],
    )
    (found,) = findings(Category.DESTRUCTION, change)
    assert [item.path for item in found.differences] == ["net[0].id"]
    text = report(change)
    assert "- `net[0].id`: `a` → `b` *forces the replacement*" in text
    assert "- `name`: `x` → `y`" in text.partition("<details>")[2]


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        (("delete", "create"), "is replaced, the old one is deleted first: asked for by -replace"),
        (("create", "delete"), "is replaced, the new one is created first: asked for by -replace"),
    ],
)
def test_a_replacement_says_which_comes_first_and_why(actions: tuple[str, ...], text: str) -> None:
    """The finding says whether there is a gap, and gives Terraform's reason in words."""
    change = resource("acme_thing", {}, {}, actions=actions, action_reason="replace_by_request")
    assert [found.text for found in findings(Category.DESTRUCTION, change)] == [text]


def test_a_deposed_object_has_its_key_in_the_address() -> None:
    """A failed replacement leaves a deposed object; the resource with that address stays."""
    (found,) = findings(
        Category.DESTRUCTION,
        resource("acme_thing", {}, {}, actions=("no-op",)),
        resource("acme_thing", {"a": 1}, None, deposed="0123abcd"),
    )
    assert found.address == "acme_thing.this (deposed 0123abcd)"


def test_a_deletion_names_what_is_created_of_the_same_type() -> None:
    """A reviewer of a split or renamed group sees both sides at once."""
    changes = (
        resource("aws_eks_node_group", {}, None, address="aws_eks_node_group.big-a"),
        resource("aws_eks_node_group", None, {}, address="aws_eks_node_group.big"),
        resource("aws_kms_key", {}, None),
    )
    group, key = findings(Category.DESTRUCTION, *changes)
    assert (group.created, key.created) == (("aws_eks_node_group.big",), ())
    assert "The plan creates, of the same type: `aws_eks_node_group.big`\n" in report(*changes)


def test_tags_of_auto_scaling_groups_are_folded() -> None:
    """A tag that is deleted with its node group is not a finding of its own."""
    tag = resource("aws_autoscaling_group_tag", {"tag": [{"key": "a"}]}, None)
    assert not findings(Category.DESTRUCTION, tag)
    assert "- `aws_autoscaling_group_tag.this`" in report(tag).replace("**-**", "-").partition("<details>")[2]
