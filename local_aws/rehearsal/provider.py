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
from local_aws.rehearsal import identities
from local_aws.rehearsal.cluster import Cluster, find_key
from local_aws.rehearsal.faults import Faults
from local_aws.rehearsal.planning import (
    UNKNOWN,
    Block,
    Path,
    RefusedError,
    State,
    complete,
    drop_unknown,
    find_mistakes,
    find_replacements,
)
from local_aws.rehearsal.record import NOTE

Message = Any  # protobuf makes the classes at run time
Fields = dict[str, Any]

_PROTOCOL = protocol.read(pathlib.Path(__file__).with_name("tfplugin6.proto"))
SERVICE = _PROTOCOL.services_by_name["Provider"]
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
        self._faults = Faults(record)
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
            for call in SERVICE.methods
        }
        return grpc.method_handlers_generic_handler(SERVICE.full_name, calls)

    def _answering(self, call: Message) -> Callable[[Message, object], Message]:
        method: Callable[[Message], Fields] = getattr(
            self, re.sub(r"(?<!^)([A-Z])", r"_\1", call.name).lower(), lambda _: {}
        )
        response = GetMessageClass(call.output_type)

        def answer(request: Message, _context: object) -> Message:
            try:
                return response(**method(request))
            except RefusedError as refused:
                kept: Fields = {}
                if call.name == "ApplyResourceChange":  # a refused apply does not change the object
                    kept = {"new_state": request.prior_state, "new_identity": request.planned_identity}
                return response(diagnostics=_diagnostics([refused]), **kept)

        return answer

    def get_provider_schema(self, _request: Message) -> Fields:
        answer = GetMessageClass(SERVICE.methods_by_name["GetProviderSchema"].output_type)()
        ParseDict(self._schema, answer, ignore_unknown_fields=True)  # Terraform does not know the facts
        return {"provider": answer.provider, "resource_schemas": answer.resource_schemas}

    def configure_provider(self, request: Message) -> Fields:
        path: Path = ("kubernetes",) if self._name == "helm" else ()
        config = unpack(request.config)
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
        return {"diagnostics": _diagnostics(find_mistakes(self._block(request), unpack(request.config)))}

    def upgrade_resource_state(self, request: Message) -> Fields:
        return {"upgraded_state": {"json": request.raw_state.json}}

    def get_resource_identity_schemas(self, _request: Message) -> Fields:
        return {"identity_schemas": identities.describe(self._schema["identities"])}

    def upgrade_resource_identity(self, request: Message) -> Fields:
        return {"upgraded_identity": {"identity_data": {"json": request.raw_identity.json}}}

    def read_resource(self, request: Message) -> Fields:
        kind, known = request.type_name, unpack(request.current_state)
        key = find_key(kind, known)
        if self._faults.ordered(kind, key, "read"):
            raise self._faults.error(kind, key, "read")
        state = self._cluster.read(kind, key, known)
        return {"new_state": pack(state), **self._identity("new_identity", kind, state)}

    def import_resource_state(self, request: Message) -> Fields:
        kind = request.type_name
        key = request.id or identities.find_key(unpack(request.identity.identity_data))
        state = self._cluster.find(kind, key)
        if state is None:
            raise RefusedError("Cannot import non-existent remote object", f"{kind} {key} is not there.")
        if self._name == "helm":  # Helm keeps neither the repository nor the text of the values
            state = {**state, "repository": None, "values": None}
        imported = {"type_name": kind, "state": pack(state), **self._identity("identity", kind, state)}
        return {"imported_resources": [imported]}

    def plan_resource_change(self, request: Message) -> Fields:
        prior, plan = unpack(request.prior_state), unpack(request.proposed_new_state)
        if plan is None:
            return {"planned_state": request.proposed_new_state, "planned_identity": request.prior_identity}
        block = self._block(request)
        complete(block, plan, unpack(request.config), creating=prior is None)
        self._cluster.plan(request.type_name, prior, plan)
        replace = [] if prior is None else [_path(path) for path in find_replacements(block, prior, plan)]
        # The identity of a new object is known only after the apply, as with the real providers.
        return {
            "planned_state": pack(plan),
            "planned_identity": request.prior_identity,
            "requires_replace": replace,
            **self._typing,
        }

    def apply_resource_change(self, request: Message) -> Fields:
        kind, prior, plan = request.type_name, unpack(request.prior_state), unpack(request.planned_state)
        operation = "create" if prior is None else "delete" if plan is None else "update"
        key = find_key(kind, drop_unknown(plan or prior))
        if self._faults.ordered(kind, key, operation):
            return self._fail_half_way(operation, key, request)
        if plan is None:
            self._cluster.delete(kind, prior)
            return {"new_state": pack(None)}
        state = self._cluster.apply(kind, prior, plan, unpack(request.config))
        return {"new_state": pack(state), **self._identity("new_identity", kind, state), **self._typing}

    def _fail_half_way(self, operation: str, key: str, request: Message) -> Fields:
        """Carry out the part of an apply that a real provider leaves behind when it fails, and report that.

        helm 3.1.2 (resource_helm_release.go) returns no state after a failed install and the old state after
        a failed upgrade. kubernetes 3.2.1 is built on terraform-plugin-sdk 2.38.2, which returns what was
        planned after both (ResourceData.State), and no identity. After a failed deletion Terraform keeps the
        old state.
        """
        kind, prior, plan = request.type_name, unpack(request.prior_state), unpack(request.planned_state)
        answer: Fields = {"diagnostics": _diagnostics([self._faults.error(kind, key, operation)])}
        if operation == "delete":
            self._cluster.empty(kind, key)
            kept = prior if self._name == "helm" else None
            return {"new_state": pack(kept), **answer}
        if self._name == "helm":
            self._cluster.fail_release(key, prior, plan)
            return {"new_state": pack(prior), **answer}
        if operation == "create":
            plan = self._cluster.apply(kind, prior, plan, unpack(request.config))
        return {"new_state": pack(drop_unknown(plan)), **answer, **self._typing}

    def _identity(self, field: str, kind: str, state: State | None) -> Fields:
        """Return the field of an answer that has the identity of an object; nothing if it has none."""
        identity = self._schema["identities"].get(kind)
        if state is None or identity is None:
            return {}
        return {field: {"identity_data": pack(identities.identify(identity, find_key(kind, state)))}}

    def _block(self, request: Message) -> Block:
        block: Block = self._schema["resource_schemas"][request.type_name]["block"]
        return block


def schemas() -> dict[str, Any]:
    """Return the schemas of schema.json by provider, with each type as the JSON that Terraform expects."""

    def with_type(item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "type": json.dumps(item["type"])} if "type" in item else item

    found: dict[str, Any] = json.loads(_SCHEMA.read_text(), object_hook=with_type)
    return found


def unpack(value: Message) -> Any:
    """Return the value of a DynamicValue; None for an empty one."""
    if not value.msgpack:
        return None
    # Extension type 12 is an unknown value, too: Terraform knows only some of its properties.
    return msgpack.unpackb(value.msgpack, ext_hook=lambda _code, _data: UNKNOWN, strict_map_key=False)


def pack(value: State | None) -> Fields:
    """Return the fields of a DynamicValue."""
    return {"msgpack": msgpack.packb(value)}


def _path(path: Path) -> Fields:
    """Return the message for a path: names of attributes and blocks, and positions in lists."""
    return {"steps": [{"element_key_int" if isinstance(at, int) else "attribute_name": at} for at in path]}


def _diagnostics(refusals: Iterable[RefusedError]) -> list[Fields]:
    return [
        {"severity": "ERROR", "summary": item.summary, "detail": item.detail, "attribute": _path(item.path)}
        for item in refusals
    ]
