"""The real AWS provider for many Terraform commands, without the cost of its start.

A Terraform command spends about 8 s of processor time on the AWS provider before it reads a resource: the
provider describes and checks some 1,500 resource types, and Terraform decodes that. `running` keeps the
provider's answers to these two calls in `.work/aws-provider/`, and describes only the types that the stacks
use. It passes every other call on to the provider unchanged. Each connection of Terraform has a provider
process for itself. After the connection has ended, the process waits for the next one with the same
configuration.

Terraform finds `running` by TF_REATTACH_PROVIDERS, as it finds the stand-in providers. Only the emulated AWS
and the tests use it.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import msgpack
from google.protobuf.message_factory import GetMessageClass

from local_aws import protocol, provider_mirror
from local_aws.emulator import WORK, EmulatorError, inherited_variables
from stacks.settings.load import PROJECT

ANSWERS = WORK / "aws-provider"
_SERVICE = "/tfplugin5.Provider/"
_STDIO = "/plugin.GRPCStdio/StreamStdio"  # this call lasts as long as Terraform's connection
_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_THREADS = 256  # Terraform works on ten resources at a time, with two provider configurations a command
_MAX_IDLE = 3  # processes that wait for a connection; each takes about 150 MiB
# Without this variable of HashiCorp's go-plugin, a provider says that it is a plugin, and ends.
_COOKIE = {"TF_PLUGIN_MAGIC_COOKIE": "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"}
# The Go runtime collects garbage at five times the live memory instead of twice: a provider's start takes a
# third less processor time.
_LESS_GARBAGE_COLLECTION = {"GOGC": "400"}
# The provider ends when its standard input closes: also after a SIGKILL to this program.
_UNTIL_INPUT_CLOSES = '"$0" & cat > /dev/null; kill $!; wait $!'

_PROTOCOL = protocol.read(Path(__file__).with_suffix(".proto"))
_SCHEMAS: Any = GetMessageClass(_PROTOCOL.message_types_by_name["Schemas"])
_PREPARE: Any = GetMessageClass(_PROTOCOL.message_types_by_name["Prepare"])
# Where an endpoint or a token file is does not change an answer; whether there is one may.
_ADDRESS = re.compile(r"AWS_ENDPOINT_URL|AWS_\w+_FILE$")
# This module filters the schemas before it keeps them.
_OWN_CODE = hashlib.sha256(
    b"".join(Path(__file__).with_suffix(suffix).read_bytes() for suffix in (".py", ".proto"))
).hexdigest()


def stack_types() -> frozenset[str]:
    """Return the AWS types of the resources, data sources and ephemeral resources in the stacks' code."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (PROJECT / "stacks").glob("*.py"))
    modules = re.findall(r"cdktf_cdktf_provider_aws\.(?:data_aws_)?(?!provider\b)(\w+)", code)
    return frozenset(
        {f"aws_{module}" for module in modules} | set(re.findall(r"\baws_(?!provider)\w+", code))
    )


