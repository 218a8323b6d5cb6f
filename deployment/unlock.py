"""Remove the lock that a killed Terraform has left."""

import json
from typing import Any

from deployment.aws import create_client, refuse_other_account
from deployment.questions import AnswerError, ask
from deployment.terraform import synthesize
from stacks.backend import state_key
from stacks.settings import Settings


def unlock(settings: Settings, backend: dict[str, Any], name: str, *, assume_yes: bool) -> None:
    """Show who holds the lock of a stack's state, ask, and remove the lock.

    Raises:
        AnswerError: If the user says no.

    """
    refuse_other_account(settings.aws)
    s3 = create_client("s3", settings.aws, region=backend["region"])
    # Terraform, "Backend Type: s3", "State Locking".
    key = f"{state_key(settings.environment, name)}.tflock"
    try:
        lock = json.loads(s3.get_object(Bucket=backend["bucket"], Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        print(f"{name}: not locked")
        return
    print(f"{name}: locked by {lock['Who']} since {lock['Created']}, {lock['Operation']}, ID {lock['ID']}")
    print("If that Terraform still runs, wait: without its lock, two runs can damage the state.")
    if not assume_yes and ask("Remove the lock? [yes/no]") != "yes":
        raise AnswerError("You did not say yes. The lock stays")
    stack = next(stack for stack in synthesize(settings.environment) if stack.name == name)
    stack.init()
    stack.capture("force-unlock", "-force", lock["ID"])
    print(f"{name}: unlocked. Plan again: an interrupted apply may have done a part of its changes")
