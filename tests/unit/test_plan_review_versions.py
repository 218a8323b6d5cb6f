"""Other versions of running software."""

from typing import Any

import pytest

from plan_review.findings import Category
from tests.plan_documents import findings, resource

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20))


@pytest.mark.parametrize(
    ("kind", "before", "after", "needs_approval"),
    [
        ("aws_eks_cluster", {"version": "1.33"}, {"version": "1.34"}, True),
        ("aws_eks_addon", {"addon_version": "v1"}, {"addon_version": "v2"}, False),
        ("aws_eks_node_group", {"release_version": "1"}, {"release_version": "2"}, False),
        (
            "aws_eks_node_group",
            {"launch_template": [{"version": "1"}]},
            {"launch_template": [{"version": "2"}]},
            False,
        ),
        ("helm_release", {"version": "0.86.0"}, {"version": "0.87.0"}, False),
        ("aws_launch_template", {"image_id": "ami-1"}, {"image_id": "ami-2"}, False),
        ("aws_instance", {"ami": "ami-1"}, {"ami": "ami-2"}, False),
        ("aws_db_instance", {"engine_version": "16"}, {"engine_version": "17"}, False),
    ],
)
def test_another_version_is_shown(
    kind: str,
    before: dict[str, Any],
    after: dict[str, Any],
    needs_approval: bool,  # noqa: FBT001
) -> None:
    """A control plane needs an approval, since Terraform can't go back."""
    (found,) = findings(Category.VERSION, resource(kind, before, after))
    assert found.needs_approval is needs_approval
    assert len(found.differences) == 1


def test_an_unknown_version_is_shown() -> None:
    """The newest image may be another one."""
    assert findings(Category.VERSION, resource("aws_instance", {"ami": "a"}, {}, unknown={"ami": True}))


def test_a_new_resource_has_no_other_version() -> None:
    """A first version is not an upgrade."""
    assert not findings(Category.VERSION, resource("aws_eks_cluster", None, {"version": "1.34"}))


def test_an_image_in_a_charts_values_is_a_version() -> None:
    """The tag of an image is a version; the number of replicas is not."""
    before = "runner:\n  image:\n    tag: v1\nreplicas: 1\n"
    after = "runner:\n  image:\n    tag: v2\nreplicas: 2\n"
    (found,) = findings(Category.VERSION, resource("helm_release", {"values": [before]}, {"values": [after]}))
    assert [(item.path, item.before, item.after) for item in found.differences] == [
        ("values: runner.image.tag", "v1", "v2")
    ]


def test_the_image_of_a_fleets_jobs_is_a_version() -> None:
    """GitLab Runner's TOML in the values names it."""
    values = "runners:\n  config: |\n    [[runners]]\n    [runners.kubernetes]\n    image = '{}'\n"
    states = ({"values": [values.format(image)]} for image in ("alpine:3.22", "alpine:3.23"))
    (found,) = findings(Category.VERSION, resource("helm_release", *states))
    (item,) = found.differences
    assert item.path.endswith(".kubernetes.image")
    assert (item.before, item.after) == ("alpine:3.22", "alpine:3.23")


@pytest.mark.parametrize("text", ["a: [", "a: &a [*a]\n", BOMB, "? {a: b}\n: c\n"])
def test_unreadable_values_are_skipped(text: str) -> None:
    """Broken YAML, cyclic aliases and aliases that multiply end in no error."""
    before, after = ({"values": [text, f"image: {tag}"]} for tag in ("a", "b"))
    (found,) = findings(Category.VERSION, resource("helm_release", before, after))
    assert [item.path for item in found.differences] == ["values: [1].image"]
