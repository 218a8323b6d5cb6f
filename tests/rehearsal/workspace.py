"""A Terraform folder, and the record of the stand-ins that it uses."""

import json
import subprocess
from pathlib import Path
from typing import Any

from local_aws import rehearsal

ACCESS = {"host": "https://localhost:16443", "token": "cluster-token"}


class Workspace:
    """One Terraform configuration with its state and its record."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.record = folder / "record.json"
        self.environment = environment

    def write(self, resources: dict[str, Any], access: dict[str, Any] | None = None, **more: Any) -> None:
        """Write a configuration with both providers and these resources, as cdktf would synthesize it."""
        access = ACCESS if access is None else access
        required = {name: {"source": f"hashicorp/{name}"} for name in ("helm", "kubernetes")}
        document = {
            "terraform": {"required_providers": required},
            "provider": {"helm": [{"kubernetes": access}], "kubernetes": [access]},
            "resource": resources,
            **more,
        }
        (self.folder / "main.tf.json").write_text(json.dumps(document))
        if not (self.folder / ".terraform").exists():
            self.terraform("init")

    def terraform(self, *arguments: str, fails: bool = False) -> str:
        """Run Terraform, and return its output and errors on one line."""
        done = subprocess.run(
            ["terraform", arguments[0], "-no-color", *arguments[1:]],
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
        )
        printed = " ".join((done.stdout + done.stderr).replace("│", " ").split())
        assert (done.returncode != 0) == fails, printed
        return printed

    def apply(self) -> str:
        """Apply without a question, and return the output."""
        return self.terraform("apply", "-auto-approve")

    def plan(self) -> dict[str, Any]:
        """Return the planned changes by address, without those that change nothing."""
        self.terraform("plan", "-out=plan")
        shown = subprocess.check_output(
            ["terraform", "show", "-json", "plan"], cwd=self.folder, env=self.environment
        )
        changes = {item["address"]: item["change"] for item in json.loads(shown)["resource_changes"]}
        return {address: change for address, change in changes.items() if change["actions"] != ["no-op"]}

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what Terraform's state has of each resource, by address."""
        document = json.loads((self.folder / "terraform.tfstate").read_text())
        return {f"{item['type']}.{item['name']}": item["instances"][0] for item in document["resources"]}

    def knows_identities(self) -> bool:
        """Say whether this Terraform is 1.12 or newer, which stores resource identities."""
        shown = json.loads(subprocess.check_output(["terraform", "version", "-json"], env=self.environment))
        major, minor, *_ = map(int, shown["terraform_version"].partition("-")[0].split("."))
        return (major, minor) >= (1, 12)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of each resource in Terraform's state, by address."""
        return {address: instance["attributes"] for address, instance in self.state().items()}

    def recorded(self) -> rehearsal.record.Objects:
        """Return the objects of the record."""
        return rehearsal.read(self.record)
