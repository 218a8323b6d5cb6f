"""The record of approvals in the emulated S3, signed by the emulated KMS. No Terraform."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deployment.approvals import ApprovalError, Approvals
from local_aws import emulator
from stacks.backend import Backend
from stacks.settings import Settings
from stacks.settings.load import load_settings
from tests.environments import write_changed

REGION = "eu-central-1"
BACKEND = Backend(bucket="approvals-terraform-state", region=REGION, encrypt=True, use_lockfile=True)
NOW = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
WEEK = dt.timedelta(days=7)


@pytest.fixture(scope="module")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An AWS that evaluates IAM policies, with a bucket that keeps versions."""
    with emulator.running(tmp_path_factory.mktemp("aws"), auth=True) as url:
        s3 = emulator.client("s3", endpoint_url=url, region=REGION)
        s3.create_bucket(Bucket=BACKEND.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=BACKEND.bucket, VersioningConfiguration={"Status": "Enabled"})
        yield url


@pytest.fixture
def s3(endpoint_url: str) -> Any:
    """A client of the bucket's owner."""
    return emulator.client("s3", endpoint_url=endpoint_url, region=REGION)


@pytest.fixture
def environment(request: pytest.FixtureRequest, endpoint_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Return the settings of an environment that only this test uses."""
    name = f"e{abs(hash(request.node.name)) % 10**9}"

    def load(**approvals: Any) -> Settings:
        changes = {"aws.endpoint_url": endpoint_url, "approvals": approvals}
        return load_settings(write_changed(tmp_path, changes, base="local", name=name))

    return load


def write(approvals: Approvals, *names: str, verdict: str = "approved", time: dt.datetime = NOW) -> None:
    """Add an entry about some findings of the network stack."""
    approvals.append(
        {
            "verdict": verdict,
            "time": time,
            "valid_until": time + WEEK,
            "digest": "d" * 64,
            "dangers": {"network": {name: f"aws_vpc.{name} is deleted" for name in names}},
            "commit": "0a1b2c3",
            "aws_arn": "arn:aws:sts::000000000000:assumed-role/approver/me",
            "gitlab_user": "",
        }
    )


def decides(approvals: Approvals, *names: str, now: dt.datetime = NOW) -> bool | str:
    """Return whether findings are approved or refused; else why there is no decision."""
    decision = approvals.decide(set(names), now)
    return decision.is_approval if decision.record else decision.reason


def test_an_approval_belongs_to_findings(environment: Callable[..., Settings]) -> None:
    """It holds for the same findings and for a part of them, not for one more, and until it ends."""
    approvals = Approvals(environment(), BACKEND)
    assert "has no approval of them" in str(decides(approvals, "a"))
    write(approvals, "a", "b")
    assert decides(approvals, "a", "b") is True
    assert decides(approvals, "b") is True
    assert "approval 1 has 1 of them not" in str(decides(approvals, "a", "b", "c"))
    assert "has no approval of them" in str(decides(approvals, "c"))
    assert decides(approvals, "a", now=NOW + WEEK - dt.timedelta(seconds=1)) is True
    assert decides(approvals, "a", now=NOW + WEEK) == "approval 1 ended on 2026-12-03 12:00 UTC"


def test_a_refusal_counts_until_a_later_approval(environment: Callable[..., Settings]) -> None:
    """A refusal of one finding stops all plans with it, and no others."""
    approvals = Approvals(environment(), BACKEND)
    write(approvals, "a", "b")
    write(approvals, "b", "c", verdict="refused")
    assert decides(approvals, "a", "b") is False
    assert decides(approvals, "a") is True
    write(approvals, "a", "b")
    assert decides(approvals, "a", "b") is True


def test_two_writers_lose_no_entry(environment: Callable[..., Settings]) -> None:
    """Of writers at the same time S3 lets one be first; the others write behind it."""
    settings = environment()
    names = [f"n{number}" for number in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: write(Approvals(settings, BACKEND), name), names))
    found = [record.entry for record in Approvals(settings, BACKEND).read()]
    assert [entry.number for entry in found] == [1, 2, 3, 4]
    assert sorted(name for entry in found for name in entry.names) == names


def edit(body: bytes) -> bytes:
    """Approve another finding."""
    return body.replace(b"aws_vpc.a", b"aws_vpc.b").replace(b'"a"', b'"b"')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bodies: [edit(bodies[0]), *bodies[1:]], "000002.json: .* the entry before it is not the one"),
        (lambda bodies: [bodies[0], None, bodies[2]], "000003.json: .* entry 2 was expected here"),
        (lambda bodies: [*bodies[:2], bodies[1]], "000003.json: .* it is the entry of another place"),
        (lambda bodies: [*bodies[:2], b"{}"], "000003.json: .* it is no entry that `approve` wrote"),
    ],
    ids=["edited", "removed", "copied", "not an entry"],
)
def test_a_changed_record_is_refused(
    environment: Callable[..., Settings],
    s3: Any,
    change: Callable[[list[bytes]], list[bytes | None]],
    message: str,
) -> None:
    """No approval counts any more, and no entry can be written."""
    settings = environment()
    approvals = Approvals(settings, BACKEND)
    for name in "abc":
        write(approvals, name)
    keys = [f"{settings.environment}/approvals/{number:06d}.json" for number in (1, 2, 3)]
    bodies = [s3.get_object(Bucket=BACKEND.bucket, Key=key)["Body"].read() for key in keys]
    for key, body in zip(keys, change(bodies), strict=True):
        if body is None:
            s3.delete_object(Bucket=BACKEND.bucket, Key=key)
        else:
            s3.put_object(Bucket=BACKEND.bucket, Key=key, Body=body)
    with pytest.raises(ApprovalError, match=message):
        approvals.decide({"a"}, NOW)
    with pytest.raises(ApprovalError, match="the record of approvals was changed"):
        write(approvals, "d")


def test_a_replaced_last_entry_is_found_in_the_versions(
    environment: Callable[..., Settings], s3: Any
) -> None:
    """The chain can't show that its end is missing; the bucket's versions do."""
    settings = environment()
    approvals = Approvals(settings, BACKEND)
    write(approvals, "a")
    write(approvals, "a", verdict="refused")
    assert not list(approvals.find_overwritten())
    key = f"{settings.environment}/approvals/000002.json"
    s3.delete_object(Bucket=BACKEND.bucket, Key=key)
    assert list(approvals.find_overwritten()) == [key]


def test_with_a_key_only_signed_approvals_count(
    environment: Callable[..., Settings], endpoint_url: str, s3: Any
) -> None:
    """An approval without a signature has no effect; one with another's signature breaks the record."""
    kms = emulator.client("kms", endpoint_url=endpoint_url, region=REGION)
    mine, other = (
        kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"] for _ in "12"
    )
    write(Approvals(environment(), BACKEND), "a")
    settings = environment(kms_key_arn=mine)
    approvals = Approvals(settings, BACKEND)
    assert decides(approvals, "a") == "approval 1 is not signed with approvals.kms_key_arn"
    write(approvals, "a")
    assert decides(approvals, "a") is True
    write(Approvals(environment(kms_key_arn=other), BACKEND), "b")
    with pytest.raises(ApprovalError, match=r"000003.json: .* did not sign it"):
        approvals.decide({"b"}, NOW)
    # Somebody who may write objects, but not sign, extends an approval that is signed.
    key = f"{settings.environment}/approvals/000002.json"
    stored = json.loads(s3.get_object(Bucket=BACKEND.bucket, Key=key)["Body"].read())
    stored["entry"]["valid_until"] = "2099-01-01T00:00:00Z"
    s3.delete_object(Bucket=BACKEND.bucket, Key=key.replace("2.", "3."))
    s3.put_object(Bucket=BACKEND.bucket, Key=key, Body=json.dumps(stored))
    with pytest.raises(ApprovalError, match=r"000002.json: .* did not sign it"):
        approvals.decide({"a"}, NOW)
