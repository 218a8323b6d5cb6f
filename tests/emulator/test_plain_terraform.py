"""The exit to plain Terraform: the synthesized JSON alone, without Python, Node.js and this project."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from local_aws import provider_mirror
from stacks import STACKS
from tests.emulator.project import COUNTING_TERRAFORM, Project

# Terraform runs a `local-exec` with sh; the one of an association calls sleep.
PROGRAMS = ("terraform", "sh", "sleep")

Terraform = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def terraform(deployed: Project, tmp_path: Path) -> Terraform:
    """Run a command of the real Terraform on a stack's JSON in a folder of its own.

    No other program than PROGRAMS is on the PATH. For the network Terraform installs and starts the AWS
    provider itself. For the other stacks the variables stay that name the stand-in providers.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    search = [
        folder
        for folder in deployed.environment["PATH"].split(":")
        if Path(folder).resolve() != COUNTING_TERRAFORM.parent
    ]
    for name in PROGRAMS:
        found = shutil.which(name, path=":".join(search))
        assert found
        (programs / name).symlink_to(found)
    environment = {**deployed.environment, "PATH": str(programs)}
    assert not any(shutil.which(name, path=str(programs)) for name in ("python", "python3", "node"))

    def run(stack: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "stacks" / stack
        if not (folder / "cdk.tf.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(deployed.stack_folder(stack) / "cdk.tf.json", folder)
        variables = environment
        if stack == "network":
            provider_mirror.prepare(tmp_path)
            variables = {**environment, "TF_REATTACH_PROVIDERS": "{}"}
        command = [str(programs / "terraform"), *arguments, "-input=false", "-no-color"]
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("stack", STACKS)
def test_a_plan_of_the_json_alone_is_empty(terraform: Terraform, stack: str) -> None:
    """Terraform finds state and remote state by the JSON, has nothing to do, and no check fails."""
    initialized = terraform(stack, "init")
    assert initialized.returncode == 0, initialized.stdout + initialized.stderr
    plan = terraform(stack, "plan", "-detailed-exitcode")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert "No changes." in plan.stdout
    assert "Check block assertion failed" not in plan.stdout + plan.stderr


@pytest.mark.long
def test_an_apply_of_the_json_alone_waits_for_the_role_of_a_pod(
    deployed: Project, terraform: Terraform
) -> None:
    """A `local-exec` needs no more than a shell: a new association is complete after its wait."""
    stack = json.loads((deployed.stack_folder("workloads") / "cdk.tf.json").read_text())
    associations = stack["resource"]["aws_eks_pod_identity_association"]
    (name,) = (name for name, item in associations.items() if item["namespace"] == "kube-system")
    address = f"aws_eks_pod_identity_association.{name}"
    terraform("workloads", "init")
    applied = terraform("workloads", "apply", "-auto-approve", f"-replace={address}")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert f'{address} (local-exec): Executing: ["/bin/sh" "-c" "sleep 30"]' in applied.stdout
    assert "1 added, 0 changed, 1 destroyed" in applied.stdout
