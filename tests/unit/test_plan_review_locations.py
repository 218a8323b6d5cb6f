"""Findings as SARIF and as GitLab's Code Quality report, and the lines that they point to."""

import datetime as dt
import json
from typing import Any

import jsonschema
import pytest

from deployment.settings_lines import read_lines
from plan_review import code_quality, sarif
from plan_review.accepted import Acceptance, Accepted
from plan_review.findings import Category, Finding
from plan_review.locations import Location
from plan_review.review import PlannedStack, Review
from stacks.settings.load import PROJECT
from tests.plan_documents import plan, resource

HOSTILE = 'aws_vpc.x["[a](https://e.example){0}\u202e"]'
CHECK = {"address": {"to_display": "check.a"}, "status": "fail", "instances": []}
REVIEW = Review(
    "Plan",
    [
        PlannedStack(
            "network",
            plan(
                resource("aws_vpc", {}, None),
                resource("aws_vpc", {}, None, address=HOSTILE),
                resource("aws_subnet", {}, None),
                checks=[CHECK, CHECK],
            ),
        )
    ],
    accepted=Accepted([Acceptance("aws_subnet.*", Category.DESTRUCTION, "moved", dt.date.max)]),
)


def locate(_stack: str, _finding: Finding) -> Location:
    """Return one place for all findings."""
    return Location("environments/my prod.yaml", 12)


def members(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object with these members and no others."""
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


def items(schema: Any) -> dict[str, Any]:
    """Return the schema of a list that is not empty."""
    return {"type": "array", "items": schema, "minItems": 1}


TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
WHOLE = {"type": "integer", "minimum": 0}
# Written from OASIS, "SARIF Version 2.1.0", for the members that the report has: 3.13 (sarifLog), 3.14
# (run), 3.19 (toolComponent), 3.27 (result), 3.28 (location), 3.35 (suppression).
SARIF = members(
    {
        "version": {"const": "2.1.0"},
        "runs": items(
            members(
                {
                    "tool": members(
                        {
                            "driver": members(
                                {"name": TEXT},
                                rules=items(members({"id": TEXT}, shortDescription=members({"text": TEXT}))),
                            )
                        }
                    )
                },
                columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                results={
                    "type": "array",
                    "items": members(
                        {"message": members({"text": TEXT})},
                        ruleId=TEXT,
                        ruleIndex=WHOLE,
                        level={"enum": ["none", "note", "warning", "error"]},
                        locations=items(
                            members(
                                {},
                                physicalLocation=members(
                                    {
                                        "artifactLocation": members(
                                            {}, uri={"type": "string", "pattern": r"^[!-~]+$"}
                                        )
                                    },
                                    region=members({}, startLine={"type": "integer", "minimum": 1}),
                                ),
                                logicalLocations=items(members({}, fullyQualifiedName=TEXT, kind=TEXT)),
                            )
                        ),
                        partialFingerprints={"type": "object", "additionalProperties": TEXT},
                        suppressions=items(
                            members(
                                {"kind": {"enum": ["inSource", "external"]}},
                                status={"enum": ["accepted", "underReview", "rejected"]},
                                justification=TEXT,
                            )
                        ),
                    ),
                },
            )
        ),
    },
    **{"$schema": TEXT},
)
# GitLab, "Code Quality report format".
CODE_QUALITY = {
    "type": "array",
    "items": members(
        {
            "description": TEXT,
            "check_name": TEXT,
            "fingerprint": TEXT,
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": members(
                {"path": TEXT, "lines": members({"begin": {"type": "integer", "minimum": 1}})}
            ),
        }
    ),
}


def test_both_reports_have_the_shape_of_their_format() -> None:
    """SARIF by its specification, Code Quality by GitLab's documentation; an empty review has no result."""
    for review in (REVIEW, Review("Plan")):
        jsonschema.validate(json.loads(json.dumps(sarif.build(review, locate))), SARIF)
        jsonschema.validate(json.loads(json.dumps(code_quality.build(review, locate))), CODE_QUALITY)


def test_what_needs_an_approval_is_graver() -> None:
    """Accepted findings are suppressed in SARIF, and not in the Code Quality report."""
    (run,) = sarif.build(REVIEW, locate)["runs"]
    found = [(item["ruleId"], item["level"], "suppressions" in item) for item in run["results"]]
    assert found == [
        ("destruction", "error", False),
        ("destruction", "error", False),
        ("destruction", "error", True),
        ("check", "warning", False),
        ("check", "warning", False),
    ]
    assert all(
        run["tool"]["driver"]["rules"][item["ruleIndex"]]["id"] == item["ruleId"] for item in run["results"]
    )
    severities = [item["severity"] for item in code_quality.build(REVIEW, locate)]
    assert severities == ["critical", "critical", "minor", "minor"]


def test_a_fingerprint_is_of_one_finding_and_stays() -> None:
    """Equal findings and other environments have other fingerprints; another line has the same."""
    prints = [item["fingerprint"] for item in code_quality.build(REVIEW, locate)]
    assert len(set(prints)) == len(prints)
    moved = code_quality.build(REVIEW, lambda *_: Location("environments/my prod.yaml", 99))
    assert prints == [item["fingerprint"] for item in moved]
    others = code_quality.build(REVIEW, lambda *_: Location("environments/staging.yaml"))
    assert not set(prints) & {item["fingerprint"] for item in others}


def test_a_viewer_of_sarif_finds_no_link_in_a_plan() -> None:
    """Placeholders are escaped, links are broken up, invisible characters are escaped, a path is a URI."""
    (run,) = sarif.build(REVIEW, locate)["runs"]
    text = run["results"][1]["message"]["text"]
    assert 'aws_vpc.x["[a] (https://e.example){{0}}\\u202e"] is deleted' in text
    uri = run["results"][1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "environments/my%20prod.yaml"


@pytest.mark.parametrize(
    ("stack", "address", "line"),
    [
        ("network", "aws_vpc.main", "network:"),
        ("cluster", "aws_eks_cluster.cluster", "cluster:"),
        ("cluster", "aws_eks_node_group.node_group_big-a", "    big:"),
        ("cluster", "aws_eks_node_group.node_group_biggest-a", "cluster:"),
        ("cluster", "aws_eks_node_group.node_group_toobig-a", "cluster:"),
        ("workloads", "helm_release.runner_default_release_20D58AF3", "  default:"),
        ("workloads", "", "runners:"),
        ("other", "aws_vpc.main", "# An environment in a real AWS account."),
    ],
)
def test_a_finding_points_to_its_line_of_the_settings(stack: str, address: str, line: str) -> None:
    """It is the line of the node group or the fleet, else of the section, else the first line."""
    finding = Finding(Category.DESTRUCTION, needs_approval=True, address=address, text="")
    location = read_lines("example")(stack, finding)
    assert location.path == "environments/example.yaml"
    assert (PROJECT / location.path).read_text().splitlines()[location.line - 1].startswith(line)
