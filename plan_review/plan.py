"""Read a plan as `terraform show -json` writes it (Terraform, "JSON Output Format")."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any

from plan_review.values import (
    UNKNOWN,
    Difference,
    Unknown,
    find_differences,
    has_mark,
    is_unknown,
    is_within,
    mark_unknown,
    mask_secrets_of,
    mask_sensitive,
    parse_json,
    top_level,
)

# Terraform's `action_reason` in words. Other reasons need none.
REASONS = {
    "replace_because_tainted": "it is tainted",
    "replace_by_request": "asked for by -replace",
    "replace_by_triggers": "by replace_triggered_by",
    "delete_because_no_resource_config": "it is no longer in the configuration",
    "delete_because_no_module": "its module is no longer in the configuration",
    "delete_because_wrong_repetition": "count or for_each was added or removed",
    "delete_because_count_index": "its index is beyond count",
    "delete_because_each_key": "its key is no longer in for_each",
    "delete_because_no_move_target": "its moved block leads nowhere",
}
# Terraform's `actions` in one word.
ACTIONS: dict[tuple[str, ...], str] = {
    ("no-op",): "no-op",
    ("create",): "create",
    ("read",): "read",
    ("update",): "update",
    ("delete",): "delete",
    ("forget",): "forget",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("create", "forget"): "replace",
}
# A plan's JSON has about 200 values for each resource, and a review takes up to 200 bytes of memory and 5 µs
# for one; for a dangerous change it takes up to 400 µs.
MAX_BYTES = 100_000_000
MAX_VALUES = 1_500_000
MAX_CHANGES = 20_000
# A longer expression does not help a reader.
MAX_EXPRESSION_LENGTH = 100

_INDEX = re.compile(r'\[(?:"(?:[^"\\]|\\.)*"|\d+)\]')


class PlanError(Exception):
    """A file can't be used for a review; the message says why and what is accepted."""


@dataclass(frozen=True)
class Change:
    """The change of one resource.

    Attributes:
        address: Terraform's address; for a deposed object, with the deposed key.
        type: The resource's type.
        action: create, update, replace, delete, forget, read or no-op.
        before: Attributes before, masked; None if the resource does not exist yet.
        after: Attributes afterwards, masked, with unknown values marked; None if it is deleted.
        reason: Why Terraform replaces or deletes it, in words; may be empty.
        replace_paths: Paths of the attributes that force a replacement.
        create_first: For a replacement, whether the new one is created before the old one is deleted.
        forgets: For a replacement, whether the old one stays, unmanaged.
        previous_address: Address before a move; empty if the resource is not moved.
        importing: Whether the resource is imported.
        import_id: The ID or the identity by which it is imported; may be empty.
        configured: The attributes that the configuration sets, each with its string there (Terraform's
            JSON syntax) or with its reference (HCL), as far as the plan has it; None if the plan holds
            no configuration. The attributes of a block, such as `launch_template.id`, are those of its
            first one.
        region: The region that the configuration gives to the AWS provider of the resource; may be empty.

    """

    address: str
    type: str
    action: str
    before: Any
    after: Any
    reason: str = ""
    replace_paths: tuple[str, ...] = ()
    create_first: bool = False
    forgets: bool = False
    previous_address: str = ""
    importing: bool = False
    import_id: str = ""
    configured: Mapping[str, str] | None = None
    region: str = ""

    def find_region(self, state: Mapping[str, Any] | None) -> str:
        """Return the region in a state: AWS provider 6's own attribute, the ARN's, or the configuration's."""
        for attributes in (state or {}, self.before or {}):
            if isinstance(name := attributes.get("region"), str) and name:
                return name
            arn = attributes.get("arn")
            if isinstance(arn, str) and arn.count(":") >= 5 and arn.split(":")[3]:  # noqa: PLR2004 - an ARN's parts
                return arn.split(":")[3]
        return self.region

    @cached_property
    def changed(self) -> list[str]:
        """The names of the attributes whose values are not the same. Comparing them so costs little."""
        before, after = self.before or {}, self.after or {}
        return [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]

    @cached_property
    def differences(self) -> list[Difference]:
        """The attributes that differ, without those that the provider computes during the apply."""
        before, after = (
            {name: side[name] for name in self.changed if name in side}
            for side in (self.before or {}, self.after or {})
        )
        return [
            replace(item, after=Unknown(self._get_expression(item.path))) if item.after == UNKNOWN else item
            for item in find_differences(before, after)
            if not is_unknown(item.after) or self.is_configured(item.path) or self.forces(item)
        ]

    def _get_expression(self, path: str) -> str:
        text = (self.configured or {}).get(path, "")
        return text if len(text) <= MAX_EXPRESSION_LENGTH else ""

    def is_configured(self, path: str) -> bool:
        """Return whether the configuration may set an attribute; true if the plan holds no configuration."""
        return self.configured is None or top_level(path) in ("", *self.configured)

    @cached_property
    def after_as_written(self) -> Any:
        """The attributes afterwards; an unknown string that holds JSON is taken from the configuration."""
        if not isinstance(self.after, dict):
            return self.after
        written = self.configured or {}
        return {
            name: written[name]
            if isinstance(value, Unknown) and isinstance(parse_json(written.get(name)), dict)
            else value
            for name, value in self.after.items()
        }

    def forces(self, difference: Difference) -> bool:
        """Return whether a difference forces the replacement."""
        return any(is_within(difference.path, path) for path in self.replace_paths)

    def get(self, name: str) -> tuple[Any, Any]:
        """Return an attribute before and after."""
        return (self.before or {}).get(name), (self.after or {}).get(name)


