"""Find runner tokens that are missing in SSM, before Terraform fails on them."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from deployment.aws import create_client
from stacks.errors import UserError
from stacks.settings import Settings

MAX_NAMES = 10  # SSM, "GetParameters"


class TokenError(UserError):
    """A fleet has no token in SSM; the message has the commands that store one."""


def refuse_missing_tokens(settings: Settings) -> None:
    """Check that every fleet's token is in SSM as a SecureString, without reading the token.

    Without the permission for this check it says nothing; Terraform then finds a missing token.

    Raises:
        TokenError: If tokens are missing, or stored in another type.

    """
    ssm = create_client("ssm", settings.aws, region=settings.aws.region)
    names = [fleet.token_parameter for fleet in settings.runners.values()]
    try:
        types = _read_types(ssm, names)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDeniedException", "AccessDenied"):
            return
        raise
    mistakes = list(describe_mistakes(settings, types))
    if mistakes:
        raise TokenError("\n".join(mistakes))


def _read_types(ssm: Any, names: list[str]) -> dict[str, str]:
    """Return the type of each parameter that exists, by name."""
    types: dict[str, str] = {}
    for start in range(0, len(names), MAX_NAMES):
        found = ssm.get_parameters(Names=names[start : start + MAX_NAMES])["Parameters"]
        types |= {item["Name"]: item["Type"] for item in found}
    return types


def describe_mistakes(settings: Settings, types: dict[str, str]) -> Iterator[str]:
    """Yield a line for each fleet without a token, then the commands that mend it."""
    commands = []
    region = settings.aws.region
    for fleet, runner in settings.runners.items():
        name = runner.token_parameter
        path = f"runners.{fleet}.token_parameter: {name}"
        if name not in types:
            yield f"{path}: there is no such parameter in SSM in {region}"
        elif types[name] != "SecureString":
            yield f"{path}: is of the type {types[name]}. Accepted: SecureString"
            commands.append(f"aws ssm delete-parameter --region {region} --name {name}")
        else:
            continue
        commands += [
            "file=$(mktemp)",
            'read -rs token && printf %s "$token" > "$file"; unset token   # paste, then Enter',
            f'aws ssm put-parameter --region {region} --type SecureString --name {name} --value "file://$file"',
            'rm "$file"',
        ]
    if commands and settings.aws.is_local:
        for command in commands:
            if "delete-parameter" in command:
                yield f"Remove it: .venv/bin/python -m local_aws run {command}"
        yield "Store demo tokens: make seed"
    elif commands:
        yield "Store each token from a file, never on the command line:"
        yield from (f"  {command}" for command in commands)
