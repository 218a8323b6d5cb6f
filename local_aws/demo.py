"""`make demo` and `make demo-down`: the whole road on the emulated AWS."""

import os
import secrets
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from deployment import state_bucket
from local_aws import cdktf_runner, emulator, providers
from local_aws.cdktf_runner import Result
from stacks import STACKS
from stacks.backend import read_backend
from stacks.settings import Settings
from stacks.settings.load import PROJECT, load_environment

DEMO_TOKEN_BYTES = 15


def load_local_settings() -> Settings:
    """Return the local environment; `ENV` has no say here.

    Raises:
        SettingsError: If it holds a mistake.
        emulator.EmulatorError: If it is not an emulated one.

    """
    settings = load_environment("local")
    if not settings.aws.is_local:
        raise emulator.EmulatorError(
            "environments/local.yaml: aws.endpoint_url: missing. Accepted: the emulator's URL"
        )
    return settings


def start(settings: Settings) -> None:
    """Start the emulator unless it runs."""
    endpoint_url = str(settings.aws.endpoint_url)
    if emulator.start(endpoint_url):
        # A new emulator holds nothing, so nothing is in its cluster either.
        providers.RECORD.unlink(missing_ok=True)
        print(f"ministack listens at {endpoint_url}")
    else:
        print(f"ministack listens already at {endpoint_url}")


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
    """Start the emulator, make the state bucket, deploy every stack, and sum up."""
    console = Console(highlight=False, soft_wrap=True)
    settings = load_local_settings()

    console.rule("[bold]1/4 Emulated AWS", align="left")
    start(settings)

    console.rule("[bold]2/4 State bucket and runner token", align="left")
    state_bucket.create_state_bucket(settings.aws, read_backend(PROJECT / "backend.tf.json"))
    seed(settings)

    console.rule("[bold]3/4 network and cluster", align="left")
    results = cdktf_runner.run_cdktf("deploy", "network", "cluster")

    missing = _missing(settings)
    console.rule(f"[bold]4/4 workloads{', rehearsed, not deployed' if missing else ''}", align="left")
    if missing:
        print(f"workloads is only rehearsed here: {missing}")
    with providers.served(missing) as environment:
        # cdktf wants to see what workloads stands on, too; only the first run changes that.
        results |= {
            stack: result
            for stack, result in cdktf_runner.run_cdktf("deploy", *STACKS, environment=environment).items()
            if stack == "workloads"
        }
    _sum_up(console, settings, results, missing)


def down() -> None:
    """Destroy what is deployed on the emulator, and stop it."""
    settings = load_local_settings()
    if emulator.running_pid() is None:
        print(f"no emulator of ours runs at {settings.aws.endpoint_url}: nothing to destroy")
        return
    with providers.served(_missing(settings)) as environment:
        for stack in reversed(STACKS):
            if cdktf_runner.holds_resources(settings, stack):
                cdktf_runner.run_cdktf("destroy", stack, environment=environment)
    emulator.stop()
    providers.RECORD.unlink(missing_ok=True)
    print("destroyed and stopped")


def run(command: Sequence[str]) -> int:
    """Run a cdktf or terraform command of one's own with the providers that `up` would use.

    Returns:
        The command's exit status.

    Raises:
        emulator.EmulatorError: If the emulator does not run.

    """
    settings = load_local_settings()
    if emulator.running_pid() is None:
        raise emulator.EmulatorError(
            f"no emulator of ours runs at {settings.aws.endpoint_url}: `make demo` starts it"
        )
    missing = _missing(settings)
    if missing:
        print(f"workloads is rehearsed, not deployed: {missing}")
    with (
        providers.served(missing) as environment,
        subprocess.Popen(command, env={**os.environ, **environment}) as process,  # noqa: S603 - the user's own
    ):
        # Ctrl-C is the command's to handle: it may need the providers until it has ended.
        interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGINT, interrupted)


def _missing(settings: Settings) -> str:
    return providers.missing_for_workloads(cdktf_runner.outputs(settings, "cluster").get("cluster_endpoint"))


def _sum_up(console: Console, settings: Settings, results: dict[str, Result], missing: str) -> None:
    console.rule("[bold]Summary", align="left")
    for stack in STACKS:
        rehearsed = " (rehearsed, not deployed)" if missing and stack == "workloads" else ""
        table = Table(title=f"{stack}: {results[stack]}{rehearsed}", title_justify="left")
        table.add_column("output")
        table.add_column("value", overflow="fold")
        for name, value in cdktf_runner.outputs(settings, stack).items():
            table.add_row(name, _lines(value) or "(empty)")
        console.print(table)
    if missing:
        console.print(f"workloads was rehearsed, not deployed: {missing}")
        console.print("What would be in the cluster: make show")
    print("\nConnect kubectl to the cluster:")
    print(f"  {cdktf_runner.outputs(settings, 'cluster')['update_kubeconfig_command']}")
    if missing:
        print("  (on an AWS account; here no Kubernetes API answers it)")
    print("Undo everything: make demo-down")


def _lines(value: Any) -> str:
    """Return an output's value with one line for each entry."""
    if isinstance(value, dict):
        return "\n".join(f"{key}: {part}" for key, part in value.items())
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)
