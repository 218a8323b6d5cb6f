"""One stand-in as Terraform sees it: it speaks Terraform's plugin protocol 6.

The import of this module compiles the messages of tfplugin6.proto, which takes a tenth of a second.
"""

import json
import pathlib
import re
from collections.abc import Callable, Iterable
from typing import Any

import grpc
import msgpack
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from local_aws import protocol
from local_aws.rehearsal.cluster import Cluster, find_key
from local_aws.rehearsal.planning import (
    UNKNOWN,
    Block,
    Path,
    RefusedError,
    State,
    complete,
    find_mistakes,
    find_replacements,
)
from local_aws.rehearsal.record import NOTE

Message = Any  # protobuf makes the classes at run time
Fields = dict[str, Any]

_PROTOCOL = protocol.read(pathlib.Path(__file__).with_name("tfplugin6.proto"))
_SERVICE = _PROTOCOL.services_by_name["Provider"]
_SCHEMA = pathlib.Path(__file__).with_name("schema.json")
_LOOPBACK = re.compile(r"(https?://)?(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/.*)?")


class Provider:
    """The service tfplugin6.Provider: a method for each call, with its name in snake case.

    A method gets the request and returns the fields of the answer. A call without a method gets an empty
    answer.
    """

    def __init__(self, name: str, schema: dict[str, Any], record: pathlib.Path) -> None:
        self._name = name
        self._schema = schema
        self._cluster = Cluster(record)
        # The kubernetes provider is built on Terraform's older SDK, for which Terraform has looser rules.
        self._typing = {"legacy_type_system": name == "kubernetes"}

    def handler(self) -> Message:
        """Return the handler of all calls for a gRPC server."""
        calls = {
            call.name: grpc.unary_unary_rpc_method_handler(
                self._answering(call),
                request_deserializer=GetMessageClass(call.input_type).FromString,
                response_serializer=GetMessageClass(call.output_type).SerializeToString,
            )
            for call in _SERVICE.methods
        }
        return grpc.method_handlers_generic_handler(_SERVICE.full_name, calls)

    def _answering(self, call: Message) -> Callable[[Message, object], Message]:
        method: Callable[[Message], Fields] = getattr(
            self, re.sub(r"(?<!^)([A-Z])", r"_\1", call.name).lower(), lambda _: {}
        )
        response = GetMessageClass(call.output_type)

        def answer(request: Message, _context: object) -> Message:
            try:
                return response(**method(request))
            except RefusedError as refused:
                # A refused apply does not change the object.
                kept = {"new_state": request.prior_state} if call.name == "ApplyResourceChange" else {}
                return response(diagnostics=_diagnostics([refused]), **kept)

        return answer

    def get_provider_schema(self, _request: Message) -> Fields:
        answer = GetMessageClass(_SERVICE.methods_by_name["GetProviderSchema"].output_type)()
        ParseDict(self._schema, answer, ignore_unknown_fields=True)  # Terraform does not know the facts
        return {"provider": answer.provider, "resource_schemas": answer.resource_schemas}

    def configure_provider(self, request: Message) -> Fields:
        path: Path = ("kubernetes",) if self._name == "helm" else ()
        config = _unpack(request.config)
        access = (config["kubernetes"] if path else config) or {}
        wrong = []
        if access is not UNKNOWN:
            empty = [name for name in ("host", "token") if not access.get(name)]
            wrong += [
                RefusedError("No cluster to reach", f"{name} is empty.", (*path, name)) for name in empty
            ]
            host = access.get("host") or UNKNOWN
            if host is not UNKNOWN and not _LOOPBACK.fullmatch(host):
                detail = f"The rehearsal serves the local environment only: {host} is not on loopback."
                wrong.append(RefusedError(NOTE, detail, (*path, "host")))
        detail = f"A stand-in for the {self._name} provider writes the objects to a file, not to a cluster."
        note = {"severity": "WARNING", "summary": NOTE, "detail": detail}
        return {"diagnostics": [*_diagnostics(wrong), note]}

    def validate_resource_config(self, request: Message) -> Fields:
        return {"diagnostics": _diagnostics(find_mistakes(self._block(request), _unpack(request.config)))}

    def upgrade_resource_state(self, request: Message) -> Fields:
        return {"upgraded_state": {"json": request.raw_state.json}}

    def read_resource(self, request: Message) -> Fields:
        kind = request.type_name
        return {"new_state": _pack(self._cluster.read(kind, find_key(kind, _unpack(request.current_state))))}

    def plan_resource_change(self, request: Message) -> Fields:
        prior, plan = _unpack(request.prior_state), _unpack(request.proposed_new_state)
        if plan is None:
            return {"planned_state": request.proposed_new_state}
        block = self._block(request)
        complete(block, plan, _unpack(request.config), creating=prior is None)
        self._cluster.plan(request.type_name, prior, plan)
        replace = [] if prior is None else [_path(path) for path in find_replacements(block, prior, plan)]
        return {"planned_state": _pack(plan), "requires_replace": replace, **self._typing}

    def apply_resource_change(self, request: Message) -> Fields:
        kind, prior, plan = request.type_name, _unpack(request.prior_state), _unpack(request.planned_state)
        if plan is None:
            self._cluster.delete(kind, prior)
            return {"new_state": _pack(None)}
        state = self._cluster.apply(kind, prior, plan, _unpack(request.config))
        return {"new_state": _pack(state), **self._typing}

    def _block(self, request: Message) -> Block:
        block: Block = self._schema["resource_schemas"][request.type_name]["block"]
        return block


def schemas() -> dict[str, Any]:
    """Return the schemas of schema.json by provider, with each type as the JSON that Terraform expects."""

    def with_type(item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "type": json.dumps(item["type"])} if "type" in item else item

    found: dict[str, Any] = json.loads(_SCHEMA.read_text(), object_hook=with_type)
    return found


def _unpack(value: Message) -> Any:
    # Extension type 12 is an unknown value, too: Terraform knows only some of its properties.
    return msgpack.unpackb(value.msgpack, ext_hook=lambda _code, _data: UNKNOWN, strict_map_key=False)


def _pack(value: State | None) -> Fields:
    return {"msgpack": msgpack.packb(value)}


def _path(path: Path) -> Fields:
    """Return the message for a path: names of attributes and blocks, and positions in lists."""
    return {"steps": [{"element_key_int" if isinstance(at, int) else "attribute_name": at} for at in path]}


def _diagnostics(refusals: Iterable[RefusedError]) -> list[Fields]:
    return [
        {"severity": "ERROR", "summary": item.summary, "detail": item.detail, "attribute": _path(item.path)}
        for item in refusals
    ]
