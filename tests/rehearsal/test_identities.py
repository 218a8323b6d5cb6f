"""Resource identities. Terraform 1.12 and newer asks for them, so the calls are also made without it."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from local_aws import rehearsal
from local_aws.rehearsal.provider import SERVICE, Provider, pack, unpack
from tests.rehearsal.provider_2_38 import OldProvider
from tests.rehearsal.workspace import Workspace

SECRET, ACCOUNT = "kubernetes_secret_v1", "kubernetes_service_account_v1"
IN_CI = {"metadata": {"name": "x", "namespace": "${kubernetes_namespace_v1.x.metadata[0].name}"}}
NAMED = {"namespace": "ci", "name": "x"}
# The identities of the real providers: resourceidentity.go of kubernetes 3.2.1, IdentitySchema of helm 3.1.2.
IDENTITIES: dict[str, dict[str, str]] = {
    "kubernetes_namespace_v1": {"api_version": "v1", "kind": "Namespace", "name": "ci"},
    SECRET: {"api_version": "v1", "kind": "Secret", **NAMED},
    "kubernetes_network_policy_v1": {"api_version": "networking.k8s.io/v1", "kind": "NetworkPolicy", **NAMED},
    ACCOUNT: {"api_version": "v1", "kind": "ServiceAccount", **NAMED},
    "helm_release": {"namespace": "ci", "release_name": "x"},
}
RESOURCES: dict[str, dict[str, Any]] = {
    "kubernetes_namespace_v1": {"x": {"metadata": {"name": "ci"}}},
    SECRET: {"x": {**IN_CI, "data_wo": {"a": "b"}, "data_wo_revision": 1}},
    "kubernetes_network_policy_v1": {
        "x": {**IN_CI, "spec": {"pod_selector": {}, "policy_types": ["Egress"]}}
    },
    ACCOUNT: {"x": IN_CI},
    "helm_release": {
        "x": {"name": "x", "chart": "c", "namespace": "${kubernetes_namespace_v1.x.metadata[0].name}"}
    },
    "kubernetes_resource_quota_v1": {"x": {**IN_CI, "spec": {"hard": {"pods": "1"}}}},
}

Call = Callable[..., Any]
Connect = Callable[..., Call]


@pytest.fixture
def connect(workspace: Workspace) -> Iterator[Connect]:
    """A function that serves a provider and returns a function for the calls of Terraform's protocol."""
    with ExitStack() as stack:

        def connected(name: str, provider: type[Provider] = Provider) -> Call:
            served = stack.enter_context(rehearsal.running(workspace.record, provider))
            address = served[f"hashicorp/{name}"]["Addr"]["String"]
            channel = stack.enter_context(grpc.insecure_channel(f"unix:{address}"))

            def call(name: str, **fields: Any) -> Any:
                method = SERVICE.methods_by_name[name]
                request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
                return channel.unary_unary(
                    f"/{SERVICE.full_name}/{name}",
                    request_serializer=request.SerializeToString,
                    response_deserializer=response.FromString,
                )(request(**fields))

            return call

        yield connected


def _serve(workspace: Workspace, stack: ExitStack, provider: type[Provider]) -> None:
    """Let Terraform use this release of the providers from now on."""
    served = stack.enter_context(rehearsal.running(workspace.record, provider))
    workspace.environment["TF_REATTACH_PROVIDERS"] = json.dumps(served)


