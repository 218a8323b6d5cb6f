"""The AWS provider of the local environment describes only the types that the stacks use."""

import errno
import fcntl
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import msgpack
import pytest
from google.protobuf.message_factory import GetMessageClass

from local_aws import aws_provider, protocol
from local_aws.aws_provider import drop_other_types, running, stack_types
from stacks.settings.load import PROJECT
from tests.machine import UNUSUAL

KINDS = ("data", "ephemeral", "resource")
PROVIDER_FIELD = b"\x0a\x04kept"  # field 1 of GetSchema's answer, which aws_provider.proto does not name

PROTOCOL = protocol.read(PROJECT / "local_aws" / "aws_provider.proto")
SCHEMAS = GetMessageClass(PROTOCOL.message_types_by_name["Schemas"])


def test_every_type_of_the_example_is_described() -> None:
    """Terraform refuses a type that the provider does not describe."""
    documents = [json.loads(file.read_text()) for file in (PROJECT / "tests" / "snapshots").glob("*.json")]
    used = {name for document in documents for kind in KINDS for name in document.get(kind, {})}
    assert {name for name in used if name.startswith("aws_")} <= stack_types()


def test_every_described_type_exists() -> None:
    """Each has a module in the bindings of the AWS provider; the module `provider` is not a type."""
    package = find_spec("cdktf_cdktf_provider_aws")
    assert package
    assert package.origin
    modules = {folder.name for folder in Path(package.origin).parent.iterdir()} - {"provider"}
    assert stack_types() <= {f"aws_{module.removeprefix('data_aws_')}" for module in modules}


def test_only_the_schemas_of_other_types_are_dropped() -> None:
    """The configuration of the provider itself, which the filter does not know, stays."""
    used, both = {"aws_vpc": b"1"}, {"aws_vpc": b"1", "aws_other": b"2"}
    answer = SCHEMAS(resource_schemas=both, data_source_schemas=both, ephemeral_resource_schemas=both)
    wanted = SCHEMAS(resource_schemas=used, data_source_schemas=used, ephemeral_resource_schemas=used)
    filtered = drop_other_types(answer.SerializeToString() + PROVIDER_FIELD, {"aws_vpc"})
    assert SCHEMAS.FromString(filtered) == SCHEMAS.FromString(wanted.SerializeToString() + PROVIDER_FIELD)
    assert PROVIDER_FIELD in filtered


def test_the_provider_sees_no_aws_variables_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Credentials of a real account never reach a provider that serves the emulated AWS."""
    monkeypatch.setenv("AWS_PROFILE", "production")
    program = tmp_path / "provider"
    program.write_text(
        f"#!/bin/sh\nenv > {tmp_path}/variables\necho '1|5|tcp|127.0.0.1:1|grpc|'\nexec sleep 60\n"
    )
    program.chmod(0o755)
    with running(program, None, {"AWS_REGION": "eu-central-1"}):
        variables = (tmp_path / "variables").read_text()
    assert "AWS_PROFILE" not in variables
    assert "AWS_REGION=eu-central-1" in variables
    # The provider makes its socket there, and a provider that is ended does not remove it.
    (temporary,) = re.findall(r"^TMPDIR=(.+)$", variables, re.MULTILINE)
    assert not Path(temporary).exists()


# A provider that answers each call with the request, and notes its process and the calls.
ECHO = """#!{python}
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import grpc

class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        with Path("{folder}/calls").open("a") as calls:
            print(os.getpid(), details.method.rpartition("/")[2], file=calls)
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)

