"""Read a plan as `terraform show -json` writes it (Terraform, "JSON Output Format")."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

from plan_review.values import (
    UNKNOWN,
    Difference,
    Unknown,
    differences,
    is_too_deep,
    is_unknown,
    is_within,
    masked,
    masked_alike,
    parsed,
    top_level,
    with_unknowns,
)

# What Terraform's `action_reason` means to a reader. What is not here speaks for itself.
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
# What Terraform's `actions` come to.
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
# A reference, not a program.
LONGEST_EXPRESSION = 100

_INDEX = re.compile(r'\[(?:"(?:[^"\\]|\\.)*"|\d+)\]')


class PlanError(Exception):
    """A file is not a plan that can be reviewed; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Change:
    """What a plan does to one resource, or to one output.

    Attributes:
        address: Terraform's address, with the deposed key if it is about a deposed object.
        type: The resource's type; empty for an output.
        action: create, update, replace, delete, forget, read or no-op.
        before: Attributes now, masked; None if it is not there.
        after: Attributes afterwards, masked, with unknowns marked; None if it is gone.
        reason: Why Terraform replaces or deletes, in words; may be empty.
        replace_paths: Paths of the attributes that force a replacement.
        create_first: For a replacement, whether the new one comes before the old one goes.
        forgets: For a replacement, whether the old one stays, unmanaged.
        previous_address: Address before a move; empty if it did not move.
        importing: Whether it is imported.
        configured: The attributes that the configuration sets, each with its text there (Terraform's
            JSON syntax) or with what it refers to (HCL), as far as the plan has that; None if the plan
            tells nothing of the configuration.

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
    configured: Mapping[str, str] | None = None

    @cached_property
    def differences(self) -> list[Difference]:
        """What differs, without what the provider computes and only the apply will tell."""
        before, after = ({} if side is None else side for side in (self.before, self.after))
        return [
            replace(item, after=Unknown(self._expression(item.path))) if item.after == UNKNOWN else item
            for item in differences(before, after)
            if not is_unknown(item.after) or self.is_configured(item.path) or self.forces(item)
        ]

    def _expression(self, path: str) -> str:
        text = (self.configured or {}).get(path, "")
        return text if len(text) <= LONGEST_EXPRESSION else ""

    def is_configured(self, path: str) -> bool:
        """Return whether the configuration may set an attribute; true if a plan does not tell."""
        return self.configured is None or top_level(path) in ("", *self.configured)

    @cached_property
    def after_as_written(self) -> Any:
        """The attributes afterwards; an unknown text with JSON in it stands as the configuration has it."""
        if not isinstance(self.after, dict):
            return self.after
        written = self.configured or {}
        return {
            name: written[name]
            if isinstance(value, Unknown) and isinstance(parsed(written.get(name)), dict)
            else value
            for name, value in self.after.items()
        }

    def forces(self, difference: Difference) -> bool:
        """Return whether a difference is what forces the replacement."""
        return any(is_within(difference.path, path) for path in self.replace_paths)

    def get(self, name: str) -> tuple[Any, Any]:
        """Return an attribute before and after."""
        return (self.before or {}).get(name), (self.after or {}).get(name)


@dataclass(frozen=True)
class Plan:
    """One plan.

    Attributes:
        resources: Changes of managed resources, those that change nothing among them.
        outputs: Changes of the root module's outputs; the address is the output's name.
        drift: What Terraform found changed outside of it.
        failed_checks: Messages of `check` blocks and conditions that fail.
        complete: False if Terraform deferred a part of the work to a later plan.

    """

    resources: tuple[Change, ...]
    outputs: tuple[Change, ...]
    drift: tuple[Change, ...]
    failed_checks: tuple[str, ...]
    complete: bool

    @property
    def changes(self) -> list[Change]:
        """The changes that do something to a resource or to its place in the state."""
        return [
            change
            for change in self.resources
            if change.action != "no-op" or change.previous_address or change.importing
        ]

    @property
    def output_changes(self) -> list[Change]:
        """The outputs that get another value."""
        return [change for change in self.outputs if change.action != "no-op"]


def read_plan(text: str | bytes) -> Plan:
    """Return the plan in a JSON text.

    Raises:
        PlanError: If it is no JSON, no plan, of an unknown format, or the plan of a failed run.

    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise PlanError("not JSON. Accepted: what `terraform show -json <plan file>` prints") from None
    if not isinstance(document, dict) or "format_version" not in document:
        raise PlanError("not a plan. Accepted: what `terraform show -json <plan file>` prints")
    version = str(document["format_version"])
    if version.partition(".")[0] not in ("0", "1"):
        raise PlanError(f"format_version: {version}: unknown. Accepted: 0.x and 1.x")
    if "planned_values" not in document and "resource_changes" not in document:
        raise PlanError("a state, not a plan. Accepted: what `terraform show -json <plan file>` prints")
    if document.get("errored"):
        raise PlanError(
            "the plan of a run that failed: incomplete. Accepted: the plan of a run without errors"
        )
    try:
        return _plan(document)
    except (AttributeError, KeyError, TypeError, RecursionError):
        raise PlanError(
            "not laid out as a plan. Accepted: what `terraform show -json <plan file>` prints"
        ) from None


