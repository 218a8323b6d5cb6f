"""The record of approvals: who approved or refused which findings, beside the states in the state bucket.

Each entry is an object of its own, `<environment>/approvals/000001.json` and so on. S3 creates it only if
there is none yet, so two writers lose no entry, and whoever may write need not be able to overwrite. An
entry has the checksum of the entry before it, and a signature if the settings name a KMS key.
Not here: the commands (approve.py, apply.py) and the digests of findings (plan_review/digest.py).
"""

import base64
import binascii
import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError
from pydantic import AwareDatetime, BaseModel, ValidationError

from deployment.aws import create_client
from plan_review.values import escape_invisible
from stacks.backend import Backend
from stacks.errors import UserError
from stacks.settings import Settings

# The one algorithm of a key of the spec ECC_NIST_P256 (AWS KMS, "Asymmetric key specs").
SIGNING_ALGORITHM = "ECDSA_SHA_256"
_MAX_ENTRY_BYTES = 20_000_000  # it has the findings of a plan, as plans.json
_ATTEMPTS = 5
# S3, "Conditional writes": another writer was first, or writes at the same time.
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}


class ApprovalError(UserError):
    """The record can't be used, or it does not allow what was asked; the message says why."""


class Entry(BaseModel, extra="forbid", strict=True, frozen=True):
    """One entry of the record.

    Attributes:
        number: Its number, from 1.
        environment: The environment; an entry of another one does not count.
        previous: SHA-256 of the object before it; empty for the first one.
        verdict: Whether the findings are approved or refused.
        time: When, by the clock of the machine.
        valid_until: The end of an approval.
        digest: The digest that the report shows.
        dangers: By stack: the digest of each finding, with the finding in words.
        commit: The commit of the plan.
        aws_arn: The principal of the credentials, as STS told it.
        gitlab_user: The user of the GitLab job, as the job's variables told it; empty elsewhere.

    """

    number: int
    environment: str
    previous: str
    verdict: Literal["approved", "refused"]
    time: AwareDatetime
    valid_until: AwareDatetime
    digest: str
    dangers: dict[str, dict[str, str]]
    commit: str
    aws_arn: str
    gitlab_user: str

    @property
    def names(self) -> set[str]:
        """The digests of its findings."""
        return {name for found in self.dangers.values() for name in found}

    @property
    def who(self) -> str:
        """The principal, and the user of GitLab, if there is one; safe to print."""
        user = f" (GitLab: {self.gitlab_user})" if self.gitlab_user else ""
        return escape_invisible(f"{self.aws_arn}{user}")


class _Stored(BaseModel, extra="forbid", strict=True, frozen=True):
    """An object of the record."""

    entry: Entry
    signature: str


@dataclass(frozen=True)
class Record:
    """A stored entry.

    Attributes:
        entry: The entry.
        signature: The signature, in base64; empty if there is none.
        signed: SHA-256 of the entry, which the signature is about.
        sha256: SHA-256 of the whole object.

    """

    entry: Entry
    signature: str
    signed: bytes
    sha256: str


@dataclass(frozen=True)
class Decision:
    """The entry that decides about some findings, if there is one; else the reason why none does."""

    record: Record | None
    reason: str = ""

    @property
    def is_approval(self) -> bool:
        """Whether the findings are approved."""
        return self.record is not None and self.record.entry.verdict == "approved"

    @property
    def is_refusal(self) -> bool:
        """Whether the findings are refused."""
        return self.record is not None and self.record.entry.verdict == "refused"


