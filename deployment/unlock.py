"""Remove the lock that a killed Terraform has left."""

from deployment.aws import create_client, refuse_other_account
from deployment.locks import lock_key, read_lock
from deployment.questions import AnswerError, ask
from deployment.terraform import refuse_running
from stacks.backend import Backend, find_output_folder
from stacks.settings import Settings


def unlock(settings: Settings, backend: Backend, name: str, *, assume_yes: bool) -> None:
    """Show who holds the lock of a stack's state, ask, and remove the lock.

    Without Terraform: `terraform init` and `terraform force-unlock` fail on a damaged state.

    Raises:
        AnswerError: If the user says no, or if somebody else has taken the lock meanwhile.
        ClientError: If the lock may not be read.
        TerraformError: If a Terraform still runs in the stack's folder.

    """
    refuse_other_account(settings.aws)
    s3 = create_client("s3", settings.aws, region=backend.region)
    key = lock_key(settings.environment, name)
    lock = read_lock(s3, backend.bucket, key)
    if lock is None:
        print(f"{name}: not locked")
        return
    print(f"{name}: {lock}, ID {lock.id}")
    refuse_running(find_output_folder() / "stacks" / name, "Nothing was removed")
    print("If that Terraform still runs, wait: without its lock, two runs can damage the state.")
    if not assume_yes and ask("Remove the lock? [yes/no]") != "yes":
        raise AnswerError("You did not say yes. The lock stays")
    if read_lock(s3, backend.bucket, key) != lock:
        raise AnswerError(f"{name}: the lock has changed meanwhile. Nothing was removed")
    s3.delete_object(Bucket=backend.bucket, Key=key)
    print(f"{name}: unlocked. Plan again: an interrupted apply may have done a part of its changes")
