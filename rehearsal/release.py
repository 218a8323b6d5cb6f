"""Intent: what Helm would do with helm_release, on the record; rendered by Helm itself where that can be had.

REHEARSAL_CHARTS names a folder of unpacked charts (`<folder>/<chart>/Chart.yaml`); REHEARSAL_HELM a helm
program (else the one on PATH). With both, a release is rendered at plan and apply and fails with Helm's own
message.
"""

import json
import os
import shutil
import subprocess
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rehearsal.cluster import create_namespace, require_namespace
from rehearsal.planning import Block, blank, settled
from rehearsal.record import NOTE, Record
from rehearsal.wire import UNKNOWN, Refused, is_known

State = dict[str, Any]

_RENDER_TIMEOUT_SECONDS = 60
_CLOAK = "(sensitive value)"  # the real provider's
_READ_BY_HELM = ("name", "namespace", "chart", "version", "values", "set", "set_list", "set_sensitive")


class HelmReleases:
    """Install, read, upgrade, uninstall and import."""

    def __init__(self, record: Record, schemas: dict[str, Block], namespaces: Block) -> None:
        self._record = record
        self._schemas = schemas
        self._namespaces = namespaces

    def plan(self, _kind: str, prior: State | None, plan: State, config: State) -> tuple[State, list[str]]:
        """The plan, with what is known beforehand: the chart's version, and that it will be deployed."""
        plan |= {"status": "deployed", "manifest": None, "resources": None}
        if plan["description"] is UNKNOWN:
            plan["description"] = None
        if config["version"] is None and plan["chart"] is not UNKNOWN:
            plan["version"] = _chart(plan)["version"]
        if prior is not None and plan != prior:
            plan |= {"id": UNKNOWN, "metadata": UNKNOWN}
        if plan != prior and is_known([plan[name] for name in _READ_BY_HELM]):
            _render(plan, _values(plan, config["set_wo"] if is_known(config["set_wo"]) else None))
        return plan, []

    def create(self, kind: str, plan: State, config: State) -> State:
        return self._deploy(kind, None, plan, config)

    def update(self, kind: str, prior: State, plan: State, config: State) -> State:
        return self._deploy(kind, prior, plan, config)

    def _deploy(self, kind: str, prior: State | None, plan: State, config: State) -> State:
        state: State = settled(plan)
        key = f"{state['namespace']}/{state['name']}"
        # An upgrade for another reason loses write-only values, like the real one (terraform-provider-helm
        # 1753).
        revision_changed = state["set_wo_revision"] != (prior or {}).get("set_wo_revision")
        values = _values(plan, config["set_wo"] if revision_changed else None)
        manifest = _render(plan, values)
        with self._record.changing() as (objects, revision):
            releases = objects.setdefault(kind, {})
            if prior is None and key in releases and not state["upgrade_install"]:
                raise Refused("installation failed", "cannot re-use a name that is still in use")
            if prior is not None and key not in releases:
                raise Refused("Error upgrading chart", f'"{state["name"]}" has no deployed releases')
            if state["create_namespace"]:
                create_namespace(objects, self._namespaces, state["namespace"], revision)
            require_namespace(objects, state["namespace"])
            last = releases.get(key, {}).get("state", {}).get("metadata") or {"revision": 0}
            now, chart = int(time.time()), _chart(state)
            state["id"] = state["name"]
            state["metadata"] = {
                "name": state["name"],
                "namespace": state["namespace"],
                "revision": last["revision"] + 1,
                "chart": chart["name"],
                "version": state["version"],
                "app_version": chart["app_version"],
                "values": "{}"
                if state["set_wo_revision"]
                else json.dumps(_cloaked(values, state), sort_keys=True),
                "first_deployed": last.get("first_deployed", now),
                "last_deployed": now,
                "notes": f"{NOTE}: {'rendered by Helm' if manifest else 'values kept, nothing rendered'}.",
            }
            releases[key] = {"state": state, "values": values, "manifest": manifest}
        return state

    def read(self, kind: str, state: State) -> State | None:
        entry = self._record.objects().get(kind, {}).get(f"{state['namespace']}/{state['name']}")
        if entry is None:
            return None
        if state["status"] is not None:
            found: State = entry["state"]
            return found
        # Just imported: the cluster knows no more of a release than this.
        attributes = self._schemas[kind]["attributes"].items()
        known = {name for name, attribute in attributes if "computed" in attribute["mode"]} | {
            "name",
            "chart",
        }
        return {name: value if name in known else None for name, value in entry["state"].items()}

    def delete(self, kind: str, state: State) -> None:
        with self._record.changing() as (objects, _):
            objects.get(kind, {}).pop(f"{state['namespace']}/{state['name']}", None)

    def imported(self, kind: str, name: str) -> State:
        namespace, _, name = name.rpartition("/")
        return {**blank(self._schemas[kind]), "id": name, "namespace": namespace or "default", "name": name}