@dataclass(frozen=True)
class OutputChange:
    """The change of one output of the root module.

    Attributes:
        name: The output's name.
        action: create, update, delete or no-op.
        before: Its value before, masked.
        after: Its value afterwards, masked, with unknown values marked.

    """

    name: str
    action: str
    before: Any
    after: Any

    @property
    def differences(self) -> list[Difference]:
        """The parts of the value that differ, without those that are known only after the apply."""
        before, after = ({} if side is None else side for side in (self.before, self.after))
        return [
            item for item in find_differences(before, after) if not item.path or not is_unknown(item.after)
        ]


@dataclass(frozen=True)
class Action:
    """An action that the apply runs.

    Attributes:
        address: Terraform's address.
        type: The action's type.
        configuration: Its configuration, masked, with unknown values marked; may be None.
        resource: The address of the resource that triggers it; empty if it is run alone.
        event: The event that triggers it, in Terraform's words.
        on_failure: Terraform's word for what a failure means; may be empty.
        is_invoked: Whether the command line asks for it.

    """

    address: str
    type: str
    configuration: Any
    resource: str = ""
    event: str = ""
    on_failure: str = ""
    is_invoked: bool = False


@dataclass(frozen=True)
class Deferred:
    """A change or an action that Terraform leaves to a later plan.

    Attributes:
        address: Terraform's address.
        action: The change in one word.
        reason: Terraform's word for the reason.

    """

    address: str
    action: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """One plan.

    Attributes:
        resources: Changes of managed resources, with those that change nothing.
        outputs: Changes of the root module's outputs.
        drift: Changes that Terraform found in the resources since the last apply.
        failed_checks: Messages of `check` blocks and conditions that fail.
        complete: False if Terraform deferred a part of the work to a later plan.
        actions: Actions that the apply runs (Terraform 1.14 and later).
        deferred: The changes and actions of the part that Terraform deferred.
        configuration: The configuration, and the values of the variables that are not sensitive; empty if the
            plan holds none.

    """

    resources: tuple[Change, ...]
    outputs: tuple[OutputChange, ...]
    drift: tuple[Change, ...]
    failed_checks: tuple[str, ...]
    complete: bool
    actions: tuple[Action, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    configuration: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def configuration_sha256(self) -> str:
        """The checksum of the configuration; empty if the plan holds none."""
        if not self.configuration:
            return ""
        return hashlib.sha256(json.dumps(self.configuration, sort_keys=True).encode()).hexdigest()

    @cached_property
    def changes(self) -> list[Change]:
        """The changes that do something to a resource or to its address in the state."""
        return [
            change
            for change in self.resources
            if change.action != "no-op" or change.previous_address or change.importing
        ]

    @property
    def output_changes(self) -> list[OutputChange]:
        """The outputs that get another value."""
        return [change for change in self.outputs if change.action != "no-op"]


def read_plan(text: str | bytes) -> Plan:
    """Return the plan in a JSON text.

    Raises:
        PlanError: If it is not JSON, not a plan, of an unknown format, or the plan of a failed run. Also if
            it is larger than a review can take.

    """
    _refuse_large(text)
    try:
        document = json.loads(text)
    except ValueError:
        raise PlanError("not JSON. Accepted: what `terraform show -json <plan file>` prints") from None
    if not isinstance(document, dict) or "format_version" not in document:
        raise PlanError("not a plan. Accepted: what `terraform show -json <plan file>` prints")
    version = str(document["format_version"])
    if version.partition(".")[0] not in ("0", "1"):
        raise PlanError(
            f"format_version: {version}: unknown. Accepted: 0.x and 1.x. Plan with a Terraform that writes "
            "one of these, or take a newer version of this review"
        )
    if "planned_values" not in document and "resource_changes" not in document:
        raise PlanError("a state, not a plan. Accepted: what `terraform show -json <plan file>` prints")
    if document.get("errored"):
        raise PlanError(
            "the plan of a run that failed: incomplete. Accepted: the plan of a run without errors"
        )
    try:
        return _read_document(document)
    except (AttributeError, KeyError, TypeError):
        raise PlanError(
            "not laid out as a plan. Accepted: what `terraform show -json <plan file>` prints"
        ) from None


def _refuse_large(text: str | bytes) -> None:
    """Refuse a text that would take minutes and gigabytes, before its values are built."""
    if isinstance(text, bytes):
        values = sum(text.count(sign) for sign in (b",", b"[", b"{"))
    else:
        values = sum(text.count(sign) for sign in (",", "[", "{"))
    if len(text) > MAX_BYTES or values > MAX_VALUES:
        raise PlanError(
            f"has {len(text) // 10**6} MB and about {values} values. Accepted: up to {MAX_BYTES // 10**6} MB "
            f"and {MAX_VALUES} values, as of some 7000 resources: split the configuration"
        )


def _read_document(document: Mapping[str, Any]) -> Plan:
    module = (document.get("configuration") or {}).get("root_module")
    configured = None if module is None else dict(_read_configuration(module, ""))
    regions = dict(_read_regions(document))
    resources = tuple(_read_resources(document.get("resource_changes"), configured, regions))
    number = sum(change.action != "no-op" for change in resources)
    if number > MAX_CHANGES:
        raise PlanError(
            f"changes {number} resources. Accepted: up to {MAX_CHANGES}: plan a part of them with -target"
        )
    return Plan(
        resources=resources,
        outputs=tuple(
            OutputChange(name, _read_action(name, change), *_read_values(change))
            for name, change in (document.get("output_changes") or {}).items()
        ),
        drift=tuple(_read_resources(document.get("resource_drift"), None, {})),
        failed_checks=tuple(_read_failed_checks(document.get("checks") or [])),
        complete=bool(document.get("complete", True)),
        actions=tuple(_read_action_invocation(item) for item in document.get("action_invocations") or []),
        deferred=tuple(_read_deferred(document)),
        configuration=_read_whole_configuration(document),
    )


def _read_whole_configuration(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what unknown and sensitive values follow from, without secrets that the plan holds."""
    configuration = document.get("configuration")
    if not configuration:
        return {}
    declared = (configuration.get("root_module") or {}).get("variables") or {}
    variables = {
        name: value
        for name, value in (document.get("variables") or {}).items()
        if name in declared and not declared[name].get("sensitive")
    }
    return {"configuration": configuration, "variables": variables}


def _read_action_invocation(item: Mapping[str, Any]) -> Action:
    trigger = item.get("lifecycle_action_trigger") or {}
    invoked = item.get("invoke_action_trigger")
    marked = mark_unknown(item.get("config_values"), item.get("config_unknown"))
    configuration = mask_sensitive(marked, item.get("config_sensitive"))
    if not isinstance(configuration, dict | None):
        configuration = {"configuration": configuration}
    caller = (invoked or {}).get("calling_resource_address")
    return Action(
        address=str(item["address"]),
        type=str(item["type"]),
        configuration=configuration,
        resource=str(trigger.get("triggering_resource_address") or caller or ""),
        event=str(trigger.get("action_trigger_event") or ""),
        on_failure=str(trigger.get("on_failure") or ""),
        is_invoked=invoked is not None,
    )


def _read_deferred(document: Mapping[str, Any]) -> Iterator[Deferred]:
    for item in document.get("deferred_changes") or []:
        change = item["resource_change"]
        if change["mode"] == "managed":
            address = str(change["address"])
            yield Deferred(address, _read_action(address, change["change"]), str(item["reason"]))
    for item in document.get("deferred_action_invocations") or []:
        yield Deferred(str(item["action_invocation"]["address"]), "action", str(item["reason"]))


def _read_resources(
    items: list[Any] | None,
    configured: Mapping[str, Mapping[str, str]] | None,
    regions: Mapping[str, str],
) -> Iterator[Change]:
    """Yield the changes of managed resources."""
    for item in items or []:
        if item["mode"] == "managed":
            change = _read_change(item, configured, regions)
            states = (change.before, change.after)
            # Only a resource that comes or goes lacks one of the two.
            if not all(isinstance(state, dict | None) for state in states) or (
                change.action == "update" and None in states
            ):
                raise TypeError
            yield change


def _read_configuration(module: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the address and the configured attributes of each resource of a module and its child modules."""
    for resource in module.get("resources") or []:
        yield f"{prefix}{resource['address']}", dict(_read_expressions(resource.get("expressions") or {}))
    for name, call in (module.get("module_calls") or {}).items():
        yield from _read_configuration(call.get("module") or {}, f"{prefix}module.{name}.")


def _read_expressions(expressions: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, expression in expressions.items():
        yield name, _read_expression(expression)
        if isinstance(expression, list) and expression and isinstance(expression[0], dict):
            for key, value in expression[0].items():
                yield f"{name}.{key}", _read_expression(value)


def _read_regions(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the address of each resource with the region of its AWS provider, as far as it is in the plan."""
    configuration = document.get("configuration") or {}
    regions = {}
    for key, provider in (configuration.get("provider_config") or {}).items():
        region = _read_expression((provider.get("expressions") or {}).get("region"))
        if region.startswith("${var."):
            variable = (document.get("variables") or {}).get(region[6:-1]) or {}
            region = str(variable.get("value") or "")
        if region and "${" not in region:
            regions[key] = region
    if regions:
        yield from _find_regions(configuration.get("root_module") or {}, "", regions)


def _find_regions(
    module: Mapping[str, Any], prefix: str, regions: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for resource in module.get("resources") or []:
        if region := regions.get(str(resource.get("provider_config_key"))):
            yield f"{prefix}{resource['address']}", region
    for name, call in (module.get("module_calls") or {}).items():
        yield from _find_regions(call.get("module") or {}, f"{prefix}module.{name}.", regions)


def _read_expression(expression: Any) -> str:
    if not isinstance(expression, dict):
        return ""
    text, references = expression.get("constant_value"), expression.get("references")
    if isinstance(text, str):
        return text
    return f"${{{references[0]}}}" if isinstance(references, list) and references else ""


def _read_change(
    item: Mapping[str, Any],
    configured: Mapping[str, Mapping[str, str]] | None,
    regions: Mapping[str, str],
) -> Change:
    change = item["change"]
    # In the drift of Terraform 1.0.0 the address is missing.
    address = item["address"] if "address" in item else _build_address(item)
    if not isinstance(address, str) or not isinstance(item["type"], str):
        raise TypeError
    action = _read_action(address, change)
    deposed = item.get("deposed")
    in_configuration = _INDEX.sub("", address)
    before, after = _read_values(change)
    return Change(
        address=f"{address} (deposed {deposed})" if deposed else address,
        type=item["type"],
        action=action,
        before=before,
        after=after,
        reason=REASONS.get(str(item.get("action_reason")), ""),
        replace_paths=tuple(_write_path(path) for path in change.get("replace_paths") or []),
        create_first=change["actions"][0] == "create",
        forgets=action == "replace" and "forget" in change["actions"],
        previous_address=str(item.get("previous_address") or ""),
        importing=change.get("importing") is not None,
        import_id=_read_import_id(change.get("importing")),
        # A resource without a configuration sets no attribute.
        configured=None if configured is None else configured.get(in_configuration, {}),
        region=regions.get(in_configuration, ""),
    )


def _read_import_id(importing: Any) -> str:
    """Return the ID of an import; its identity (Terraform 1.12 and later) as `name=value`."""
    if not isinstance(importing, dict):
        return ""
    identity = importing.get("identity")
    if isinstance(identity, dict):
        return ", ".join(f"{key}={value}" for key, value in identity.items() if value is not None)
    return str(importing.get("id") or "")


def _build_address(item: Mapping[str, Any]) -> str:
    module = f"{item['module_address']}." if item.get("module_address") else ""
    index = f"[{json.dumps(item['index'])}]" if "index" in item else ""
    return f"{module}{item['type']}.{item['name']}{index}"


def _read_action(address: str, change: Mapping[str, Any]) -> str:
    actions = tuple(change["actions"])
    if actions not in ACTIONS:
        raise PlanError(
            f"{address}: actions: {json.dumps(actions)}: unknown. Take a newer version of this review"
        )
    return ACTIONS[actions]


def _read_values(change: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the values before and after; a part that is sensitive on one side is masked on both."""
    before, after, unknown = change.get("before"), change.get("after"), change.get("after_unknown")
    if has_mark(unknown):
        after = mark_unknown(after, unknown)
    marks = (change.get("before_sensitive"), change.get("after_sensitive"))
    # Most resources have no sensitive value, and masking reads all of their values.
    if not any(map(has_mark, marks)):
        return before, after
    before, after = reduce(mask_sensitive, marks, before), reduce(mask_sensitive, marks, after)
    return mask_secrets_of(before, after), mask_secrets_of(after, before)


def _write_path(steps: list[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _read_failed_checks(checks: list[Any]) -> list[str]:
    found = []
    for check in checks:
        for instance in check.get("instances") or [{"address": check["address"], "status": check["status"]}]:
            if instance["status"] not in ("fail", "error"):
                continue
            problems = [problem["message"] for problem in instance.get("problems") or []]
            found.append(f"{instance['address']['to_display']}: {'; '.join(problems) or 'fails'}")
    return found
