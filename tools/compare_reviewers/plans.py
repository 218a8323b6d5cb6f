"""The plans of the corpus, as `terraform show -json` writes them.

A case in corpus/*.yaml has a name, `expect` (danger or harmless), `why`, and changes. A change has a type,
and `from` and `to`: what the case is about. The attributes that all resources of its type have are in
corpus/_types.yaml. Without `from` the resource is new, without `to` it is deleted.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_CORPUS = Path(__file__).parent / "corpus"
# Attributes that hold JSON; the corpus has them as maps.
_JSON = ("policy", "assume_role_policy")
_PROVIDERS = {"null": "hashicorp/null", "kubernetes": "hashicorp/kubernetes", "helm": "hashicorp/helm"}


@dataclass(frozen=True)
class Case:
    """One plan of the corpus.

    Attributes:
        topic: The name of its file.
        name: What happens.
        is_danger: Whether a careful engineer must be told before the apply.
        before: The plan that made what was there before: for a reviewer of states, not of changes.
        plan: The plan.

    """

    topic: str
    name: str
    is_danger: bool
    before: dict[str, Any]
    plan: dict[str, Any]


def read_corpus() -> list[Case]:
    """Return all cases, in the order of their files."""
    yaml = YAML(typ="safe")
    types = yaml.load(_CORPUS / "_types.yaml")
    return [
        _build_case(path.stem, item, types)
        for path in sorted(_CORPUS.glob("[a-z]*.yaml"))
        for item in yaml.load(path)
    ]


def _build_case(topic: str, item: dict[str, Any], types: dict[str, Any]) -> Case:
    changes = [_Change.build(change, types.get(change["type"], {})) for change in item["changes"]]
    before = [
        _Change(change.kind, change.name, None, change.before, {}) for change in changes if change.before
    ]
    return Case(topic, item["name"], item["expect"] == "danger", _write_plan(before), _write_plan(changes))


@dataclass(frozen=True)
class _Change:
    """The change of one resource of a case."""

    kind: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    item: dict[str, Any]

    @classmethod
    def build(cls, item: dict[str, Any], common: dict[str, Any]) -> "_Change":
        kind, name = item["type"], item.get("name", "this")
        known = {"id": f"{name}-0a1b2c3d", "arn": f"arn:aws:{kind}:eu-central-1:123456789012:{name}"}
        if not kind.startswith("aws_"):
            known.pop("arn")
        states = [
            None if item.get(key) is None else known | _expand(common) | _expand(item[key])
            for key in ("from", "to")
        ]
        if states[1] is not None and (states[0] is None or "replace" in item):
            for computed in known.keys() - item["to"].keys():
                del states[1][computed]
        return cls(kind, name, states[0], states[1], item)

    @property
    def address(self) -> str:
        return f"{self.kind}.{self.name}"

    @property
    def head(self) -> dict[str, Any]:
        """What Terraform writes of a resource in each place."""
        family = self.kind.partition("_")[0]
        provider = _PROVIDERS.get(family, "hashicorp/aws")
        return {
            "address": self.address,
            "mode": "managed",
            "type": self.kind,
            "name": self.name,
            "provider_name": f"registry.terraform.io/{provider}",
        }

    @property
    def actions(self) -> list[str]:
        if self.item.get("no_op"):
            return ["no-op"]
        if "replace" in self.item:
            return ["create", "delete"] if self.item.get("create_first") else ["delete", "create"]
        return ["create"] if self.before is None else ["delete"] if self.after is None else ["update"]

    @property
    def unknown(self) -> dict[str, Any]:
        unknown = dict(self.item.get("unknown", {}))
        if self.after is not None and "id" not in self.after:
            unknown |= {"id": True} | ({"arn": True} if self.kind.startswith("aws_") else {})
        return unknown

    def write(self) -> dict[str, Any]:
        """Return the element of `resource_changes`."""
        change: dict[str, Any] = {
            "actions": self.actions,
            "before": self.before,
            "after": self.after,
            "after_unknown": self.unknown,
            "before_sensitive": {},
            "after_sensitive": {},
        }
        more = {}
        if "replace" in self.item:
            change["replace_paths"] = [[self.item["replace"]]]
            more["action_reason"] = "replace_because_cannot_update"
        if self.after is None:
            more["action_reason"] = "delete_because_no_resource_config"
        if "moved" in self.item:
            more["previous_address"] = self.item["moved"]
        return self.head | more | {"change": change}


def _write_plan(changes: list[_Change]) -> dict[str, Any]:
    def write_values(states: list[tuple[_Change, Any]]) -> dict[str, Any]:
        resources = [
            change.head | {"schema_version": 0, "values": state} for change, state in states if state
        ]
        return {"root_module": {"resources": resources}}

    written = [
        {key: value for key, value in change.head.items() if key != "provider_name"}
        | {"provider_config_key": "aws", "expressions": _write_expressions(change)}
        for change in changes
        if change.after is not None
    ]
    prior = write_values([(change, change.before) for change in changes])
    return {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "planned_values": write_values([(change, change.after) for change in changes]),
        "resource_changes": [change.write() for change in changes],
        "prior_state": {"format_version": "1.0", "terraform_version": "1.11.4", "values": prior},
        "configuration": {
            "provider_config": {"aws": {"name": "aws", "full_name": "registry.terraform.io/hashicorp/aws"}},
            "root_module": {"resources": written},
        },
    }


def _write_expressions(change: _Change) -> dict[str, Any]:
    known = {
        name: {"constant_value": value}
        for name, value in (change.after or {}).items()
        if name not in ("id", "arn")
    }
    return known | {name: {"references": ["local.other"]} for name in change.item.get("unknown", {})}


def _expand(value: Any, name: str = "") -> Any:
    """Return a value of the corpus as Terraform has it: JSON as text, repeated texts in full."""
    if isinstance(value, dict) and "repeat" in value:
        texts = [value["repeat"].replace("{}", f"{number:04}") for number in range(value["times"])]
        return ",".join(texts) if value.get("join") else texts
    if isinstance(value, dict):
        found = {key: _expand(part, key) for key, part in value.items()}
        return json.dumps(found) if name in _JSON else found
    return [_expand(part) for part in value] if isinstance(value, list) else value
