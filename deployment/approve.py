"""Approve or refuse the findings of the last plan, and show the record of approvals."""

import datetime as dt
import os

from deployment.apply import read_record
from deployment.approvals import ApprovalError, Approvals, describe
from deployment.aws import create_client
from deployment.plan import find_plans_folder, shorten_path
from deployment.questions import AnswerError, ask
from stacks.backend import Backend
from stacks.settings import Settings

# GitLab, "Predefined CI/CD variables": who started the job. Any program can set it.
_GITLAB_USER = "GITLAB_USER_LOGIN"


def approve(
    settings: Settings,
    backend: Backend,
    *,
    refuse: bool,
    digest: str | None,
    valid_for: int | None,
    assume_yes: bool,
) -> None:
    """Write down that the findings of the last plan are approved, or refused.

    Args:
        settings: The environment's settings.
        backend: The state bucket.
        refuse: Whether to refuse them.
        digest: The digest that the plan must have; None if any is right.
        valid_for: The days for which an approval counts; None for the settings' number.
        assume_yes: Whether to write without a question.

    Raises:
        ApplyError: If there is no plan.
        ApprovalError: If the digest or the days are wrong, or if the record can't be written.
        AnswerError: If the user says no.

    """
    folder = find_plans_folder(settings.environment)
    planned = read_record(folder)
    report = f"{shorten_path(folder)}/report.md"
    days = valid_for or settings.approvals.valid_days
    if days > settings.approvals.valid_days:
        raise ApprovalError(
            f"--valid-for: {days}: refused. Accepted: 1 to {settings.approvals.valid_days}, the days of "
            "approvals.valid_days"
        )
    if digest and digest != planned.digest:
        raise ApprovalError(
            f"--digest: {digest}: the plan has {planned.digest or 'no finding that needs an approval'}. Read "
            f"{report} again"
        )
    if not planned.digest:
        print(f"{report}: no change needs an approval")
        return
    dangers = {name: stack.dangers for name, stack in planned.stacks.items()}
    for name, found in dangers.items():
        for words in found.values():
            print(f"{name}: {words}")
    verb = "Refuse" if refuse else "Approve"
    until = "" if refuse else f" for {days} day(s)"
    print(f"Digest: {planned.digest}", flush=True)
    if not assume_yes and ask(f"{verb} these changes of {settings.environment}{until}? [yes/no]") != "yes":
        raise AnswerError("You did not say yes. Nothing is written")
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    identity = create_client("sts", settings.aws, region=settings.aws.region).get_caller_identity()
    approvals = Approvals(settings, backend)
    record = approvals.append(
        {
            "verdict": "refused" if refuse else "approved",
            "time": now,
            "valid_until": now if refuse else now + dt.timedelta(days=days),
            "digest": planned.digest,
            "dangers": dangers,
            "commit": planned.commit,
            "aws_arn": identity["Arn"],
            "gitlab_user": os.environ.get(_GITLAB_USER, ""),
        }
    )
    print(f"{approvals.place}: entry {record.entry.number}: {record.entry.verdict} by {record.entry.who}")


def show_approvals(settings: Settings, backend: Backend) -> None:
    """Print the record of approvals, and verify its chain, its signatures and that no entry was replaced.

    Raises:
        ApprovalError: If an entry was changed, replaced or removed.

    """
    approvals = Approvals(settings, backend)
    records = approvals.read()
    for line in describe(records):
        print(line)
    unsigned = [record.entry.number for record in records if not approvals.is_signed(record)]
    approvals.refuse_overwritten()
    if unsigned:
        print(f"Not signed with approvals.kms_key_arn, and without effect: {', '.join(map(str, unsigned))}")
    print(f"{approvals.place}: unchanged, number of entries: {len(records)}")
