"""Created resources that are a part of another created resource, such as the policies of a role.

The report's summary has one line for a resource with its parts, so that a first deployment can be read.
"""

import re
from collections.abc import Iterable

from plan_review.plan import Change

# By type: the attribute that refers to the resource that it is a part of.
_PART_OF: dict[str, str] = {
    "aws_ecr_repository_policy": "repository",
    "aws_eks_access_entry": "principal_arn",
    "aws_eks_access_policy_association": "principal_arn",
    "aws_eks_pod_identity_association": "role_arn",
    "aws_iam_access_key": "user",
    "aws_iam_group_policy": "group",
    "aws_iam_group_policy_attachment": "group",
    "aws_iam_instance_profile": "role",
    "aws_iam_role_policy": "role",
    "aws_iam_role_policy_attachment": "role",
    "aws_iam_user_group_membership": "user",
    "aws_iam_user_login_profile": "user",
    "aws_iam_user_policy": "user",
    "aws_iam_user_policy_attachment": "user",
    "aws_kms_grant": "key_id",
    "aws_kms_key_policy": "key_id",
    "aws_lambda_permission": "function_name",
    "aws_secretsmanager_secret_policy": "secret_arn",
    "aws_sns_topic_policy": "arn",
    "aws_sqs_queue_policy": "queue_url",
}
# aws_s3_bucket_policy, aws_s3_bucket_acl and so on.
_PART_OF_BUCKET = re.compile(r"aws_s3_bucket_\w+$")
_REFERENCE = re.compile(r"\$\{([\w-]+\.[\w-]+)")
_INDEX = re.compile(r'\[(?:"(?:[^"\\]|\\.)*"|\d+)\]')
_MODULES = re.compile(r"(?:module\.[\w-]+\.)*")


def find_wholes(changes: Iterable[Change]) -> dict[str, str]:
    """Return for each created part the address of the created resource that it belongs to.

    A part of a part belongs to the same resource. Instances of one resource (`count`, `for_each`) count as
    one, because the configuration in a plan has no instances.
    """
    created = [change for change in changes if change.action == "create"]
    known: dict[str, str] = {}
    for change in created:
        known.setdefault(_INDEX.sub("", change.address), change.address)
    direct = {}
    for change in created:
        attribute = "bucket" if _PART_OF_BUCKET.match(change.type) else _PART_OF.get(change.type, "")
        found = _REFERENCE.match((change.configured or {}).get(attribute, ""))
        address = _INDEX.sub("", change.address)
        whole = _MODULES.match(address)[0] + found[1] if found else ""  # type: ignore[index]  # it always matches
        if whole in known and whole != address:
            direct[change.address] = known[whole]
    return {part: _find_root(part, direct) for part in direct}


def _find_root(address: str, direct: dict[str, str]) -> str:
    seen = {address}
    while (address := direct.get(address, address)) not in seen:
        seen.add(address)
    return address
