"""Remove the locks of Terraform processes that were killed, from the emulated AWS."""

from pathlib import Path
from typing import Any

from deployment.locks import read_lock
from stacks.backend import find_output_folder

PROCESSES = Path("/proc")


def free_dead_locks(s3: Any, bucket: str, environment: str) -> None:
    """Remove the locks of the environment's states, unless a Terraform of this project runs.

    This is right only on the emulator: only this machine uses it, so a lock without a process here is dead.
    """
    # Terraform, "Backend Type: s3", "State Locking".
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{environment}/").get("Contents", [])
    keys = [item["Key"] for item in listed if item["Key"].endswith(".tflock")]
    if not keys or terraform_may_run(find_output_folder()):
        return
    for key in keys:
        lock = read_lock(s3, bucket, key)
        s3.delete_object(Bucket=bucket, Key=key)
        if lock:
            print(f"{key}: removed, a lock of {lock.since} whose Terraform was killed")


def terraform_may_run(folder: Path) -> bool:
    """Return whether a Terraform works in a synthesized stack's folder; true if we can't know."""
    if not PROCESSES.is_dir():  # not Linux
        return True
    for process in PROCESSES.glob("[0-9]*"):
        try:
            is_terraform = (process / "comm").read_text().strip() == "terraform"
            if is_terraform and folder in (process / "cwd").resolve(strict=True).parents:
                return True
        except OSError:
            continue  # the process has just ended, or belongs to somebody else
    return False
