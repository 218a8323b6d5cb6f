"""The identities of the kubernetes provider 2.38.0, which made Terraform 1.12 and newer fail.

It set the identity of an object after it had read the object. A create that failed before, and every Secret
with `data_wo`, left an identity of nulls (terraform-provider-kubernetes issue 2779 and pull request 2859;
resource_kubernetes_secret_v1.go of 2.38.0). Its terraform-plugin-sdk 2.37.0 refuses another identity than the
one in the state, nulls too (grpc_provider.go).
"""

from typing import Any

from local_aws.rehearsal.provider import Fields, Message, Provider, pack, unpack


class OldProvider(Provider):
    """Both stand-ins, with the identities of kubernetes provider 2.38.0."""

    def read_resource(self, request: Message) -> Fields:
        """Read an object, and keep the identity of a Secret with `data_wo`."""
        answer = super().read_resource(request)
        stored = unpack(request.current_identity.identity_data)
        if "new_identity" not in answer or _writes_only(unpack(request.current_state)):
            return {**answer, "new_identity": request.current_identity}
        if stored is not None and pack(stored) != answer["new_identity"]["identity_data"]:
            return {"diagnostics": [{"severity": "ERROR", "summary": "Unexpected Identity Change"}]}
        return answer

    def apply_resource_change(self, request: Message) -> Fields:
        """Apply a change, with an identity of nulls where 2.38.0 has not set it."""
        answer = super().apply_resource_change(request)
        state = unpack(request.planned_state)
        identity = self._schema["identities"].get(request.type_name)
        if identity and state and ("diagnostics" in answer or _writes_only(state)):
            nulls = dict.fromkeys([*identity["required"], *identity["optional"]])
            answer["new_identity"] = {"identity_data": pack(nulls)}
        return answer


def _writes_only(state: dict[str, Any]) -> bool:
    return bool(state.get("data_wo_revision"))