def installed_provider() -> Path:
    """Return the path of the provider's program; `terraform init` finds or downloads it, and checks it.

    Raises:
        EmulatorError: If Terraform can't install the provider; the message is Terraform's.

    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        provider_mirror.init(folder)
        (found,) = folder.glob(".terraform/providers/*/hashicorp/aws/*/*/terraform-provider-aws*")
        return found.resolve()


def drop_other_types(answer: bytes, types: Collection[str]) -> bytes:
    """Return an answer to GetSchema without the schemas of all types but the given ones."""
    schemas = _SCHEMAS.FromString(answer)
    kinds: list[Mapping[str, bytes]] = [
        schemas.resource_schemas,
        schemas.data_source_schemas,
        schemas.ephemeral_resource_schemas,
        schemas.functions,
    ]
    for kind in kinds:
        for name in set(kind) - set(types):
            del kind[name]  # type: ignore[attr-defined]
    filtered: bytes = schemas.SerializeToString()
    return filtered


def read_checked_configuration(request: bytes) -> str:
    """Return what the provider checks in a request PrepareProviderConfig, as text.

    Of the endpoints it checks which ones are set together, and of the default tags nothing.
    """
    configuration = msgpack.unpackb(_PREPARE.FromString(request).config.msgpack)
    endpoints = configuration["endpoints"] or []
    if all(isinstance(block, dict) for block in endpoints):  # else Terraform does not know them yet
        endpoints = [[name for name, url in block.items() if url] for block in endpoints]
    return repr({**configuration, "endpoints": endpoints, "default_tags": None})


@contextmanager
def running(
    program: Path, types: Collection[str] | None, variables: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """Serve the AWS provider on loopback, and yield its entry of TF_REATTACH_PROVIDERS.

    Args:
        program: The provider's program.
        types: The types that Terraform can use; None for all 1,500.
        variables: Environment variables of the provider. It does not see those of the Terraform command.

    Raises:
        EmulatorError: If the provider does not start.

    """
    with ExitStack() as stack:
        # A provider that is ended leaves its socket behind.
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="aws-provider-"))
        environment = {**inherited_variables(), **(variables or {}), "TMPDIR": temporary}
        provider = _Provider(program, types, environment)
        stack.callback(provider.stop)
        server = grpc.server(ThreadPoolExecutor(_THREADS), options=_NO_LIMIT)
        server.add_generic_rpc_handlers((_Handler(provider),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        stack.callback(lambda: server.stop(grace=None).wait())
        address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
        # Without "Test", Terraform would end this process after its run.
        reattach = {"Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True}
        yield {"hashicorp/aws": {**reattach, "Addr": address}}


class _Process:
    """One running provider."""

    def __init__(self, program: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own arguments
            ["sh", "-c", _UNTIL_INPUT_CLOSES, str(program)],  # noqa: S607 - every system has it
            env={**_LESS_GARBAGE_COLLECTION, **environment, **_COOKIE, "PLUGIN_PROTOCOL_VERSIONS": "5"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Terraform handles a Ctrl-C in the terminal
        )
        # go-plugin's first line: core version | protocol | network | address | kind | certificate
        fields = self._process.stdout.readline().strip().split("|") if self._process.stdout else []
        if len(fields) < 4:  # noqa: PLR2004 - up to the address
            self.stop()
            raise EmulatorError(f"{program}: the AWS provider did not start")
        self._channel = grpc.insecure_channel(f"{fields[2]}:{fields[3]}", options=_NO_LIMIT)
        self._lock = threading.Lock()
        self._calls = 0
        self.configuration: bytes | None = None  # the request that has configured it

    def call(self, call: str, request: bytes, context: grpc.ServicerContext | None = None) -> bytes:
        with self._lock:
            self._calls += 1
            if call == "Stop":  # Terraform was interrupted: the provider refuses all further work
                self.configuration = None
        running = self._channel.unary_unary(_SERVICE + call).future(request)
        if context:
            # A Terraform that is killed closes its connection, and the provider ends what it was doing.
            context.add_callback(running.cancel)
        answer: bytes = running.result()
        with self._lock:
            self._calls -= 1
            if call == "Configure" and not answer:  # neither an error nor a warning
                self.configuration = request
        return answer

    def can_serve_again(self) -> bool:
        """Return whether another connection may have it: no call has failed, and none is running."""
        return self.configuration is not None and self._calls == 0

    def stop(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.wait()


class _Provider:
    """The provider: a process for each connection that has configured it, and one for all the others."""

    def __init__(self, program: Path, types: Collection[str] | None, environment: Mapping[str, str]) -> None:
        self._start = partial(_Process, program, environment)
        self._types = types
        self._lock = threading.Lock()
        self._restart_lock = threading.Lock()
        self._configured: dict[str, _Process] = {}  # by connection
        self._idle: list[_Process] = []  # the one that has waited longest comes first
        self._unconfigured = self._start()
        ANSWERS.mkdir(parents=True, exist_ok=True)
        status = program.stat()
        variables = sorted(
            (name, "" if _ADDRESS.match(name) else value)
            for name, value in environment.items()
            if name.startswith("AWS_")
        )
        self._depends_on = f"{_OWN_CODE} {program} {status.st_size} {status.st_mtime_ns} {variables}"

    def answer(self, call: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer one call of one connection."""
        connection = context.peer()
        match call:
            case "GetSchema":
                return self._describe(request)
            case "PrepareProviderConfig":
                return self._prepare(request)
            case "Configure":
                return self._configure(request, connection)
            case "Stop" if connection not in self._configured:
                return b""  # this connection has no process
        if process := self._configured.get(connection):
            return process.call(call, request, context)
        return self._call_unconfigured(call, request, context)

    def end(self, connection: str) -> None:
        """Let the process of a connection that Terraform has closed wait for another, or stop it."""
        process = self._configured.pop(connection, None)
        if process is None:
            return
        with self._lock:
            stopped = [process]
            if process.can_serve_again():
                self._idle.append(process)
                stopped = self._idle[:-_MAX_IDLE]
                del self._idle[:-_MAX_IDLE]
        for each in stopped:
            each.stop()

    def stop(self) -> None:
        """Stop every process."""
        for process in (self._unconfigured, *self._configured.values(), *self._idle):
            process.stop()

    def _configure(self, request: bytes, connection: str) -> bytes:
        """Give the connection a process with this configuration."""
        with self._lock:
            idle = next((process for process in self._idle if process.configuration == request), None)
            if idle:
                self._idle.remove(idle)
                self._configured[connection] = idle
                return b""
        process = self._configured[connection] = self._start()
        return process.call("Configure", request)

    def _call_unconfigured(
        self, call: str, request: bytes, context: grpc.ServicerContext | None = None
    ) -> bytes:
        """Pass a call on that needs no configuration; if the process for them has died, start it again."""
        process = self._unconfigured
        try:
            return process.call(call, request, context)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
        with self._restart_lock:
            if self._unconfigured is process:
                process.stop()
                self._unconfigured = self._start()
        return self._unconfigured.call(call, request, context)

    def _describe(self, request: bytes) -> bytes:
        """Return the schemas of the types."""
        types = "all" if self._types is None else sorted(self._types)
        with self._kept(f"GetSchema {types}") as kept:
            if kept.exists() and (known := kept.read_bytes()):  # a power failure can leave an empty file
                return known
            schemas = self._call_unconfigured("GetSchema", request)
            if self._types is not None:
                schemas = drop_other_types(schemas, self._types)
            with suppress(OSError):  # such as a full disk: the next command asks again
                half = kept.with_suffix(".half")
                half.write_bytes(schemas)
                half.rename(kept)
            return schemas

    def _prepare(self, request: bytes) -> bytes:
        """Ask the provider about each configuration once: each time it checks its own 1,500 types as well."""
        with self._kept(f"PrepareProviderConfig {read_checked_configuration(request)}") as accepted:
            if accepted.exists():
                return request
            answer = self._call_unconfigured("PrepareProviderConfig", request)
            if answer == request:  # unchanged, and without a warning or an error
                with suppress(OSError):
                    accepted.touch()
            return answer

    @contextmanager
    def _kept(self, question: str) -> Iterator[Path]:
        """Yield the file for the answer to a question; all others, also threads, wait for the block's end.

        A digest is the file's name, since a configuration may have credentials.
        """
        with (ANSWERS / "lock").open("w") as lock:
            with suppress(OSError):  # a file system without locks: several may ask the same
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield ANSWERS / hashlib.sha256(f"{self._depends_on} {question}".encode()).hexdigest()


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Passes every call of the provider's service on, as bytes."""

    def __init__(self, provider: _Provider) -> None:
        self._provider = provider

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        method: str = handler_call_details.method
        if method == _STDIO:
            return grpc.unary_stream_rpc_method_handler(self._wait_for_the_end)
        if not method.startswith(_SERVICE):
            return None
        call = method.removeprefix(_SERVICE)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._pass(call, request, context)
        )

    def _pass(self, call: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return self._provider.answer(call, request, context)
        except grpc.FutureCancelledError:
            context.abort(grpc.StatusCode.CANCELLED, "Terraform has closed the connection")
            raise
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
            raise

    def _wait_for_the_end(self, _request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        ended = threading.Event()
        if context.add_callback(ended.set):
            ended.wait()
        self._provider.end(context.peer())
        yield from ()
