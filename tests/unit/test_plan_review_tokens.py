"""Secrets that get another value."""

from typing import Any

import pytest

from plan_review.findings import Category
from tests.plan_documents import findings, report, resource


@pytest.mark.parametrize(
    "name", ["data_wo_revision", "password_wo_version", "secret_string_wo_version", "value_wo_version"]
)
def test_a_version_of_a_write_only_attribute_shows_a_rotation(name: str) -> None:
    """The plan has the version and not the value."""
    (found,) = findings(Category.TOKEN, resource("acme_thing", {name: 1}, {name: 2}))
    assert [(item.path, item.before, item.after) for item in found.differences] == [(name, 1, 2)]
    assert not found.needs_approval


@pytest.mark.parametrize(
    ("kind", "name", "before", "after"),
    [
        ("kubernetes_secret_v1", "data", {"token": "OLD"}, {"token": "NEW"}),
        ("aws_secretsmanager_secret_version", "secret_string", "OLD", "NEW"),
        ("aws_ssm_parameter", "value", "OLD", "NEW"),
        ("aws_db_instance", "password", "OLD", "NEW"),
        ("aws_elasticache_replication_group", "auth_token", "OLD", "NEW"),
    ],
)
def test_a_changed_secret_is_masked(kind: str, name: str, before: Any, after: Any) -> None:
    """The report shows that it changes, and never its value."""
    change = resource(
        kind, {name: before}, {name: after}, before_sensitive={name: True}, after_sensitive={name: True}
    )
    assert findings(Category.TOKEN, change)
    text = report(change)
    assert f"`{name}`: `(sensitive)` → `(sensitive)`" in text
    assert "OLD" not in text
    assert "NEW" not in text


def test_a_first_secret_is_no_rotation() -> None:
    """A created secret is no finding."""
    assert not findings(Category.TOKEN, resource("kubernetes_secret_v1", None, {"data_wo_revision": 1}))


def test_a_plain_parameter_is_no_secret() -> None:
    """A parameter that Terraform does not mark as sensitive is among the other changes."""
    assert not findings(Category.TOKEN, resource("aws_ssm_parameter", {"value": "a"}, {"value": "b"}))
