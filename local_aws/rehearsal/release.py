"""Intent: what Helm would make of a helm_release; rendered by Helm itself where that can be had.

REHEARSAL_CHARTS names a folder of unpacked charts (`<folder>/<chart>/Chart.yaml`). A release of one of them
is rendered at plan and apply by the helm on PATH, if there is one, and fails with Helm's own message.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from local_aws.rehearsal.planning import UNKNOWN, Refused, State
from local_aws.rehearsal.record import NOTE

_RENDER_TIMEOUT_SECONDS = 60


def deployed(state: State, prior: State | None) -> dict[str, Any]:
    """Complete a release's state as Helm would; give back what the record keeps beside it."""
    values, manifest = _values(state), rendered(state)
    _, about = _chart(state)
    last = prior["metadata"] if prior else {"revision": 0, "first_deployed": int(time.time())}
    state |= {"id": state["name"], "status": "deployed"}
    state["version"] = state["version"] or about["version"]
    state["metadata"] = {
        "name": state["name"],
        "namespace": state["namespace"],
        "revision": last["revision"] + 1,
        "chart": about["name"],
        "version": state["version"],
        "app_version": str(about.get("appVersion", "")),
        "values": json.dumps(values, sort_keys=True),
        "first_deployed": last["first_deployed"],
        "last_deployed": int(time.time()),
        "notes": f"{NOTE}: {'rendered by Helm' if manifest else 'values kept, nothing rendered'}.",
    }
    return {"values": values, "manifest": manifest}


def rendered(state: State) -> str | None:
    """The release's manifest as `helm template` prints it; None without chart or Helm, or before apply."""
    if UNKNOWN in [
        state["name"],
        state["namespace"],
        state["chart"],
        state["values"],
        *(state["values"] or []),
    ]:
        return None
    values, (folder, about), helm = _values(state), _chart(state), shutil.which("helm")
    if folder is None or helm is None:
        return None
    if state["version"] not in {None, UNKNOWN, about["version"], f"v{about['version']}"}:
        message = f"version {state['version']!r} not found: REHEARSAL_CHARTS holds {about['version']}"
        raise Refused("Error locating chart", message, ("version",))
    # Values go through stdin: a command line can be read by every user of the machine.
    command = [helm, "template", state["name"], folder, "--namespace", state["namespace"], "--values", "-"]
    done = subprocess.run(  # noqa: S603 - the user's own helm, without a shell
        command,
        input=json.dumps(values),
        capture_output=True,
        text=True,
        timeout=_RENDER_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Refused("Error rendering the release", done.stderr.strip(), ("values",))
    return done.stdout


def _chart(state: State) -> tuple[Path | None, dict[str, Any]]:
    """The chart's folder, if it is at hand, and its Chart.yaml; else a version that no real chart has."""
    name = Path(state["chart"]).name
    for folder in (Path(state["chart"]), Path(os.environ.get("REHEARSAL_CHARTS", ""), name)):
        if (folder / "Chart.yaml").is_file():
            return folder, YAML(typ="safe").load(folder / "Chart.yaml")
    return None, {"name": name, "version": "0.0.0+rehearsed"}


def _values(state: State) -> dict[str, Any]:
    """All values of the release, merged in Helm's order."""
    values: dict[str, Any] = {}
    for at, text in enumerate(state["values"] or []):
        try:
            given = YAML(typ="safe").load(text or "") or {}
        except YAMLError as error:
            raise Refused("Error unmarshaling values", str(error), ("values", at)) from error
        if not isinstance(given, dict):
            raise Refused("Error unmarshaling values", "values must be a map", ("values", at))
        _merge(values, given)
    return values


def _merge(values: dict[str, Any], given: dict[str, Any]) -> None:
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value
