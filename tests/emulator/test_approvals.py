"""The record of approvals in the emulated S3, signed by the emulated KMS. No Terraform."""

import datetime as dt
import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from deployment.apply import ApplyError, find_dangers, read_record, refuse_without_approval
from deployment.approvals import ApprovalError, Approvals
from deployment.approve import approve, show_approvals
from deployment.plan import find_plans_folder
from local_aws import emulator
from stacks.backend import Backend
from stacks.errors import UserError
from stacks.settings import Settings
from stacks.settings.load import PROJECT, load_settings
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
    assert "approval 1 lacks 1 of them" in str(decides(approvals, "a", "b", "c"))
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
        (lambda bodies: [*bodies[:2], b" " * 20_000_001], "000003.json: .* it has more than 20 MB"),
    ],
    ids=["edited", "removed", "copied", "not an entry", "too large"],
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


def test_a_deleted_last_entry_is_found_in_the_versions(environment: Callable[..., Settings], s3: Any) -> None:
    """A refusal that somebody deletes at the end of the chain does not bring the older approval back."""
    settings = environment()
    approvals = Approvals(settings, BACKEND)
    write(approvals, "a")
    write(approvals, "a", verdict="refused")
    assert decides(approvals, "a") is False
    key = f"{settings.environment}/approvals/000002.json"
    marker = s3.delete_object(Bucket=BACKEND.bucket, Key=key)["VersionId"]
    with pytest.raises(ApprovalError, match=f"overwritten or deleted: {key}"):
        approvals.decide({"a"}, NOW)
    with pytest.raises(ApprovalError, match=f"overwritten or deleted: {key}"):
        write(approvals, "a")
    # As the message says: the record is whole again without the version that was added.
    s3.delete_object(Bucket=BACKEND.bucket, Key=key, VersionId=marker)
    assert decides(approvals, "a") is False


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
    # And removes the traces.
    for kind in ("Versions", "DeleteMarkers"):
        listed = s3.list_object_versions(Bucket=BACKEND.bucket, Prefix=f"{settings.environment}/")
        for item in listed.get(kind, []):
            if not item["IsLatest"] or kind == "DeleteMarkers":
                s3.delete_object(Bucket=BACKEND.bucket, Key=item["Key"], VersionId=item["VersionId"])
    with pytest.raises(ApprovalError, match=r"000002.json: .* did not sign it"):
        approvals.decide({"a"}, NOW)


