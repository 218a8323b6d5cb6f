"""A copy of the project that a test deploys, and the ways to look at what came of it."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deployment import state_bucket
from deployment.terraform import SYNTHESIS, note_synthesis
from local_aws import emulator, rehearsal
from stacks.backend import forget_other_environments, read_backend, state_key
from stacks.settings import Settings
from stacks.settings.load import PROJECT, load_settings
from tests.emulator import terraform_commands
from tests.environments import change_settings, synthesize, write_document
from tests.processes import find_processes, started

COUNTING_TERRAFORM = Path(__file__).with_name("terraform")
NOT_COPIED = (".git", ".venv", ".work", "node_modules", "cdktf.out", ".*_cache", "__pycache__")


@contextmanager
def terraform_environment(aws_reattach: dict[str, Any], record: Path) -> Iterator[dict[str, str]]:
    """Serve the stand-in providers; yield the variables with which Terraform finds all its providers."""
    with rehearsal.running(record) as stand_ins:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({**stand_ins, **aws_reattach})}


def inherited_environment() -> dict[str, str]:
    """Return this program's environment variables without any AWS credentials and settings of the user."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    inherited["PATH"] = f"{COUNTING_TERRAFORM.parent}{os.pathsep}{inherited['PATH']}"
    inherited["TERRAFORM_COMMANDS"] = str(terraform_commands.FILE)
    inherited["TERRAFORM_COMMANDS_PYTHON"] = sys.executable
    if not Path(inherited.get("TF_CLI_CONFIG_FILE", __file__)).exists():
        del inherited["TF_CLI_CONFIG_FILE"]  # Terraform warns of a missing one at each command
    return inherited


def copy_project(folder: Path) -> None:
    """Copy the project without what its tools have made, and link the tools themselves."""
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for name in (".venv", "node_modules"):
        (folder / name).symlink_to(PROJECT / name)


