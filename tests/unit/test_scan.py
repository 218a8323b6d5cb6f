"""`make scan`: the findings that the project accepts, and the reports that it reads."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from stacks.errors import UserError
from stacks.settings.load import PROJECT
from tests.environments import Synthesized
from tools import scan
from tools.scan_accepted import ACCEPTED_FILE, Acceptance, Finding, judge, read_accepted

FINDING = Finding("CKV_1", "aws_vpc.vpc", "Keep flow logs")
ACCEPTANCE = Acceptance(scans=("stacks",), check="CKV_1", resources=("aws_vpc.*",), reason="because " * 9)


def test_each_accepted_finding_names_what_exists(example: Synthesized, local: Synthesized) -> None:
    """A resource, an object or a package that is renamed or removed takes its entries along."""
    releases = example["workloads"]["resource"]["helm_release"].values()
    lock = json.loads((PROJECT / "package-lock.json").read_text())
    existing = {
        "stacks": list_addresses(example),
        "plan": list_addresses(local),
        "charts": {
            f"{kind}.{item['namespace']}.{item['name']}"
            for item in releases
            for kind in ("Deployment", "Pod")
        },
        "python": set(re.findall(r"^([\w.-]+)==", (PROJECT / "constraints.txt").read_text(), re.MULTILINE)),
        "node": {path.rpartition("node_modules/")[2] for path in lock["packages"]},
    }
    for entry in read_accepted(ACCEPTED_FILE):
        for name in entry.scans:
            for pattern in entry.resources:
                found = [address for address in existing[name] if fnmatchcase(address, pattern)]
                assert found, f"{name}: {entry.check} {pattern}"


def list_addresses(stacks: Synthesized) -> set[str]:
    """Return the addresses of all resources and data sources."""
    return {address for stack in stacks.values() for _, address in scan.list_addresses(stack)}


def test_a_name_without_its_type_is_one_address(example: Synthesized) -> None:
    """Some rules of checkov leave out the type of a resource, and its entry still fits."""
    pairs = {pair for stack in example.values() for pair in scan.list_addresses(stack)}
    assert ("resource.cluster", "aws_eks_cluster.cluster") in pairs
    assert len({name for name, _ in pairs}) == len(pairs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reason": "it is fine"}, "accepted.0.reason: it is fine: "),
        ({"reason": None}, "accepted.0.reason: None: "),
        ({"resources": []}, "accepted.0.resources: []: "),
        ({"scans": ["plans"]}, "accepted.0.scans.0: plans: "),
        ({"file": "x"}, "accepted.0.file: x: "),
    ],
)
def test_an_entry_needs_every_field(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """A reason of a few words, or none, is refused, and so is an unknown scan or field."""
    file = tmp_path / "scan_accepted.yaml"
    file.write_text(json.dumps({"accepted": [ACCEPTANCE.model_dump(mode="json") | change]}))
    with pytest.raises(UserError) as refused:
        read_accepted(file)
    assert str(refused.value).startswith(f"scan_accepted.yaml: {message}")


@pytest.mark.parametrize(
    "text",
    [
        '"a\\e[31m": 1',
        "accepted:\n- &a0 [x]\n" + "".join(f"- &a{n + 1} [{','.join([f'*a{n}'] * 9)}]\n" for n in range(9)),
        "a: !!timestamp x",
        "a: !!binary x",
        b"\xff\xfe",
        "[" * 500,
    ],
)
def test_a_hostile_file_is_a_short_message(tmp_path: Path, text: str | bytes) -> None:
    """Whatever the file holds, the message names it and shows no control characters."""
    file = tmp_path / "scan_accepted.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as refused:
        read_accepted(file)
    lines = str(refused.value).splitlines()
    assert all(line.isprintable() and line.startswith("scan_accepted.yaml: ") for line in lines)
    assert all(len(line) < 300 for line in lines)


def test_an_accepted_finding_is_no_problem() -> None:
    """The entry fits by scan, check and address."""
    assert list(judge({"stacks": [FINDING]}, [ACCEPTANCE])) == []


@pytest.mark.parametrize(
    "change", [{"scans": ("plan",)}, {"check": "CKV_2"}, {"resources": ("aws_subnet.*",)}]
)
def test_any_other_finding_is_a_problem(change: dict[str, Any]) -> None:
    """An entry for another scan, check or address does not fit."""
    problems = list(judge({"stacks": [FINDING]}, [ACCEPTANCE.model_copy(update=change)]))
    assert problems[0] == "stacks: CKV_1 aws_vpc.vpc: Keep flow logs"


def test_an_entry_without_a_finding_is_a_problem() -> None:
    """Each of its resources must be found in each of its scans that was done."""
    entry = ACCEPTANCE.model_copy(update={"scans": ("stacks", "plan"), "resources": ("aws_vpc.*", "gone.*")})
    (problem,) = judge({"stacks": [FINDING]}, [entry])
    assert problem.startswith("stacks: scan_accepted.yaml accepts CKV_1 gone.*, which")


def test_checkov_has_read_every_file() -> None:
    """A file that checkov can't read fails the scan, although checkov ends with 0."""
    passed = {"check_id": "CKV_2", "resource": "provider.aws", "check_name": "", "file_path": "/a.tf.json"}
    failed = passed | {"check_id": "CKV_1", "resource": "aws_vpc.vpc", "check_name": "Keep flow logs"}
    results: dict[str, Any] = {"passed_checks": [passed], "failed_checks": [failed], "parsing_errors": []}
    assert scan.read_checkov(json.dumps({"results": results}), ["a.tf.json"]) == [FINDING]
    with pytest.raises(UserError, match=r"no rule was tried on b\.tf\.json"):
        scan.read_checkov(json.dumps({"results": results}), ["a.tf.json", "b.tf.json"])
    with pytest.raises(UserError, match=r"no rule was tried on /a\.tf\.json"):
        scan.read_checkov(
            json.dumps({"results": results | {"parsing_errors": ["/a.tf.json"]}}), ["a.tf.json"]
        )
    with pytest.raises(UserError, match="no report"):
        scan.read_checkov('{"passed": 0, "failed": 0}', ["a.tf.json"])


