"""`make demo` and `make demo-down`: deploy every stack to the emulated AWS, and destroy it."""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deployment import state_bucket
from deployment.aws import create_client
from deployment.states import StateError, refuse_damaged_states
from deployment.terraform import Stack, synthesize
from local_aws import emulator, provider_mirror, providers, rehearsal
from local_aws.aws_provider import stack_types
from local_aws.locks import free_dead_locks
from local_aws.progress import LOG, Progress, Screen, run_terraform
from local_aws.providers import RECORD
from stacks import STACKS
from stacks.backend import find_output_folder, read_backend, state_key
from stacks.lean_imports import ordinary_node_options
from stacks.settings import Settings
from stacks.settings.aws import EMULATOR_CREDENTIALS
from stacks.settings.load import PROJECT

DEMO_TOKEN_BYTES = 15
LOCK = emulator.WORK / "demo.lock"  # a file, not a lock of AWS: it ends with the process that has it
PHASES = 6
NEXT_STEPS = """\
Next:
  make show           show the objects of the Kubernetes cluster
  make plan           plan a change of environments/local.yaml
  make apply          apply the plan
  make demo-down      destroy everything, and stop the emulator"""
REAL_CLUSTER = """\
KUBERNETES=docker: workloads is deployed to a real Kubernetes cluster in Docker. This is not tested. \
It needs a real runner token in SSM: with a made-up token the runner exits, and Helm fails after \
ten minutes."""


def start(settings: Settings, kubernetes: str = providers.REHEARSAL) -> None:
    """Start the emulator unless it runs."""
    endpoint_url = str(settings.aws.endpoint_url)
    if emulator.start(endpoint_url, docker=kubernetes == providers.DOCKER):
        # A new emulator is empty, and so is its cluster.
        rehearsal.remove(RECORD)
        print(f"ministack listens at {endpoint_url}")
    else:
        print(f"ministack listens already at {endpoint_url}")


def seed(settings: Settings) -> None:
    """Store a made-up token, as a SecureString, for each fleet that has none."""
    if not emulator.answers(str(settings.aws.endpoint_url)):
        raise emulator.EmulatorError(
            f"no emulator answers at {settings.aws.endpoint_url}: `make demo` starts one"
        )
    ssm = create_client("ssm", settings.aws, region=settings.aws.region)
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