def _plan(document: Mapping[str, Any]) -> Plan:
    module = (document.get("configuration") or {}).get("root_module")
    configured = None if module is None else dict(_configured(module, ""))
    return Plan(
        resources=tuple(_resources(document.get("resource_changes"), configured)),
        outputs=tuple(
            _change({"address": name, "type": "", "change": change})
            for name, change in (document.get("output_changes") or {}).items()
        ),
        drift=tuple(_resources(document.get("resource_drift"), None)),
        failed_checks=tuple(_failed_checks(document.get("checks") or [])),
        complete=bool(document.get("complete", True)),
    )


def _resources(
    items: list[Any] | None, configured: Mapping[str, Mapping[str, str]] | None
) -> Iterator[Change]:
    """Yield the changes of managed resources, whose attributes are mappings in any case."""
    for item in items or []:
        if item["mode"] == "managed":
            change = _change(item, configured)
            if not isinstance(change.before, dict | None) or not isinstance(change.after, dict | None):
                raise TypeError
            yield change


def _configured(module: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what the configuration sets of each resource of a module and of those below it, by address."""
    for resource in module.get("resources") or []:
        expressions = resource.get("expressions") or {}
        yield (
            f"{prefix}{resource['address']}",
            {name: _text(expression) for name, expression in expressions.items()},
        )
    for name, call in (module.get("module_calls") or {}).items():
        yield from _configured(call.get("module") or {}, f"{prefix}module.{name}.")


def _text(expression: Any) -> str:
    if not isinstance(expression, dict):
        return ""
    text, references = expression.get("constant_value"), expression.get("references")
    if isinstance(text, str):
        return text
    return f"${{{references[0]}}}" if isinstance(references, list) and references else ""


def _change(item: Mapping[str, Any], configured: Mapping[str, Mapping[str, str]] | None = None) -> Change:
    change, address = item["change"], item["address"]
    actions = tuple(change["actions"])
    if actions not in ACTIONS:
        raise PlanError(f"{address}: actions: {json.dumps(actions)}: unknown")
    if is_too_deep(change):
        raise PlanError(f"{address}: values are nested too deeply")
    if not isinstance(address, str) or not isinstance(item["type"], str):
        raise TypeError
    deposed = item.get("deposed")
    # What is sensitive on one side must not be read on the other.
    marks = (change.get("before_sensitive"), change.get("after_sensitive"))
    before = reduce(masked, marks, change.get("before"))
    after = reduce(masked, marks, with_unknowns(change.get("after"), change.get("after_unknown")))
    return Change(
        address=f"{address} (deposed {deposed})" if deposed else address,
        type=item["type"],
        action=ACTIONS[actions],
        before=masked_alike(before, after),
        after=masked_alike(after, before),
        reason=REASONS.get(str(item.get("action_reason")), ""),
        replace_paths=tuple(_path(path) for path in change.get("replace_paths") or []),
        create_first=actions[0] == "create",
        forgets=actions == ("create", "forget"),
        previous_address=str(item.get("previous_address") or ""),
        importing=bool(change.get("importing")),
        # A resource that is gone from the configuration sets nothing.
        configured=None if configured is None else configured.get(_INDEX.sub("", address), {}),
    )


def _path(steps: list[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _failed_checks(checks: list[Any]) -> list[str]:
    found = []
    for check in checks:
        for instance in check.get("instances") or [{"address": check["address"], "status": check["status"]}]:
            if instance["status"] not in ("fail", "error"):
                continue
            problems = [problem["message"] for problem in instance.get("problems") or []]
            found.append(f"{instance['address']['to_display']}: {'; '.join(problems) or 'fails'}")
    return found
