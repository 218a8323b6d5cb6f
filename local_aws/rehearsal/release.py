"""The state and the merged values of a helm_release. No chart is rendered."""

import json
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from local_aws.rehearsal.planning import UNKNOWN, RefusedError, State
from local_aws.rehearsal.record import NOTE


def complete_state(state: State, prior: State | None) -> dict[str, Any]:
    """Complete a release's state as Helm would, and return what the record keeps beside it."""
    values = _values(state)
    last = prior["metadata"] if prior else {"revision": 0, "first_deployed": int(time.time())}
    state |= {"id": state["name"], "status": "deployed"}
    state["version"] = state["version"] or "0.0.0+rehearsed"
    state["metadata"] = {
        "name": state["name"],
        "namespace": state["namespace"],
        "revision": last["revision"] + 1,
        "chart": Path(state["chart"]).name,
        "version": state["version"],
        "app_version": "",
        "values": json.dumps(values, sort_keys=True),
        "first_deployed": last["first_deployed"],
        "last_deployed": int(time.time()),
        "notes": f"{NOTE}: values kept, nothing rendered.",
    }
    return {"values": values}


def refuse_wrong_values(state: State) -> None:
    """Refuse values that Helm can't read, unless only the apply knows them."""
    if UNKNOWN not in [state["values"], *(state["values"] or [])]:
        _values(state)


def _values(state: State) -> dict[str, Any]:
    """Return all values of the release, merged in Helm's order."""
    values: dict[str, Any] = {}
    for at, text in enumerate(state["values"] or []):
        try:
            given = YAML(typ="safe").load(text or "") or {}
        except YAMLError as error:
            raise RefusedError("Error unmarshaling values", str(error), ("values", at)) from error
        if not isinstance(given, dict):
            raise RefusedError("Error unmarshaling values", "values must be a map", ("values", at))
        _merge(values, given)
    return values


def _merge(values: dict[str, Any], given: dict[str, Any]) -> None:
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value
