"""Differences of two values."""

import json
from typing import Any

import pytest

from plan_review.values import UNKNOWN, Sensitive, find_differences


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"a": 1}, {"a": 2}, [("a", 1, 2)], id="an attribute"),
        pytest.param({"a": {"b c": 1}}, {"a": {"b c": 2}}, [('a["b c"]', 1, 2)], id="a key"),
        pytest.param({"a": [1, 2]}, {"a": [2, 3]}, [("a", 1, None), ("a", None, 3)], id="entries"),
        pytest.param({"a": ["x", "y"]}, {"a": ["x", "z"]}, [("a", "y", None), ("a", None, "z")], id="texts"),
        pytest.param({"a": [1, 1]}, {"a": [1]}, [("a", 1, None)], id="one of two equal entries"),
        pytest.param({"a": [1, 2]}, {"a": [2, 1]}, [("a", [1, 2], [2, 1])], id="another order"),
        pytest.param(
            {"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, [("a[1].b", 2, 3)], id="a block"
        ),
        pytest.param({"a": None}, {"a": []}, [], id="null and an empty list"),
        pytest.param(True, 1, [("", True, 1)], id="a boolean and a number"),
        pytest.param(
            {"a": json.dumps({"b": 1, "c": 2})},
            {"a": json.dumps({"c": 2, "b": 3})},
            [("a.b", 1, 3)],
            id="JSON",
        ),
        pytest.param({"a": "x"}, {"a": UNKNOWN}, [("a", "x", UNKNOWN)], id="unknown"),
        pytest.param({"a": Sensitive("x")}, {"a": Sensitive("x")}, [], id="the same secret"),
        pytest.param(
            {"a": [Sensitive("x")]},
            {"a": [Sensitive("y")]},
            [("a", Sensitive("x"), None), ("a", None, Sensitive("y"))],
            id="another secret",
        ),
    ],
)
def test_each_differing_attribute_has_its_path(before: Any, after: Any, expected: list[Any]) -> None:
    """Lists may be sets, and strings may hold JSON."""
    assert [(item.path, item.before, item.after) for item in find_differences(before, after)] == expected