@pytest.fixture
def settings(
    environment: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The settings of an environment whose last plan has two dangerous findings, one of them in a preview."""
    monkeypatch.setattr("deployment.plan.PROJECT", tmp_path)
    settings = environment()
    stack: dict[str, Any] = {
        "configuration_sha256": "",
        "state": None,
        "plan_sha256": "",
        "has_changes": True,
    }
    stacks: dict[str, Any] = {
        "network": {**stack, "preview": False, "node_numbers": [], "dangers": {"a": "aws_vpc.a is deleted"}},
        "cluster": {**stack, "preview": True, "node_numbers": [], "dangers": {"b": "aws_vpc.b is deleted"}},
    }
    record = {"exit_status": 3, "digest": "d" * 64, "commit": "0a1b2c3", "stacks": stacks}
    folder = tmp_path / "plans" / settings.environment
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(record))
    (folder / "network.tfplan").touch()
    return settings


def approve_plan(settings: Settings, **options: Any) -> None:
    """Run `approve --yes`."""
    defaults = {"refuse": False, "digest": None, "valid_for": None, "assume_yes": True}
    approve(settings, BACKEND, **(defaults | options))


def check(settings: Settings, *, is_required: bool = True) -> None:
    """Look the last plan up in the record, as `apply` does."""
    dangers = find_dangers(read_record(find_plans_folder(settings.environment)))
    refuse_without_approval(dangers, settings, BACKEND, is_required=is_required)


def test_a_far_too_large_record_is_refused_at_once(settings: Settings) -> None:
    """`apply` would need more than 1 GiB for 100 MB of JSON."""
    file = find_plans_folder(settings.environment) / "plans.json"
    os.truncate(file, 100_000_000)
    with pytest.raises(
        ApplyError, match=r"plans\.json: has 100 MB, so `plan` did not write this file\. Plan again"
    ):
        check(settings)


def test_an_apply_needs_the_approval_of_what_it_applies(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one is required, it is looked up; without, the apply approves. The findings of a preview wait."""
    advice = f"make approve ENV={settings.environment}"
    with pytest.raises(ApplyError, match=f"1 change\\(s\\) need an approval: .* To give it: {advice}$"):
        check(settings)
    check(settings, is_required=False)
    assert "This apply approves the changes" in capsys.readouterr().out
    monkeypatch.setenv("GITLAB_USER_LOGIN", "jane")
    approve_plan(settings, digest="d" * 64, valid_for=2)
    assert "network: aws_vpc.a is deleted\ncluster: aws_vpc.b is deleted\n" in capsys.readouterr().out
    check(settings)
    assert "arn:aws:iam::000000000000:root (GitLab: jane), entry 1\n" in capsys.readouterr().out
    (record,) = Approvals(settings, BACKEND).read()
    assert record.entry.valid_until - record.entry.time == dt.timedelta(days=2)
    show_approvals(settings, BACKEND)
    assert "unchanged, number of entries: 1\n" in capsys.readouterr().out


def test_a_refusal_stops_every_apply(settings: Settings) -> None:
    """It counts even where no approval is required; the message says how to lift it."""
    approve_plan(settings)
    approve_plan(settings, refuse=True)
    with pytest.raises(
        ApplyError, match=r"refused on .* entry 2\. A later approval lifts that: make approve"
    ):
        check(settings, is_required=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"digest": "e"}, "--digest: e: the plan has ddd"),
        ({"valid_for": 8}, "--valid-for: 8: refused. Accepted: 1 to 7, the days of approvals.valid_days"),
        ({"assume_yes": False}, "You did not say yes. Nothing is written"),
    ],
)
def test_a_wrong_approval_is_not_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    """Another plan than the one that was read, too many days, or another answer than yes."""
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with pytest.raises(UserError, match=message):
        approve_plan(settings, **options)
    assert not Approvals(settings, BACKEND).read()


def test_the_record_is_shown_with_what_was_replaced(settings: Settings, s3: Any) -> None:
    """`approvals` ends with an error if an entry was overwritten, though the chain still fits."""
    approve_plan(settings)
    key = f"{settings.environment}/approvals/000001.json"
    body = s3.get_object(Bucket=BACKEND.bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=BACKEND.bucket, Key=key, Body=body.replace(b"0a1b2c3", b"fffffff"))
    with pytest.raises(ApprovalError, match=r"overwritten or deleted: .*000001.json"):
        show_approvals(settings, BACKEND)


def documented_policies() -> Iterator[dict[str, Any]]:
    """Yield the policies in docs/operations.md of the section about approvals."""
    text = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.partition("\n### Approvals\n")[2].partition("\n## ")[0]
    for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL):
        yield json.loads(block.replace("cicd-terraform-state", BACKEND.bucket))


def test_the_documented_policies_separate_approving_from_applying(endpoint_url: str) -> None:
    """An approver adds entries and can't overwrite or delete any; the one who applies only reads them."""
    iam = emulator.client("iam", endpoint_url=endpoint_url, region=REGION)
    clients = []
    for name, policy in zip(("approver", "applier"), documented_policies(), strict=True):
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="approvals", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        clients.append(boto3.client("s3", endpoint_url=endpoint_url, region_name=REGION, **keys))
    approver, applier = clients
    entry = {"Bucket": BACKEND.bucket, "Key": "prod/approvals/000001.json"}
    assert not refused(approver.put_object, **entry, Body=b"1", IfNoneMatch="*")
    for client in clients:
        assert client.get_object(**entry)["Body"].read() == b"1"
        assert client.list_objects_v2(Bucket=BACKEND.bucket, Prefix="prod/approvals/")["KeyCount"] == 1
        assert refused(client.put_object, **entry, Body=b"2")
        assert refused(client.delete_object, **entry)
        assert refused(client.put_object, Bucket=BACKEND.bucket, Key="prod/network.tfstate", Body=b"2")
    assert refused(applier.put_object, **entry | {"Key": "prod/approvals/000002.json"}, IfNoneMatch="*")


def refused(call: Callable[..., Any], **arguments: Any) -> bool:
    """Return whether AWS refuses a call because the permission is missing."""
    try:
        call(**arguments)
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "AccessDenied")
    return False
