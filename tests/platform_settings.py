"""The settings that a platform team adds: rules of its accounts, keys, logs and private ways to AWS."""

from typing import Any

BOUNDARY = "arn:aws:iam::aws:policy/PowerUserAccess"

PLATFORM_SETTINGS: dict[str, Any] = {
    "aws.permissions_boundary_arn": BOUNDARY,
    "aws.role_path": "/cicd/",
}
