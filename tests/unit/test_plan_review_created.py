"""Attributes that the report shows of created resources."""

from typing import Any

import pytest

from tests.plan_documents import report, resource


@pytest.mark.parametrize(
    ("kind", "attributes", "line"),
    [
        ("aws_vpc", {"cidr_block": "10.0.0.0/16"}, "- `cidr_block`: `10.0.0.0/16`"),
        (
            "aws_eks_node_group",
            {"instance_types": ["m5.large", "m6.large"], "taint": []},
            "- `instance_types`: `m5.large, m6.large`",
        ),
        (
            "aws_eks_node_group",
            {"taint": [{"key": "ci", "effect": "NO_SCHEDULE"}]},
            '- `taint`: `[{"key": "ci", "effect": "NO_SCHEDULE"}]`',
        ),
        (
            "aws_launch_template",
            {"block_device_mappings": [{"ebs": [{"volume_size": 100}]}]},
            "- `block_device_mappings.ebs.volume_size`: `100`",
        ),
        ("helm_release", {"version": "0.86.0"}, "- `version`: `0.86.0`"),
        ("helm_release", {"values": ["concurrent: 10\n"]}, "- `values: concurrent`: `10`"),
        (
            "helm_release",
            {"values": ["runners:\n  config: |\n    [[runners]]\n    image = 'alpine'\n"]},
            "- `values: runners.config.runners[0].image`: `alpine`",
        ),
    ],
)
def test_a_created_resource_shows_its_main_attributes(
    kind: str, attributes: dict[str, Any], line: str
) -> None:
    """A reviewer of new resources sees sizes, types, ranges, versions and the settings of jobs."""
    text = report(resource(kind, None, attributes | {"other": "x"}))
    assert line in text.splitlines()
    assert "other`" not in text


def test_unset_and_unknown_attributes_are_not_shown() -> None:
    """An attribute without a value tells a reviewer nothing."""
    change = resource("aws_subnet", None, {"cidr_block": ""}, unknown={"availability_zone": True})
    text = report(change)
    assert "cidr_block" not in text
    assert "availability_zone" not in text


def test_a_created_secret_stays_masked() -> None:
    """Sensitive values of a chart have no keys to show."""
    change = resource("helm_release", None, {"values": ["image: hidden"]}, after_sensitive={"values": True})
    assert "hidden" not in report(change)
