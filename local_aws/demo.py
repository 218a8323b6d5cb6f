"""`make demo` and `make demo-down`: the whole road on the emulated AWS."""

import secrets
import ssl
import urllib.error
import urllib.request

from rich.console import Console
from rich.table import Table

import bootstrap
from local_aws import deployment, emulator
from local_aws.deployment import Result
from stacks.backend import read_backend
from stacks.settings import Settings
from stacks.settings.file import load_environment

DEMO_TOKEN_BYTES = 15


def load_local_settings() -> Settings:
    """Return the local environment; `ENV` has no say here.

    Raises:
        SettingsError: If it holds a mistake.
        emulator.EmulatorError: If it is not an emulated one.

    """
    settings = load_environment("local")
    if not settings.aws.is_local:
        message = (
            "environments/local.yaml: aws.endpoint_url: missing; the local environment needs an emulator"
        )
        raise emulator.EmulatorError(message)
    return settings


def seed(settings: Settings) -> None:
    """Store a made-up token for each fleet that has none, as a SecureString."""
    ssm = emulator.client("ssm", endpoint_url=str(settings.aws.endpoint_url), region=settings.aws.region)
    for name, fleet in settings.runners.items():
        try:
            ssm.put_parameter(
                Name=fleet.token_parameter,
                Type="SecureString",
                Value=f"glrt-{secrets.token_urlsafe(DEMO_TOKEN_BYTES)}",
            )
            print(f"{fleet.token_parameter}: a demo token for the fleet {name} stored")
        except ssm.exceptions.ParameterAlreadyExists:
            print(f"{fleet.token_parameter}: exists")


def up() -> None:
    """Start the emulator, make the state bucket, deploy every stack that can be, and sum up."""
    console = Console(highlight=False, soft_wrap=True)
    settings = load_local_settings()
    endpoint_url = str(settings.aws.endpoint_url)

    console.rule("[bold]1/4 Emulated AWS", align="left")
    started = emulator.start(endpoint_url)
    print(f"ministack {'listens' if started else 'listens already'} at {endpoint_url}")

    console.rule("[bold]2/4 State bucket and runner token", align="left")
    bootstrap.create_state_bucket(settings.aws, read_backend(emulator.PROJECT / "backend.tf.json"))
    seed(settings)

    console.rule("[bold]3/4 network and cluster", align="left")
    results = deployment.run_cdktf("deploy", "network", "cluster")

    console.rule("[bold]4/4 workloads", align="left")
    missing = _missing_for_workloads()
    if missing:
        print(missing)
    else:
        results |= deployment.run_cdktf("deploy", "network", "cluster", "workloads")
    _sum_up(console, results, missing)


def down() -> None:
    """Destroy what is deployed on the emulator, and stop it."""
    settings = load_local_settings()
    if emulator.running_pid() is None:
        print(f"no emulator of ours runs at {settings.aws.endpoint_url}: nothing to destroy")
        return
    for stack in ("workloads", "cluster", "network"):
        if deployment.outputs(stack):
            deployment.run_cdktf("destroy", stack)
    emulator.stop()
    print("destroyed and stopped")


def _missing_for_workloads() -> str:
    """Return what the workloads stack needs and this machine lacks, in words; empty if nothing."""
    endpoint = deployment.outputs("cluster").get("cluster_endpoint", "")
    if not _kubernetes_answers(endpoint):
        return (
            "workloads is not deployed: no Kubernetes API answers. With a running Docker engine the emulator "
            "backs the cluster with a real k3s: start Docker, `make demo-down demo`."
        )
    if not deployment.can_initialize("workloads"):
        return (
            "workloads is not deployed: Terraform can't get its helm and kubernetes providers. Let it reach "
            "its registry, or put them into a provider mirror, and `make demo` again."
        )
    return ""


def _kubernetes_answers(endpoint: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only whether anything answers, on loopback
    try:
        with urllib.request.urlopen(f"{endpoint}/version", timeout=3, context=context):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _sum_up(console: Console, results: dict[str, Result], missing: str) -> None:
    console.rule("[bold]Summary", align="left")
    for stack in ("network", "cluster", "workloads"):
        published = deployment.outputs(stack) if stack in results else {}
        table = Table(title=f"{stack}: {results.get(stack, 'not deployed')}", title_justify="left")
        table.add_column("output")
        table.add_column("value", overflow="fold")
        for name, value in published.items():
            table.add_row(name, str(value) or "(empty)")
        console.print(table if published else f"{stack}: not deployed")
    if missing:
        console.print(missing)
    print("\nConnect kubectl to the cluster:")
    print(f"  {deployment.outputs('cluster')['update_kubeconfig_command']}")
    print("Undo everything: make demo-down")
