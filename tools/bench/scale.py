"""Large environments: the cost of synth, plan and review with many fleets and many node groups.

Real Terraform plans on an emulated AWS, with the stand-in providers for Helm and Kubernetes and with one AWS
provider for all commands. The cost of a plan is that of Terraform's own process: neither the providers nor
the emulator count.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress
from ruamel.yaml import YAML

from deployment import state_bucket
from local_aws import aws_provider, emulator, provider_mirror, rehearsal
from plan_review.exit_status import ExitStatus
from stacks import STACKS
from stacks.backend import read_backend
from stacks.settings import MAX_NODE_GROUPS
from stacks.settings.load import PROJECT, load_settings
from tools.bench.cost import Cost, run

FLEETS = (1, 10, 50, 200)
NODE_GROUPS = (1, 10, MAX_NODE_GROUPS)
# The first type holds the biggest job of a default fleet; the others are those of the recipes' sizes.
INSTANCE_TYPES = ("m5.8xlarge", "m5.2xlarge", "m5.4xlarge", "m5.16xlarge")
ENVIRONMENT = "scale"
MEASURED = ("synth", "plan", "review")


@dataclass(frozen=True)
class Measurement:
    """One environment: its size, and the cost of each of `MEASURED`."""

    fleets: int
    node_groups: int
    terraform_kib: float
    plan_kib: float
    resources: int
    seconds: dict[str, float]
    peak_mib: dict[str, float]


def describe_environment(fleets: int, node_groups: int, *, endpoint_url: str) -> dict[str, Any]:
    """Return the settings of an environment on the emulated AWS.

    Each entry of the node groups is one group in EKS, which has a quota of 30: with `protect_running_jobs` it
    would be one in each zone. The jobs of each fleet may run on all of them, the default, which is the most
    that a fleet can have to do with node groups.
    """
    return {
        "aws": {"region": "eu-central-1", "endpoint_url": endpoint_url},
        "network": {"availability_zones": ["eu-central-1a", "eu-central-1b"]},
        "protect_running_jobs": False,
        "cluster": {
            "endpoint_public_access_cidrs": ["203.0.113.0/24"],
            "node_groups": {
                f"group-{number:02}": {
                    "instance_types": [INSTANCE_TYPES[number % len(INSTANCE_TYPES)]],
                    "min_size": 0 if number else 1,
                    "max_size": 10,
                }
                for number in range(node_groups)
            },
        },
        "runners": {
            f"team-{number:03}": {"token_parameter": f"/cicd/runners/team-{number:03}/token"}
            for number in range(fleets)
        },
    }


def copy_main(folder: Path) -> None:
    """Copy main.py, and all that it imports and reads but for the environments."""
    for package in ("stacks", "plan_review"):
        shutil.copytree(PROJECT / package, folder / package)
    for file in ("main.py", "backend.tf.json"):
        shutil.copy(PROJECT / file, folder)


def measure_scale() -> Iterator[Measurement]:
    """Yield the measurements of every number of fleets with every number of node groups."""
    program, types = aws_provider.installed_provider(), aws_provider.stack_types()
    with Progress(transient=True) as progress, aws_provider.running(program, types) as aws:
        task = progress.add_task("scale", total=len(FLEETS) * len(NODE_GROUPS))
        for node_groups in NODE_GROUPS:
            with _Account.open(aws) as account:
                account.write_environment(1, node_groups)
                account.synthesize()
                for stack in STACKS:
                    account.terraform(stack, "init")
                account.apply("network")
                cluster = account.plan("cluster")
                account.apply("cluster")
                for fleets in FLEETS:
                    progress.update(task, description=f"{fleets} fleets, {node_groups} node groups")
                    yield account.measure(fleets, node_groups, cluster)
                    progress.advance(task)


@dataclass(frozen=True)
class _Account:
    """A copy of the stacks beside an emulated AWS account."""

    folder: Path
    endpoint_url: str
    variables: dict[str, str]

    @classmethod
    @contextmanager
    def open(cls, aws: Mapping[str, Any]) -> Iterator["_Account"]:
        """Copy what a synth needs, and start an emulated AWS with a state bucket.

        `aws` is the AWS provider's entry of TF_REATTACH_PROVIDERS.
        """
        with tempfile.TemporaryDirectory(prefix="scale-") as name:
            folder = Path(name)
            copy_main(folder)
            with (
                emulator.running(folder / ".work") as endpoint_url,
                rehearsal.running(folder / ".work" / "rehearsal.json") as stand_ins,
            ):
                account = cls(
                    folder, endpoint_url, {"TF_REATTACH_PROVIDERS": json.dumps({**stand_ins, **aws})}
                )
                account.write_environment(1, 1)
                settings = load_settings(account.file)
                state_bucket.create_state_bucket(settings.aws, read_backend(folder / "backend.tf.json"))
                ssm = emulator.client("ssm", endpoint_url=endpoint_url, region=settings.aws.region)
                for number in range(max(FLEETS)):
                    parameter = f"/cicd/runners/team-{number:03}/token"
                    ssm.put_parameter(
                        Name=parameter, Type="SecureString", Value="glrt-made-up-token-of-a-bench"
                    )
                yield account

    @property
    def file(self) -> Path:
        """Return the environment's file."""
        return self.folder / "environments" / f"{ENVIRONMENT}.yaml"

    def write_environment(self, fleets: int, node_groups: int) -> None:
        """Write the environment's file."""
        self.file.parent.mkdir(exist_ok=True)
        document = describe_environment(fleets, node_groups, endpoint_url=self.endpoint_url)
        YAML().dump(document, self.file)

    def synthesize(self) -> Cost:
        """Run main.py, as cdktf does."""
        cost = run([sys.executable, "main.py"], {"ENV": ENVIRONMENT, "CDKTF_OUTDIR": ""}, folder=self.folder)
        provider_mirror.prepare(self.folder / "cdktf.out")
        return cost

    def measure(self, fleets: int, node_groups: int, cluster: Cost) -> Measurement:
        """Synthesize, plan the stacks that have node groups or fleets, and review these two plans."""
        self.write_environment(fleets, node_groups)
        synth = self.synthesize()
        workloads = self.plan("workloads")
        plans = [self._plan_json("cluster"), self._plan_json("workloads")]
        review = run(
            [sys.executable, "-m", "plan_review", *map(str, plans)],
            output=self.folder / "report.md",
            accepted=[ExitStatus.CHANGES, ExitStatus.APPROVAL],
        )
        costs = {
            "synth": synth,
            "plan": Cost(
                cluster.wall_seconds + workloads.wall_seconds,
                cluster.cpu_seconds + workloads.cpu_seconds,
                max(cluster.peak_mib, workloads.peak_mib),
            ),
            "review": review,
        }
        changes = [json.loads(plan.read_bytes()).get("resource_changes", []) for plan in plans]
        return Measurement(
            fleets=fleets,
            node_groups=node_groups,
            terraform_kib=sum(self._stack(name, "cdk.tf.json").stat().st_size for name in STACKS) / 1024,
            plan_kib=sum(plan.stat().st_size for plan in plans) / 1024,
            resources=sum(len(each) for each in changes),
            seconds={name: round(cost.cpu_seconds, 2) for name, cost in costs.items()},
            peak_mib={name: round(cost.peak_mib) for name, cost in costs.items()},
        )

    def apply(self, stack: str) -> None:
        """Apply a stack, so that the next one can be planned."""
        self.terraform(stack, "apply", "-auto-approve")

    def plan(self, stack: str) -> Cost:
        """Plan a stack, and keep its plan as JSON."""
        cost = self.terraform(stack, "plan", "-out=tfplan")
        run(
            ["terraform", "show", "-json", "tfplan"],
            self.variables,
            folder=self._stack(stack),
            output=self._plan_json(stack),
        )
        return cost

    def _plan_json(self, stack: str) -> Path:
        return self.folder / f"{stack}.json"

    def _stack(self, *names: str) -> Path:
        return self.folder.joinpath("cdktf.out", "stacks", *names)

    def terraform(self, stack: str, command: str, *arguments: str) -> Cost:
        """Run Terraform in the folder of a stack."""
        log = self.folder / "terraform.log"
        return run(
            ["terraform", command, "-input=false", *arguments],
            self.variables,
            folder=self._stack(stack),
            output=log,
        )