def _rename(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of the same object with the name `y`."""
    renamed = copy.deepcopy(state)
    (renamed["metadata"][0] if isinstance(renamed.get("metadata"), list) else renamed)["name"] = "y"
    return renamed


def test_an_object_has_the_same_identity_in_every_call(workspace: Workspace, connect: Connect) -> None:
    """Create, read, plan, update, import by id, import by identity and upgrade agree on it."""
    workspace.write(RESOURCES)
    workspace.apply()
    calls = {name: connect(name) for name in ("helm", "kubernetes")}
    described = [call("GetResourceIdentitySchemas").identity_schemas for call in calls.values()]
    assert {kind for schemas in described for kind in schemas} == IDENTITIES.keys()
    for kind, expected in IDENTITIES.items():
        call = calls[kind.partition("_")[0]]
        state = workspace.attributes()[f"{kind}.x"]
        now, identity = pack(state), {"identity_data": pack(expected)}
        new = pack(_rename(state))
        created = call(
            "ApplyResourceChange", type_name=kind, prior_state=pack(None), planned_state=new, config=new
        )
        name = {"release_name": "y"} if "release_name" in expected else {"name": "y"}
        assert unpack(created.new_identity.identity_data) == expected | name
        change: dict[str, Any] = {"type_name": kind, "prior_state": now, "config": now}
        key = "ci/x" if "namespace" in expected else "ci"
        imported = [
            call("ImportResourceState", type_name=kind, **by).imported_resources[0].identity
            for by in ({"id": key}, {"identity": identity})
        ]
        planned = call("PlanResourceChange", **change, proposed_new_state=now, prior_identity=identity)
        updated = call("ApplyResourceChange", **change, planned_state=now, planned_identity=identity)
        read = call("ReadResource", type_name=kind, current_state=now)
        answers = [*imported, planned.planned_identity, updated.new_identity, read.new_identity]
        assert [unpack(answer.identity_data) for answer in answers] == [expected] * len(answers)
        upgraded = call(
            "UpgradeResourceIdentity", type_name=kind, raw_identity={"json": json.dumps(expected).encode()}
        )
        assert json.loads(upgraded.upgraded_identity.identity_data.json) == expected
    quota = pack(workspace.attributes()["kubernetes_resource_quota_v1.x"])
    answer = calls["kubernetes"](
        "ReadResource", type_name="kubernetes_resource_quota_v1", current_state=quota
    )
    assert not answer.HasField("new_identity")


@pytest.mark.parametrize(
    ("provider", "summary"), [(OldProvider, "Unexpected Identity Change"), (Provider, "")]
)
def test_only_the_old_provider_refuses_the_identity_of_nulls_that_it_has_stored(
    workspace: Workspace, connect: Connect, provider: type[Provider], summary: str
) -> None:
    """Provider 2.38.0 stored it after a failed create; 3.2.1 puts the real one in its place."""
    workspace.write({kind: RESOURCES[kind] for kind in ("kubernetes_namespace_v1", ACCOUNT)})
    workspace.apply()
    state = pack(workspace.attributes()[f"{ACCOUNT}.x"])
    nulls = {"identity_data": pack(dict.fromkeys(IDENTITIES[ACCOUNT]))}
    read = connect("kubernetes", provider)
    answer = read("ReadResource", type_name=ACCOUNT, current_state=state, current_identity=nulls)
    assert [item.summary for item in answer.diagnostics] == [summary] * bool(summary)
    assert (unpack(answer.new_identity.identity_data) == IDENTITIES[ACCOUNT]) == (not summary)


def test_a_state_of_the_old_provider_is_read_by_the_new_one(workspace: Workspace) -> None:
    """The plan after the move is empty, but for the object whose creation had failed before."""
    fault = workspace.folder / "record-faults.json"
    with ExitStack() as stack:
        _serve(workspace, stack, OldProvider)
        fault.write_text(json.dumps({ACCOUNT: {"ci/x": "create"}}))
        workspace.write(RESOURCES)
        workspace.terraform("apply", "-auto-approve", fails=True)
        fault.unlink()
        old = workspace.state()
        assert old[f"{ACCOUNT}.x"]["status"] == "tainted"
        if workspace.knows_identities():
            assert set(old[f"{SECRET}.x"]["identity"].values()) == {None}
            assert "Unexpected Identity Change" in workspace.terraform("plan", fails=True)
        _serve(workspace, stack, Provider)
        actions = {address: change["actions"] for address, change in workspace.plan().items()}
        assert actions == {f"{ACCOUNT}.x": ["delete", "create"]}
        workspace.apply()
        assert workspace.plan() == {}
        if workspace.knows_identities():
            assert workspace.state()[f"{SECRET}.x"]["identity"] == IDENTITIES[SECRET]
