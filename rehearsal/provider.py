"""Intent: one stand-in as Terraform sees it: protocol 6 outside, plain Python inside.

Not here: what differs between resource types; that is schema.json, cluster.py and release.py.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

import grpc
from google.protobuf.message_factory import GetMessageClass

from rehearsal import planning
from rehearsal.record import NOTE
from rehearsal.wire import UNKNOWN, Refused, attribute_path, diagnostic, messages, pack, unpack

Block = planning.Block
State = dict[str, Any]
Message = Any  # protobuf makes the classes at run time

_LOCAL_ONLY = (
    "The rehearsal is only for the local environment: the host must be a loopback address, not {!r}."
)


class Objects(Protocol):
    """What a stand-in does with its resources. `kind` is a resource type, e.g. `helm_release`."""

    def plan(self, kind: str, prior: State | None, plan: State, config: State) -> tuple[State, list[str]]:
        """Finish a plan; also names attributes whose change forces a replacement just now."""

    def create(self, kind: str, plan: State, config: State) -> State:
        """Record a new object."""

    def read(self, kind: str, state: State) -> State | None:
        """The object as recorded, None when it is gone."""

    def update(self, kind: str, prior: State, plan: State, config: State) -> State:
        """Change a recorded object."""

    def delete(self, kind: str, state: State) -> None:
        """Remove an object; one that is gone already is no error."""

    def imported(self, kind: str, name: str) -> State:
        """The first state of an object to import, enough for read."""


class Provider:
    """The service tfplugin6.Provider. A method per call, named as the call in snake case."""

    def __init__(self, name: str, schema: dict[str, Any], objects: Objects) -> None:
        self._name = name
        self._schema = schema
        self._objects = objects
        # The kubernetes provider is built on Terraform's older SDK, whose looser rules core knows by this
        # flag.
        self._legacy = name == "kubernetes"

    def handler(self) -> Message:
        """All calls, as a handler for a gRPC server."""
        service = messages.DESCRIPTOR.services_by_name["Provider"]
        calls = {
            call.name: grpc.unary_unary_rpc_method_handler(
                getattr(self, re.sub(r"(?<!^)([A-Z])", r"_\1", call.name).lower()),
                request_deserializer=GetMessageClass(call.input_type).FromString,
                response_serializer=GetMessageClass(call.output_type).SerializeToString,
            )
            for call in service.methods
        }
        return grpc.method_handlers_generic_handler(service.full_name, calls)

    def get_provider_schema(self, _request: Message, _context: object) -> Message:
        resources = {name: _schema(block) for name, block in self._schema["resources"].items()}
        return messages.GetProviderSchema.Response(
            provider=_schema(self._schema["provider"]), resource_schemas=resources
        )

    def validate_provider_config(self, request: Message, _context: object) -> Message:
        found = self._access_problems(unpack(request.config), configuring=False)
        return messages.ValidateProviderConfig.Response(diagnostics=found)

    def configure_provider(self, request: Message, _context: object) -> Message:
        detail = f"A stand-in for the {self._name} provider keeps what would be in the cluster in a file."
        found = [
            *self._access_problems(unpack(request.config), configuring=True),
            diagnostic(NOTE, detail, warning=True),
        ]
        return messages.ConfigureProvider.Response(diagnostics=found)

    def validate_resource_config(self, request: Message, _context: object) -> Message:
        found = planning.complaints(self._block(request), unpack(request.config))
        diagnostics = [diagnostic("Invalid configuration", text, path) for text, path in found]
        return messages.ValidateResourceConfig.Response(diagnostics=diagnostics)

    def upgrade_resource_state(self, request: Message, _context: object) -> Message:
        return messages.UpgradeResourceState.Response(
            upgraded_state=messages.DynamicValue(json=request.raw_state.json)
        )

    def read_resource(self, request: Message, _context: object) -> Message:
        state = self._objects.read(request.type_name, unpack(request.current_state))
        return messages.ReadResource.Response(new_state=pack(state))

    def plan_resource_change(self, request: Message, _context: object) -> Message:
        block, prior, config = self._block(request), unpack(request.prior_state), unpack(request.config)
        proposed = unpack(request.proposed_new_state)
        if proposed is None:
            return messages.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        plan = planning.planned(block, proposed, config, creating=prior is None)
        try:
            plan, also = self._objects.plan(request.type_name, prior, plan, config)
        except Refused as refused:
            return messages.PlanResourceChange.Response(diagnostics=[refused.diagnostic])
        replace = (
            [] if prior is None else [*planning.replacements(block, prior, plan), *((name,) for name in also)]
        )
        return messages.PlanResourceChange.Response(
            planned_state=pack(plan),
            requires_replace=map(attribute_path, replace),
            legacy_type_system=self._legacy,
        )

    def apply_resource_change(self, request: Message, _context: object) -> Message:
        kind, config = request.type_name, unpack(request.config)
        prior, plan = unpack(request.prior_state), unpack(request.planned_state)
        answer = messages.ApplyResourceChange.Response
        try:
            if plan is None:
                self._objects.delete(kind, prior)
                return answer(new_state=pack(None))
            update = (
                self._objects.update(kind, prior, plan, config)
                if prior
                else self._objects.create(kind, plan, config)
            )
        except Refused as refused:
            return answer(new_state=request.prior_state, diagnostics=[refused.diagnostic])
        return answer(new_state=pack(update), legacy_type_system=self._legacy)

    def import_resource_state(self, request: Message, _context: object) -> Message:
        state = self._objects.imported(request.type_name, request.id)
        found = [{"type_name": request.type_name, "state": pack(state)}]
        return messages.ImportResourceState.Response(imported_resources=found)

    def stop_provider(self, _request: Message, _context: object) -> Message:
        return messages.StopProvider.Response()

    def _block(self, request: Message) -> Block:
        block: Block = self._schema["resources"][request.type_name]
        return block

    def _access_problems(self, config: State, *, configuring: bool) -> Iterator[Message]:
        """What is wrong with the way to the cluster; a plan may not know it, null counts when configuring."""
        path = ("kubernetes",) if self._name == "helm" else ()
        access = config["kubernetes"] if path else config
        if access is None and configuring:
            yield diagnostic("No cluster to reach", "kubernetes is not set.", path)
        if access is None or access is UNKNOWN:
            return
        credentials = ("exec", "client_certificate", "username")
        needed = {"host": True, "token": not any(access[name] for name in credentials)}
        for name, must in needed.items():
            if access[name] == "" or (access[name] is None and must and configuring):
                yield diagnostic("No cluster to reach", f"{name} is empty.", (*path, name))
        if access["host"] and access["host"] is not UNKNOWN and not _is_loopback(access["host"]):
            yield diagnostic(NOTE, _LOCAL_ONLY.format(access["host"]), (*path, "host"))


def _is_loopback(host: str) -> bool:
    """Whether an API server's address (`https://localhost:16443`, scheme optional) is this machine's own."""
    try:
        name = urlsplit(host if "//" in host else f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _schema(block: Block) -> Message:
    return messages.Schema(version=block.get("version", 0), block=_block(block))


def _block(block: Block) -> Message:
    nested = [
        {
            "type_name": name,
            "block": _block(each),
            "nesting": each["nesting"].upper(),
            # A single block has its limits in its nesting.
            **({} if each["nesting"] == "single" else {"min_items": each["min"], "max_items": each["max"]}),
        }
        for name, each in block["blocks"].items()
    ]
    return messages.Schema.Block(attributes=_attributes(block), block_types=nested)


def _attributes(block: Block) -> list[Message]:
    found = []
    for name, each in block["attributes"].items():
        flags = {**dict.fromkeys(each["mode"].split("+"), True), "write_only": each.get("write_only", False)}
        attribute = messages.Schema.Attribute(name=name, sensitive=each.get("sensitive", False), **flags)
        if "nesting" in each:
            nesting = messages.Schema.Nesting.Value(each["nesting"].upper())
            attribute.nested_type.MergeFrom(
                messages.Schema.Object(attributes=_attributes(each), nesting=nesting)
            )
        else:
            attribute.type = _json_type(each["type"])
        found.append(attribute)
    return found


def _json_type(kind: str | list[str]) -> bytes:
    return f'"{kind}"'.encode() if isinstance(kind, str) else f'["{kind[0]}","{kind[1]}"]'.encode()
