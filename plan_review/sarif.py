"""Findings in the Static Analysis Results Interchange Format (OASIS, "SARIF Version 2.1.0").

Sections of that document are named in comments. Accepted findings are there as suppressed ones.
"""

from typing import Any
from urllib.parse import quote

from plan_review.findings import TITLES, Category
from plan_review.locations import Locate, Located, locate_findings
from plan_review.review import Review

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def build(review: Review, locate: Locate) -> dict[str, Any]:
    """Return the log file, to be written as JSON."""
    rules = [
        {"id": category.name.lower(), "shortDescription": {"text": TITLES[category]}} for category in Category
    ]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "plan_review", "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [_build_result(item) for item in locate_findings(review, locate)],
            }
        ],
    }


def _build_result(item: Located) -> dict[str, Any]:
    finding = item.finding
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(item.location.path)},
            "region": {"startLine": item.location.line},
        }
    }
    if finding.address:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.address, "kind": "resource"}]
    result: dict[str, Any] = {
        "ruleId": finding.category.name.lower(),
        "ruleIndex": list(Category).index(finding.category),
        "level": "error" if finding.needs_approval else "warning",
        "message": {"text": _escape_message(item.text)},
        "locations": [location],
        "partialFingerprints": {"planReview/v1": item.fingerprint},
    }
    if item.acceptance:
        entry = item.acceptance
        justification = f"{entry.reason} (until {entry.until})"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": justification}]
    return result


def _escape_message(text: str) -> str:
    """Return a text in which a viewer finds no placeholder (3.11.5) and no link (3.11.6)."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")
