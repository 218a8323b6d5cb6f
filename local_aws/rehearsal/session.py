"""Serve the stand-ins while a block of Python runs.

Terraform finds running providers by the environment variable TF_REATTACH_PROVIDERS, which it has for
debugging providers. `terraform init` then asks no registry for them.
"""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc

from local_aws.rehearsal.provider import Provider, schemas


@contextmanager
def running(record: Path, provider: type[Provider] = Provider) -> Iterator[dict[str, Any]]:
    """Serve both providers, and yield their entries of TF_REATTACH_PROVIDERS.

    Each has a socket in a temporary folder that only this user can read. The tests also serve a `provider` of
    an older release.
    """
    reattach = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rehearsal-"))
        for name, schema in schemas().items():
            server = grpc.server(ThreadPoolExecutor(thread_name_prefix=name))
            server.add_generic_rpc_handlers((provider(name, schema, record).handler(),))
            server.add_insecure_port(f"unix:{folder}/{name}")
            server.start()
            stack.callback(_stop, server)
            reattach[f"hashicorp/{name}"] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,  # without it Terraform would end this process after its run
                "Addr": {"Network": "unix", "String": f"{folder}/{name}"},
            }
        yield reattach


def _stop(server: grpc.Server) -> None:
    server.stop(grace=1).wait()