class Approvals:
    """The record of one environment."""

    def __init__(self, settings: Settings, backend: Backend) -> None:
        self._settings = settings.approvals
        self._aws = settings.aws
        self._environment = settings.environment
        self._bucket = backend.bucket
        self._prefix = f"{settings.environment}/approvals/"
        self._s3 = create_client("s3", settings.aws, region=backend.region)

    @property
    def place(self) -> str:
        """Where the record is."""
        return f"s3://{self._bucket}/{self._prefix}"

    def read(self) -> list[Record]:
        """Return the entries in their order.

        Raises:
            ApprovalError: If an entry is missing, or does not follow the one before it.

        """
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        records: list[Record] = []
        for number, key in enumerate(sorted(keys), start=1):
            if key != self._get_key(number):
                raise self._break(key, f"entry {number} was expected here")
            body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read(_MAX_ENTRY_BYTES + 1)
            if len(body) > _MAX_ENTRY_BYTES:
                raise self._break(key, f"it has more than {_MAX_ENTRY_BYTES // 10**6} MB")
            record = self._parse(key, body)
            if record.entry.number != number or record.entry.environment != self._environment:
                raise self._break(key, "it is the entry of another place")
            if record.entry.previous != (records[-1].sha256 if records else ""):
                raise self._break(key, "the entry before it is not the one that it was written after")
            records.append(record)
        return records

    def append(self, fields: Mapping[str, Any]) -> Record:
        """Write an entry after the last one, and return it.

        Args:
            fields: The fields of the entry but number, environment and previous.

        Raises:
            ApprovalError: If the record was changed, or if other writers are always first.

        """
        for _ in range(_ATTEMPTS):
            records = self.read()
            self.refuse_overwritten()
            entry = Entry(
                number=len(records) + 1,
                environment=self._environment,
                previous=records[-1].sha256 if records else "",
                **fields,
            )
            content = entry.model_dump(mode="json")
            stored = {"entry": content, "signature": self._sign(_hash_entry(content))}
            body = (json.dumps(stored, indent=2) + "\n").encode()
            key = self._get_key(entry.number)
            try:
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] not in _TAKEN:
                    raise
                continue
            return self._parse(key, body)
        raise ApprovalError(f"{self.place}: other entries are written all the time. Try again")

    def decide(self, dangers: set[str], now: dt.datetime) -> Decision:
        """Return the newest entry that decides about findings.

        An approval decides if it has all of them, counts now, and is signed where the settings name a key.
        A refusal decides if it has one of them.

        Raises:
            ApprovalError: If the record was changed, or a signature is wrong.

        """
        reason = f"{self.place} has no approval of them"
        records = self.read()
        self.refuse_overwritten()
        for record in reversed(records):
            entry = record.entry
            if entry.verdict == "refused" and entry.names & dangers:
                return Decision(record)
            if entry.verdict == "refused" or not entry.names & dangers:
                continue
            missing = len(dangers - entry.names)
            if missing:
                reason = f"approval {entry.number} lacks {missing} of them, or has them with other values"
            elif entry.valid_until <= now:
                reason = f"approval {entry.number} ended on {entry.valid_until:%Y-%m-%d %H:%M} UTC"
            elif not self.is_signed(record):
                reason = f"approval {entry.number} is not signed with approvals.kms_key_arn"
            else:
                return Decision(record)
        return Decision(None, reason)

    def is_signed(self, record: Record) -> bool:
        """Return whether an entry is signed, if the settings name a key.

        Raises:
            ApprovalError: If the signature is wrong.

        """
        if self._settings.kms_key_arn is None:
            return True
        if not record.signature:
            return False
        kms = self._create_kms()
        try:
            kms.verify(
                KeyId=self._settings.kms_key_arn,
                Message=record.signed,
                MessageType="DIGEST",
                Signature=base64.b64decode(record.signature, validate=True),
                SigningAlgorithm=SIGNING_ALGORITHM,
            )
        except (kms.exceptions.KMSInvalidSignatureException, binascii.Error):
            key = self._get_key(record.entry.number)
            raise self._break(key, "approvals.kms_key_arn did not sign it") from None
        return True

    def refuse_overwritten(self) -> None:
        """Check that no entry was overwritten or deleted, as far as S3 still has older versions.

        The chain alone can't show that its end was deleted.

        Raises:
            ApprovalError: If one was.

        """
        pages = self._s3.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        changed = {
            item["Key"]
            for page in pages
            for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            # An older version, or the marker of a deletion: an object that was written once has neither.
            if not item["IsLatest"] or "ETag" not in item
        }
        if changed:
            raise ApprovalError(
                f"{self.place}: the record of approvals was changed: overwritten or deleted: "
                f"{', '.join(sorted(changed))}. Find out who; no approval counts until the versions of these "
                "objects that were added later are deleted"
            )

    def _sign(self, digest: bytes) -> str:
        if self._settings.kms_key_arn is None:
            return ""
        signature = self._create_kms().sign(
            KeyId=self._settings.kms_key_arn,
            Message=digest,
            MessageType="DIGEST",
            SigningAlgorithm=SIGNING_ALGORITHM,
        )["Signature"]
        return base64.b64encode(signature).decode()

    def _create_kms(self) -> Any:
        return create_client("kms", self._aws, region=self._settings.kms_region)

    def _get_key(self, number: int) -> str:
        return f"{self._prefix}{number:06d}.json"

    def _parse(self, key: str, body: bytes) -> Record:
        try:
            stored = _Stored.model_validate_json(body)
        except ValidationError:
            raise self._break(key, "it is no entry that `approve` wrote") from None
        signed = _hash_entry(json.loads(body)["entry"])
        return Record(stored.entry, stored.signature, signed, hashlib.sha256(body).hexdigest())

    def _break(self, key: str, problem: str) -> ApprovalError:
        return ApprovalError(
            f"s3://{self._bucket}/{key}: the record of approvals was changed: {problem}. Find out who; "
            "no approval counts until the record is restored from the object's older versions"
        )


def _hash_entry(content: Mapping[str, Any]) -> bytes:
    """Return the SHA-256 of an entry as canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()


def describe(records: Sequence[Record]) -> Iterator[str]:
    """Yield a line for each entry."""
    for record in records:
        entry = record.entry
        until = f" until {entry.valid_until:%Y-%m-%d %H:%M}" if entry.verdict == "approved" else ""
        signed = "signed" if record.signature else "not signed"
        stacks = ", ".join(stack for stack, found in entry.dangers.items() if found)
        yield escape_invisible(
            f"{entry.number}  {entry.time:%Y-%m-%d %H:%M}  {entry.verdict}{until}  {entry.digest[:12]}  "
            f"{stacks}  {entry.who}  {signed}"
        )