def test_an_audit_without_advisories_is_not_done() -> None:
    """pip-audit ends with 0 if PyPI does not answer for a package."""
    package = {"name": "rich", "version": "15.0.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["15.0.1"]}]}
    (found,) = scan.read_pip_audit(json.dumps({"dependencies": [package]}))
    assert (found.check, found.resource) == ("PYSEC-1", "rich")
    skipped = {"name": "six", "skip_reason": "not found"}
    with pytest.raises(scan.NotScannedError, match="1 packages of 2: not found"):
        scan.read_pip_audit(json.dumps({"dependencies": [package, skipped]}))
    with pytest.raises(scan.NotScannedError, match="ConnectionError: no route"):
        scan.read_pip_audit("Traceback\nConnectionError: no route\n")


def test_npm_audit_without_advisories_is_not_done() -> None:
    """Each advisory is a finding of its own package; the packages that depend on it add none."""
    advisory = {"url": "https://github.com/advisories/GHSA-1", "name": "tar", "title": "Escapes"}
    report = {"vulnerabilities": {"tar": {"via": [advisory]}, "npm": {"via": ["tar"]}}}
    assert scan.read_npm_audit(json.dumps(report)) == [Finding("GHSA-1", "tar", "Escapes")]
    with pytest.raises(scan.NotScannedError, match="405 Method Not Allowed"):
        scan.read_npm_audit('{"message": "405 Method Not Allowed"}')
    with pytest.raises(scan.NotScannedError, match="no report"):
        scan.read_npm_audit("")


@pytest.mark.parametrize(
    ("plan", "required", "status"),
    [(None, [], 0), (None, ["plan"], 1), (Finding("CKV_9", "a.b", ""), [], 1)],
)
def test_a_required_scan_and_a_finding_fail(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    plan: Finding | None,
    required: list[str],
    status: int,
) -> None:
    """A scan that could not be done is named; it fails only where it is required. A finding always fails."""

    def scan_plan(_: Path) -> list[Finding]:
        if plan is None:
            raise scan.NotScannedError("no plan")
        return [plan]

    monkeypatch.setattr(scan, "read_accepted", lambda _: [ACCEPTANCE])
    monkeypatch.setattr(scan, "synthesize", lambda _: {})
    monkeypatch.setattr(scan, "scan_stacks", lambda _: [FINDING])
    monkeypatch.setattr(scan, "scan_plan", scan_plan)
    for name in ("scan_charts", "audit_python", "audit_node"):
        monkeypatch.setattr(scan, name, lambda _: [])
    assert scan.scan(required=required) == status
    assert ("plan: NOT SCANNED: no plan" in capsys.readouterr().out) == (plan is None)