@dataclass(frozen=True)
class Project:
    """A deployed copy of the project, and the ways to look at it."""

    folder: Path
    settings: Settings
    state_bucket: str
    token: str
    record: Path
    environment: dict[str, str] = field(repr=False)

    def run(self, *command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command as a user would, and keep what it prints as a log beside the project."""
        done = subprocess.run(
            command,
            cwd=folder or self.folder,
            env={**self.environment, "PYTEST_CURRENT_TEST": os.environ.get("PYTEST_CURRENT_TEST", "")},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=600,
            check=False,
        )
        with (self.folder / "commands.log").open("a") as log:
            log.write(f"$ {command}\n{done.stdout}{done.stderr}")
        return done

    def deployment(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `python -m deployment`, as a pipeline does."""
        return self.run(".venv/bin/python", "-m", "deployment", command, *arguments)

    @contextmanager
    def started(self, command: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command of `python -m deployment` in a process group of its own.

        Neither the group nor a Terraform of this copy of the project outlives the block.
        """
        words = (".venv/bin/python", "-m", "deployment", command, *arguments)
        try:
            with started(*words, folder=self.folder, environment=self.environment) as process:
                yield process
        finally:
            for pid in find_processes(self.folder, "terraform"):  # it has a session of its own
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def count_objects(self) -> dict[str, int]:
        """Return the numbers of some objects in the account that a second deployment would double."""
        eks, ec2 = self.client("eks"), self.client("ec2")
        return {
            "VPCs": len(ec2.describe_vpcs()["Vpcs"]),
            "subnets": len(ec2.describe_subnets()["Subnets"]),
            "launch templates": len(ec2.describe_launch_templates()["LaunchTemplates"]),
            "clusters": len(eks.list_clusters()["clusters"]),
            "roles": len(self.client("iam").list_roles()["Roles"]),
        }

    @property
    def plans(self) -> Path:
        """Return the folder with the files of the environment's last plan."""
        return self.folder / "plans" / self.environment["ENV"]

    def plans_record(self) -> dict[str, Any]:
        """Return the record that the environment's last plan has left."""
        found: dict[str, Any] = json.loads((self.plans / "plans.json").read_text())
        return found

    def cdktf(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run cdktf in the project's folder."""
        return self.run(
            "node_modules/.bin/cdktf", *arguments, "--output", self._output, "--skip-provider-lock"
        )

    def terraform(self, stack: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Terraform in a synthesized stack's folder, as people who review plans do."""
        return self.run("terraform", *arguments, folder=self.stack_folder(stack))

    def apply(self, stack: str) -> None:
        """Apply a stack with plain Terraform, from `init` on."""
        for command in (("init",), ("apply", "-auto-approve")):
            done = self.terraform(stack, *command, "-input=false", "-no-color")
            assert done.returncode == 0, done.stdout + done.stderr

    def destroy(self, stack: str) -> None:
        """Destroy a stack with plain Terraform."""
        done = self.terraform(stack, "destroy", "-auto-approve", "-input=false", "-no-color")
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def changed(self, changes: dict[str, Any]) -> Iterator[None]:
        """Change settings of the environment, by their paths, and synthesize; the block's end undoes it."""
        output = self.folder / self._output
        written = (output / "manifest.json", output / SYNTHESIS, *output.glob("stacks/*/cdk.tf.json"))
        before = {file: file.read_bytes() for file in (self._file, *written) if file.exists()}
        try:
            write_document(_changed(self._file.read_text(), changes), self._file)
            self.synthesize()
            yield
        finally:
            for file, content in before.items():
                file.write_bytes(content)
            forget_other_environments(output, is_local=True)  # the changes may be of the backend

    def another(self, name: str, changes: dict[str, Any]) -> "Project":
        """Return another environment of the same project, synthesized to a folder of its own.

        Args:
            name: The environment's name.
            changes: In what its settings differ from this one's, by their paths.

        """
        return self._called(name, changes, CDKTF_OUTDIR=f".work/{name}")

    def renamed(self, name: str, changes: dict[str, Any]) -> "Project":
        """Give the environment's file another name, change its settings, and synthesize it anew."""
        renamed = self._called(name, changes)
        self._file.unlink()
        return renamed

    def _called(self, name: str, changes: dict[str, Any], **variables: str) -> "Project":
        file = self._file.with_stem(name)
        write_document(_changed(self._file.read_text(), changes), file)
        called = replace(
            self,
            settings=load_settings(file),
            environment={**self.environment, "ENV": name, **variables},
        )
        called.synthesize()
        return called

    @property
    def _output(self) -> str:
        return self.environment.get("CDKTF_OUTDIR", "cdktf.out")

    @property
    def _file(self) -> Path:
        return self.folder / "environments" / f"{self.environment['ENV']}.yaml"

    def synthesize(self) -> None:
        """Write the stacks' JSON anew, in this process: main.py as a program takes ten times as long."""
        settings, output = load_settings(self._file), self.folder / self._output
        synthesize(settings, output)
        forget_other_environments(output, is_local=True)
        note_synthesis(output, settings.environment, self.folder)

    def plan(self, stack: str) -> subprocess.CompletedProcess[str]:
        """Plan a stack, without colours and frames and on one line, so that messages can be found."""
        done = self.terraform(stack, "plan", "-input=false", "-no-color", "-out=test.tfplan")
        done.stdout, done.stderr = (
            " ".join(text.replace("│", " ").split()) for text in (done.stdout, done.stderr)
        )
        return done

    def planned_changes(self, stack: str) -> dict[str, dict[str, Any]]:
        """Return the resource changes of a plan by address, without those that change nothing."""
        done = self.plan(stack)
        assert done.returncode == 0, done.stderr
        shown = self.terraform(stack, "show", "-json", "test.tfplan")
        assert shown.returncode == 0, shown.stderr
        changes = json.loads(shown.stdout).get("resource_changes", [])
        return {item["address"]: item for item in changes if item["change"]["actions"] != ["no-op"]}

    def stack_folder(self, stack: str) -> Path:
        """Return the synthesized stack's folder."""
        return self.folder / self._output / "stacks" / stack

    def client(self, service: str) -> Any:
        """Return a boto3 client of the emulated AWS."""
        return emulator.client(
            service,
            endpoint_url=str(self.settings.aws.endpoint_url),
            region=self.settings.aws.region,
        )

    @property
    def actions(self) -> list[tuple[str, str]]:
        """The IAM actions that Terraform's requests needed so far, each with its resource."""
        lines = (self.folder / ".work" / "actions.txt").read_text(encoding="utf-8").splitlines()
        return [(action, resource) for action, _, resource in (line.partition(" ") for line in lines)]

    def outputs(self, stack: str) -> dict[str, Any]:
        """Return a stack's outputs as any other project finds them: in its state in S3."""
        found = self.client("s3").get_object(
            Bucket=self.state_bucket, Key=state_key(self.settings.environment, stack)
        )
        return {name: item["value"] for name, item in json.loads(found["Body"].read())["outputs"].items()}

    def association_times(self) -> dict[str, float]:
        """Return when each pod identity association was created, by its namespace; seconds of the epoch."""
        eks, cluster = self.client("eks"), self.settings.cluster.name
        listed = eks.list_pod_identity_associations(clusterName=cluster)["associations"]
        return {
            item["namespace"]: eks.describe_pod_identity_association(
                clusterName=cluster, associationId=item["associationId"]
            )["association"]["createdAt"].timestamp()
            for item in listed
        }

    def release_time(self, namespace: str) -> float:
        """Return when the Helm release of a namespace was installed, in seconds of the epoch."""
        (release,) = (
            entry["state"]
            for key, entry in rehearsal.read(self.record)["helm_release"].items()
            if key.startswith(f"{namespace}/")
        )
        return float(release["metadata"]["first_deployed"])


def _changed(document: str, changes: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = YAML(typ="safe").load(document)
    change_settings(settings, changes)
    return settings


@contextmanager
def running_project(folder: Path, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """Copy the project into a folder; start an emulated AWS with a state bucket and the tokens."""
    copy_project(folder)
    with ExitStack() as stack:
        actions = folder / ".work" / "actions.txt"
        endpoint_url = stack.enter_context(emulator.running(folder / ".work", actions=actions))
        local = folder / "environments" / "local.yaml"
        local.write_text(local.read_text().replace("http://127.0.0.1:4566", endpoint_url))
        settings = load_settings(local)
        backend = read_backend(folder / "backend.tf.json")
        state_bucket.create_state_bucket(settings.aws, backend)
        record = folder / ".work" / "rehearsal.json"
        terraform = stack.enter_context(terraform_environment(aws_reattach, record))
        project = Project(
            folder=folder,
            settings=settings,
            state_bucket=backend.bucket,
            token=f"glrt-{secrets.token_urlsafe(15)}",
            record=record,
            environment={**inherited_environment(), **terraform, "CI": "1", "ENV": "local", "NO_COLOR": "1"},
        )
        for fleet in settings.runners.values():
            project.client("ssm").put_parameter(
                Name=fleet.token_parameter, Type="SecureString", Value=project.token
            )
        yield project