def _chart_folder(state: State) -> Path | None:
    """The unpacked chart of a release: its own path, or the folder of its name among REHEARSAL_CHARTS."""
    charts = os.environ.get("REHEARSAL_CHARTS")
    candidates = [Path(state["chart"]), *([Path(charts) / Path(state["chart"]).name] if charts else [])]
    return next((folder for folder in candidates if (folder / "Chart.yaml").is_file()), None)


def _chart(state: State) -> dict[str, str]:
    """Name and versions of the chart; one that isn't at hand gets a version that no real one has."""
    folder = _chart_folder(state)
    about = YAML(typ="safe").load((folder / "Chart.yaml").read_text()) if folder else {}
    version = about.get("version") or (
        state["version"] if isinstance(state["version"], str) else "0.0.0+rehearsed"
    )
    return {
        "name": about.get("name", Path(state["chart"]).name),
        "version": version,
        "app_version": str(about.get("appVersion", "")),
    }


def _values(state: State, write_only: list[dict[str, Any]] | None) -> dict[str, Any]:
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
    for each in [each for field in ("set", "set_list", "set_sensitive") for each in state[field] or []] + (
        write_only or []
    ):
        _set(values, each["name"], _typed(each))
    return values


def _merge(values: dict[str, Any], given: dict[str, Any]) -> None:
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _set(values: dict[str, Any], path: str, value: Any) -> None:  # noqa: ANN401 - any value of YAML
    r"""Set `a.b.c` (`\.` is a literal dot). Positions in lists, as in `a[0]`, stay a name."""
    *parents, last = (part.replace("\0", ".") for part in path.replace("\\.", "\0").split("."))
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value


def _typed(given: dict[str, Any]) -> Any:  # noqa: ANN401 - any value of YAML
    """A set value as Helm reads it: numbers, booleans and null unless its type says string or literal."""
    if isinstance(given["value"], list) or given.get("type") in {"string", "literal"}:
        return given["value"]
    try:
        scalar = json.loads(given["value"] or '""')
    except ValueError:
        return given["value"]
    return scalar if scalar is None or isinstance(scalar, bool | int) else given["value"]


def _cloaked(values: dict[str, Any], state: State) -> dict[str, Any]:
    values = deepcopy(values)
    for each in state["set_sensitive"] or []:
        _set(values, each["name"], _CLOAK)
    return values


def _render(state: State, values: dict[str, Any]) -> str | None:
    """The release's manifest as `helm template` prints it, or nothing where chart or Helm are missing."""
    folder = _chart_folder(state)
    helm = os.environ.get("REHEARSAL_HELM") or shutil.which("helm")
    if folder is None or helm is None:
        return None
    found = _chart(state)["version"]
    if state["version"] not in {None, found, f"v{found}"}:
        detail = (
            f"chart {state['chart']!r} version {state['version']!r} not found: REHEARSAL_CHARTS holds {found}"
        )
        raise Refused("Error locating chart", detail, ("version",))
    # Values go through stdin: a command line can be read by every user of the machine.
    command = [
        helm,
        "template",
        state["name"],
        str(folder),
        "--namespace",
        state["namespace"],
        "--values",
        "-",
    ]
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