@contextmanager
def alone(lock: Path = LOCK) -> Iterator[None]:
    """Keep other demos out of this folder while the block runs.

    Raises:
        EmulatorError: If another one has the lock; the message has its process id.

    """
    lock.parent.mkdir(exist_ok=True)
    with lock.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise emulator.EmulatorError(
                f"`make demo` or `make demo-down` runs in this folder already (process {file.read()}): "
                "wait until it has ended, or end it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def up(settings: Settings, kubernetes: str, *, verbose: bool) -> None:
    """Start the emulator, make the state bucket, deploy every stack, and sum up."""
    is_rehearsed = kubernetes == providers.REHEARSAL
    if not is_rehearsed:
        providers.require_docker()
        print(REAL_CLUSTER)
    console = Console(highlight=False, soft_wrap=True)
    durations: dict[str, float] = {}
    results: dict[str, Progress] = {}

    @contextmanager
    def phase(name: str, title: str = "") -> Iterator[None]:
        console.rule(f"[bold]{len(durations) + 1}/{PHASES} {title or name}", align="left")
        started = time.monotonic()
        yield
        durations[name] = time.monotonic() - started

    with phase("emulator", "Emulated AWS"):
        start(settings, kubernetes)
    with phase("state bucket and tokens", "State bucket and runner token"):
        backend = read_backend(PROJECT / "backend.tf.json")
        state_bucket.create_state_bucket(settings.aws, backend)
        seed(settings)
    with ExitStack() as opened:
        screen = opened.enter_context(_screen(console, verbose=verbose))
        with phase("synthesis and providers", "Terraform JSON and providers"):
            stacks = _synthesize()
            _look_at_states(settings, stacks)
            os.environ |= opened.enter_context(providers.served(kubernetes, types=stack_types()))
        for stack in stacks:
            title = f"{stack.name}, rehearsed, not deployed" if _rehearsed(stack.name, kubernetes) else ""
            with phase(stack.name, title):
                results[stack.name] = run_terraform(stack, "apply", screen)
                print(f"{stack.name}: {results[stack.name]}")
            if stack.name == "cluster" and not is_rehearsed:
                providers.require_kubernetes_api(results["cluster"].outputs["cluster_endpoint"])
    _sum_up(console, results, kubernetes, durations)


def down(settings: Settings, kubernetes: str, *, verbose: bool) -> None:
    """Destroy the deployed stacks on the emulator, and stop it."""
    if emulator.running_pid() is None:
        print(f"no emulator of ours runs at {settings.aws.endpoint_url}: nothing to destroy")
        return
    if not emulator.answers(str(settings.aws.endpoint_url)):
        emulator.stop()
        rehearsal.remove(RECORD)
        print(
            f"our emulator does not listen at {settings.aws.endpoint_url}: stopped; everything on it is gone"
        )
        return
    console = Console(highlight=False, soft_wrap=True)
    deployed = [stack for stack in STACKS if _has_resources(settings, stack)]
    stacks = _synthesize() if deployed else []
    if deployed:
        try:
            _look_at_states(settings, stacks)
        except StateError as error:
            print(f"{error}\nThe emulator is stopped without Terraform")
            deployed = []
    if deployed:
        with (
            _screen(console, verbose=verbose) as screen,
            providers.served(kubernetes, types=stack_types()) as variables,
        ):
            os.environ |= variables
            for stack in reversed(stacks):
                if stack.name in deployed:
                    console.rule(f"[bold]{stack.name}", align="left")
                    started = time.monotonic()
                    result = run_terraform(stack, "destroy", screen)
                    print(f"{stack.name}: {result} ({time.monotonic() - started:.0f} s)")
    emulator.stop()
    rehearsal.remove(RECORD)
    print("destroyed and stopped")


def run(settings: Settings, command: Sequence[str], kubernetes: str) -> int:
    """Run a command with the providers and the AWS that `up` uses.

    Returns:
        The command's exit status.

    Raises:
        emulator.EmulatorError: If the program is not found, or the emulator does not run.

    """
    if shutil.which(command[0]) is None:
        raise emulator.EmulatorError(f"{command[0]}: not found. Accepted: a program on the PATH, or its path")
    if emulator.running_pid() is None:
        raise emulator.EmulatorError(
            f"no emulator of ours runs at {settings.aws.endpoint_url}: `make demo` starts it"
        )
    provider_mirror.prepare(find_output_folder())
    credentials = aws_variables(settings)
    # The command may be a Terraform of any configuration: it gets every type.
    with providers.served(kubernetes, types=None, aws_variables=credentials) as variables:
        env = {**emulator.inherited_variables(), **credentials, **variables}
        # cdktf starts Node.js before the stacks, and warns of the options that they have set in this process.
        env["NODE_OPTIONS"] = ordinary_node_options()
        with subprocess.Popen(command, env=env) as process:  # noqa: S603 - the user's own
            # The command needs the providers until it has ended. A Ctrl-C reaches it from the terminal.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda number, _frame: process.send_signal(number))
            status = process.wait()
    return status if status >= 0 else 128 - status  # as a shell reports a signal


def aws_variables(settings: Settings) -> dict[str, str]:
    """Return the environment variables with which AWS tools work on the emulator."""
    return {
        "AWS_ACCESS_KEY_ID": EMULATOR_CREDENTIALS["access_key"],
        "AWS_DEFAULT_REGION": settings.aws.region,  # boto3 does not read AWS_REGION
        "AWS_ENDPOINT_URL": str(settings.aws.endpoint_url),
        "AWS_REGION": settings.aws.region,
        "AWS_SECRET_ACCESS_KEY": EMULATOR_CREDENTIALS["secret_key"],
    }


def _synthesize() -> list[Stack]:
    """Synthesize the stacks, and give them the provider mirror.

    Call it before the providers are served: Terraform writes no lock file for a provider that runs already.
    """
    stacks = synthesize("local")
    provider_mirror.prepare(find_output_folder())
    return stacks


@contextmanager
def _screen(console: Console, *, verbose: bool) -> Iterator[Screen]:
    with LOG.open("w", encoding="utf-8") as log:
        yield Screen(console, log, verbose)


def _rehearsed(stack: str, kubernetes: str) -> bool:
    return stack == "workloads" and kubernetes == providers.REHEARSAL


def _has_resources(settings: Settings, stack: str) -> bool:
    backend = read_backend(PROJECT / "backend.tf.json")
    s3 = create_client("s3", settings.aws, region=backend.region)
    try:
        key = state_key(settings.environment, stack)
        found = s3.get_object(Bucket=backend.bucket, Key=key)
    except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket):
        return False
    return b'"instances"' in found["Body"].read()


def _look_at_states(settings: Settings, stacks: Sequence[Stack]) -> None:
    """Wait for the Terraform of a killed demo, free the locks of killed Terraforms, and check the states."""
    for stack in stacks:
        stack.wait()
    backend = read_backend(PROJECT / "backend.tf.json")
    s3 = create_client("s3", settings.aws, region=backend.region)
    free_dead_locks(s3, backend.bucket, settings.environment)
    refuse_damaged_states(settings, backend)


def _sum_up(
    console: Console, results: dict[str, Progress], kubernetes: str, durations: dict[str, float]
) -> None:
    console.rule("[bold]Summary", align="left")
    for stack, result in results.items():
        rehearsed = " (rehearsed, not deployed)" if _rehearsed(stack, kubernetes) else ""
        table = Table(title=f"{stack}: {result}{rehearsed}", title_justify="left")
        table.add_column("output")
        table.add_column("value", overflow="fold")
        for name, value in result.outputs.items():
            table.add_row(name, _format_output(value) or "(empty)")
        console.print(table)
    phases = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in durations.items())
    print(f"\nTime: {phases}; together {sum(durations.values()):.0f} s")
    print(f"Everything that Terraform printed: {LOG.relative_to(PROJECT)}")
    print("\nConnect kubectl to the cluster:")
    print(f"  {results['cluster'].outputs['update_kubeconfig_command']}")
    if kubernetes == providers.REHEARSAL:
        print("  (on an AWS account; here no Kubernetes API answers it)")
    print(NEXT_STEPS)


def _format_output(value: Any) -> str:
    """Return an output's value with one line for each entry."""
    if isinstance(value, dict):
        return "\n".join(f"{key}: {part}" for key, part in value.items())
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)