server = grpc.server(ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((Echo(),))
socket = os.environ["TMPDIR"] + "/" + str(os.getpid())
server.add_insecure_port("unix:" + socket)
server.start()
print("1|5|unix|" + socket + "|grpc|", flush=True)
server.wait_for_termination()
"""


Call = Callable[[str, bytes], bytes]
StartEcho = Callable[..., AbstractContextManager[Call]]


@pytest.fixture
def start_echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StartEcho:
    """Start a provider that answers with the request."""
    monkeypatch.setattr(aws_provider, "ANSWERS", tmp_path / "answers")
    program = tmp_path / "provider"
    program.write_text(ECHO.format(python=sys.executable, folder=tmp_path))
    program.chmod(0o755)

    @contextmanager
    def start(
        variables: dict[str, str] | None = None, types: Collection[str] | None = None
    ) -> Iterator[Call]:
        with running(program, types, variables) as reattach, ExitStack() as stack:
            channel = grpc.insecure_channel(reattach["hashicorp/aws"]["Addr"]["String"])
            stack.callback(channel.close)
            yield lambda call, request: channel.unary_unary(f"/tfplugin5.Provider/{call}")(
                request, timeout=60
            )

    return start


@pytest.fixture
def echo(start_echo: StartEcho) -> Iterator[Call]:
    """Call a provider that answers with the request."""
    with start_echo() as call:
        yield call


def test_a_provider_that_has_died_is_started_again(echo: Call, tmp_path: Path) -> None:
    """All commands of the tests share it: one crash must not fail all that come after."""
    assert echo("ValidateResourceTypeConfig", b"first") == b"first"
    (first,) = (line.split()[0] for line in (tmp_path / "calls").read_text().splitlines())
    os.kill(int(first), signal.SIGKILL)
    assert echo("ValidateResourceTypeConfig", b"second") == b"second"
    (_, second) = (line.split()[0] for line in (tmp_path / "calls").read_text().splitlines())
    assert second != first


def raise_no_space(*_: Any) -> None:
    """Fail as a write to a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def prepare(**changes: Any) -> bytes:
    """Return a request PrepareProviderConfig."""
    configuration = {
        "region": "eu-central-1",
        "endpoints": [{"ec2": "http://127.0.0.1:4566", "eks": None}],
        "default_tags": [{"tags": {"environment": "local"}}],
        **changes,
    }
    request = GetMessageClass(PROTOCOL.message_types_by_name["Prepare"])()
    request.config.msgpack = msgpack.packb(configuration)
    encoded: bytes = request.SerializeToString()
    return encoded


def test_the_provider_checks_each_configuration_once(echo: Call, tmp_path: Path) -> None:
    """Tags and the emulator's port differ from test to test, and the provider does not check them."""

    def count(request: bytes) -> int:
        assert echo("PrepareProviderConfig", request) == request
        return (tmp_path / "calls").read_text().count("PrepareProviderConfig")

    assert count(prepare()) == 1
    assert count(prepare(default_tags=[{"tags": {"environment": "blue"}}])) == 1
    assert count(prepare(endpoints=[{"ec2": "http://127.0.0.1:1", "eks": None}])) == 1
    assert count(prepare(endpoints=[{"ec2": None, "eks": "http://127.0.0.1:1"}])) == 2
    assert count(prepare(region="eu-west-1")) == 3
    assert count(prepare(allowed_account_ids=["1"])) == 4


def test_a_later_run_knows_the_answers_of_the_same_program(start_echo: StartEcho, tmp_path: Path) -> None:
    """Another program or other variables of AWS may answer in another way; the emulator's port is no such."""
    questions = {"GetSchema": b"schemas", "PrepareProviderConfig": prepare()}

    def count(variables: dict[str, str] | None = None) -> int:
        with start_echo(variables) as call:
            for name, request in questions.items():
                assert call(name, request) == request
        return len((tmp_path / "calls").read_text().splitlines())

    assert count() == 2
    assert count() == 2
    assert count({"AWS_REGION": "eu-west-1"}) == 4
    assert count({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}) == 6
    assert count({"AWS_ENDPOINT_URL": "http://127.0.0.1:2"}) == 6
    with (tmp_path / "provider").open("a") as program:
        program.write("# another version")
    assert count() == 8


def test_a_run_of_other_types_gets_other_schemas(start_echo: StartEcho) -> None:
    """The demo describes the types of the stacks alone, and `local_aws run` all types."""
    schemas = SCHEMAS(resource_schemas={"aws_vpc": b"1", "aws_other": b"2"}).SerializeToString()
    for types, expected in ((None, {"aws_vpc", "aws_other"}), ([], set()), (["aws_vpc"], {"aws_vpc"})):
        with start_echo(types=types) as call:
            assert set(SCHEMAS.FromString(call("GetSchema", schemas)).resource_schemas) == expected


def test_an_answer_that_can_not_be_kept_is_asked_for_again(
    start_echo: StartEcho, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is no reason to fail, nor is a file system without locks."""
    monkeypatch.setattr(Path, "write_bytes", raise_no_space)
    monkeypatch.setattr(Path, "touch", raise_no_space)
    monkeypatch.setattr(fcntl, "flock", raise_no_space)
    for count in (2, 4):
        with start_echo() as call:
            assert call("GetSchema", b"schemas") == b"schemas"
            assert call("PrepareProviderConfig", prepare()) == prepare()
        assert len((tmp_path / "calls").read_text().splitlines()) == count


def test_an_empty_answer_is_asked_for_again(start_echo: StartEcho, tmp_path: Path) -> None:
    """A power failure can leave the file without its content."""
    for _ in range(2):
        with start_echo() as call:
            assert call("GetSchema", b"schemas") == b"schemas"
        for kept in (tmp_path / "answers").iterdir():
            kept.write_bytes(b"")


def test_a_protocol_is_read_in_any_folder(tmp_path: Path) -> None:
    """The path of a checkout may have umlauts, spaces, and characters that protoc takes for its own."""
    proto = tmp_path / UNUSUAL / "a=b:c" / "other.proto"
    proto.parent.mkdir(parents=True)
    proto.write_text('syntax = "proto3"; package other; message Text { string text = 1; }')
    message = GetMessageClass(protocol.read(proto).message_types_by_name["Text"])
    assert message(text="ü").SerializeToString() == b"\n\x02\xc3\xbc"
