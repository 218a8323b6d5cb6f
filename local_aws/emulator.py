"""Start, find and stop the emulator's process."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deployment.aws import create_client
from stacks.errors import UserError
from stacks.settings.aws import EMULATOR_CREDENTIALS, AwsSettings
from stacks.settings.load import PROJECT

WORK = PROJECT / ".work"
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0


class EmulatorError(UserError):
    """The emulator can't be started; the message says what to do."""


def client(service: str, *, endpoint_url: str, region: str) -> Any:
    """Return a boto3 client that can reach nothing but the emulator."""
    return create_client(service, AwsSettings(region=region, endpoint_url=endpoint_url), region=region)


def start(endpoint_url: str, *, work: Path = WORK, docker: bool = False) -> bool:
    """Start the emulator in the background; return False if it runs already.

    Args:
        endpoint_url: Where it listens; the host is always 127.0.0.1.
        work: Folder for its process id, log and temporary files.
        docker: Whether it may start containers, such as a Kubernetes cluster.

    Raises:
        EmulatorError: If another program has the port, or the emulator does not start.

    """
    if answers(endpoint_url) and running_pid(work, endpoint_url) is not None:
        return False
    if stop(work=work):
        print(f"stopped the emulator that did not answer at {endpoint_url}; everything on it is gone")
    _refuse_taken_port(endpoint_url)
    with _log(work).open("wb") as log:
        process = _spawn(
            endpoint_url, work, stdin=subprocess.DEVNULL, log=log, docker=docker, pid_file=_pid_file(work)
        )
    try:
        _wait_until_it_answers(process, endpoint_url, work)
    except EmulatorError:
        stop(work=work)
        raise
    return True


def stop(*, work: Path = WORK) -> bool:
    """Stop the emulator that `start` started; return False if none runs."""
    pid = running_pid(work)
    if pid is not None:
        _end(pid)
    _pid_file(work).unlink(missing_ok=True)
    return pid is not None


@contextlib.contextmanager
def running(work: Path, *, auth: bool = False, actions: Path | None = None) -> Iterator[str]:
    """Run another emulator on a free port, and yield its URL; it ends with this program.

    Args:
        work: Folder for its log and temporary files.
        auth: Whether it checks signatures and evaluates IAM policies; `client` is then the account's root.
        actions: File in which it records the IAM actions that Terraform's requests need.

    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint_url = f"http://127.0.0.1:{free.getsockname()[1]}"
    work.mkdir(parents=True, exist_ok=True)
    with _log(work).open("wb") as log:
        process = _spawn(
            endpoint_url,
            work,
            "--stop-with-parent",
            *([f"--record-actions={actions}"] if actions else []),
            stdin=subprocess.PIPE,
            log=log,
            auth=auth,
        )
    try:
        _wait_until_it_answers(process, endpoint_url, work)
        yield endpoint_url
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_SECONDS)


def running_pid(work: Path = WORK, endpoint_url: str | None = None) -> int | None:
    """Return the process id of the emulator that `start` started, if it is alive.

    Args:
        work: Folder of its process id.
        endpoint_url: Where it must listen; None for anywhere. Another checkout's may listen there instead.

    """
    try:
        pid = int(_pid_file(work).read_text(encoding="ascii"))
        os.kill(pid, 0)
        # After a restart of the machine the number may be another program's, or of another folder's emulator.
        environment = Path(f"/proc/{pid}/environ")
        of_ours = {os.fsencode(f"TMPDIR={_temporary(work)}")}
        if endpoint_url:
            of_ours.add(f"GATEWAY_PORT={urlsplit(endpoint_url).port}".encode())
        is_ours = not environment.exists() or of_ours <= set(environment.read_bytes().split(b"\0"))
    except (OSError, ValueError):
        return None
    return pid if is_ours else None


def inherited_variables() -> dict[str, str]:
    """Return this program's environment variables without those that lead to a real AWS account."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _pid_file(work: Path) -> Path:
    return work / "emulator.pid"


def _temporary(work: Path) -> Path:
    return work / "emulator"


def _log(work: Path) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    return work / "emulator.log"


def _spawn(
    endpoint_url: str,
    work: Path,
    *arguments: str,
    stdin: int,
    log: Any,
    auth: bool = False,
    docker: bool = False,
    pid_file: Path | None = None,
) -> subprocess.Popen[bytes]:
    temporary = _temporary(work)
    temporary.mkdir(parents=True, exist_ok=True)
    environment = {
        **inherited_variables(),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",  # its MQTT broker would listen on all addresses
        "GATEWAY_PORT": str(urlsplit(endpoint_url).port),
        "LOG_LEVEL": "WARNING",
        "TMPDIR": str(temporary),
        "S3_DATA_DIR": str(temporary / "s3"),
    }
    if not docker:
        environment["DOCKER_HOST"] = f"unix://{temporary}/no-docker"
    if auth:  # ministack takes the credentials in its environment variables for root's
        environment |= {
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": EMULATOR_CREDENTIALS["access_key"],
            "AWS_SECRET_ACCESS_KEY": EMULATOR_CREDENTIALS["secret_key"],
        }
    command = [sys.executable, "-m", "local_aws.server", *arguments]
    if pid_file:  # written by the process itself: this program may be killed before it knows the number
        command = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(pid_file), *command]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        cwd=PROJECT,
        env=environment,
        stdin=stdin,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a Ctrl-C in the terminal must not end it
    )


def _refuse_taken_port(endpoint_url: str) -> None:
    parts = urlsplit(endpoint_url)
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", parts.port or 80)) == 0:
            raise EmulatorError(
                f"{endpoint_url}: the port is taken by another program. Stop that program, or choose "
                "another port in environments/local.yaml (aws.endpoint_url)."
            )


def answers(endpoint_url: str) -> bool:
    """Return whether an emulator answers at this URL."""
    try:
        with urllib.request.urlopen(f"{endpoint_url}/_ministack/health", timeout=2):  # noqa: S310 - loopback
            return True
    except (OSError, HTTPException):  # also another program that does not speak HTTP
        return False


def _wait_until_it_answers(process: subprocess.Popen[bytes], endpoint_url: str, work: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if answers(endpoint_url):
            return
        time.sleep(0.2)
    raise EmulatorError(f"the emulator did not start at {endpoint_url}; its log is {_log(work)}")


def _end(pid: int) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    os.kill(pid, signal.SIGTERM)
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
