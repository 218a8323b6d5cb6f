"""Findings as GitLab's Code Quality report, which a merge request shows in its widget and its diff.

The fields are those of GitLab, "Code Quality report format". Accepted findings are left out.
"""

from typing import Any

from plan_review.locations import Locate, locate_findings
from plan_review.review import Review


def build(review: Review, locate: Locate) -> list[dict[str, Any]]:
    """Return the report, to be written as JSON."""
    return [
        {
            "description": item.text,
            "check_name": f"plan_review/{item.finding.category.name.lower()}",
            "fingerprint": item.fingerprint,
            "severity": "critical" if item.finding.needs_approval else "minor",
            "location": {"path": item.location.path, "lines": {"begin": item.location.line}},
        }
        for item in locate_findings(review, locate)
        if item.acceptance is None
    ]
