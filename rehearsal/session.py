"""Intent: run the stand-ins: as a server in the foreground, or around a block of Python.

Terraform finds already running providers by the environment variable TF_REATTACH_PROVIDERS, its own mechanism
for debugging providers: nothing is installed, `terraform init` asks no registry for them.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_STOP_SECONDS = 10


def serve(record: Path, *, exit_with_parent: bool) -> None:
    """Serve both providers until SIGTERM or SIGINT (or, with `exit_with_parent`, the end of stdin).

    Prints one line of JSON, the value for TF_REATTACH_PROVIDERS, as soon as Terraform may come.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if exit_with_parent:
        threading.Thread(target=_at_end_of_stdin, args=(stop,), daemon=True).start()
    with _served(record) as reattach:
        print(reattach, flush=True)
        stop.wait()


def _at_end_of_stdin(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


@contextmanager
def running(record: Path) -> Iterator[dict[str, str]]:
    """Serve both providers in a process of their own while the block runs.

    Yields the environment variables that point Terraform (and cdktf) at them; add them to the command's
    environment.
    """
    command = [
        sys.executable,
        "-m",
        "rehearsal",
        "serve",
        "--exit-with-parent",
        "--record",
        str(record.resolve()),
    ]
    # The package need not be installed; what else the caller can import stays importable.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_HERE.parent), os.environ.get("PYTHONPATH")])),
    }
    with subprocess.Popen(  # noqa: S603 - this package itself
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=record.resolve().anchor,
    ) as server:
        try:
            reattach = server.stdout.readline().strip() if server.stdout else ""
            if not reattach:
                message = "the rehearsal did not start; its own message is above"
                raise RuntimeError(message)
            yield {"TF_REATTACH_PROVIDERS": reattach}
        finally:
            if server.stdin:
                server.stdin.close()
            try:
                server.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()


@contextmanager
def _served(record: Path) -> Iterator[str]:
    """Both providers behind a socket each, in a folder of this user alone that is gone afterwards."""
    # Imported here: callers of running() need neither gRPC nor protobuf in their own process.
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    import grpc  # noqa: PLC0415

    from rehearsal.cluster import KubernetesObjects  # noqa: PLC0415
    from rehearsal.provider import Objects, Provider  # noqa: PLC0415
    from rehearsal.record import Record  # noqa: PLC0415
    from rehearsal.release import HelmReleases  # noqa: PLC0415

    schemas = json.loads((_HERE / "schema.json").read_text())
    helm, kubernetes = schemas["helm"]["resources"], schemas["kubernetes"]["resources"]
    providers: dict[str, Objects] = {
        "helm": HelmReleases(Record(record), helm, kubernetes["kubernetes_namespace_v1"]),
        "kubernetes": KubernetesObjects(Record(record), kubernetes),
    }
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        servers, reattach = [], {}
        for name, objects in providers.items():
            server = grpc.server(ThreadPoolExecutor(thread_name_prefix=name))
            server.add_generic_rpc_handlers((Provider(name, schemas[name], objects).handler(),))
            server.add_insecure_port(f"unix:{folder}/{name}")
            server.start()
            servers.append(server)
            reattach[f"hashicorp/{name}"] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,  # or Terraform would end this process after its run
                "Addr": {"Network": "unix", "String": f"{folder}/{name}"},
            }
        try:
            yield json.dumps(reattach)
        finally:
            for server in servers:
                server.stop(grace=1).wait()
