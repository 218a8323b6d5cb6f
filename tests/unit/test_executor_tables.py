"""All keys of `runners.<fleet>.kubernetes`: their names and types are GitLab Runner's, at every depth."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from stacks.settings.executor import ExecutorSettings
from stacks.settings.messages import describe_error
from stacks.settings.runners import RunnerSettings
from tests.environments import Synthesized, runners
from tests.recipes import recipes

DATA = Path(__file__).resolve().parents[1] / "data"
RUNNER = json.loads((DATA / "gitlab_runner_18.9_keys.json").read_text())
EVERY_KEY = YAML(typ="safe").load((DATA / "every_executor_key.yaml").read_text())
EVERY_KEY_CHANGES = {
    f"runners.{fleet}": {"token_parameter": f"/{fleet}", "kubernetes": kubernetes}
    for fleet, kubernetes in EVERY_KEY.items()
}

_DURATION = re.compile(r"([0-9.]+(ns|us|ms|s|m|h))+")


def find_wrong_types(value: object, kind: str, path: str) -> Iterator[str]:
    """Yield each key that the runner does not know, and each value that it does not read as this type."""
    plain = {"string": str, "integer": int, "boolean": bool, "duration": str}
    if kind in RUNNER["tables"]:
        keys = RUNNER["tables"][kind]
        for key, part in value.items() if isinstance(value, dict) else ():
            if key in keys:
                yield from find_wrong_types(part, keys[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: unknown"
        if not isinstance(value, dict):
            yield f"{path}: no table"
    elif kind == "string or list of string":
        yield from find_wrong_types(value, "string" if isinstance(value, str) else "list of string", path)
    elif kind.startswith(("list of ", "map of ")):
        container = list if kind.startswith("list") else dict
        if not isinstance(value, container):
            yield f"{path}: no {container.__name__}"
            return
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from find_wrong_types(part, kind.partition(" of ")[2], f"{path}.{key}")
    elif type(value) is not plain[kind] or (kind == "duration" and not _DURATION.fullmatch(str(value))):
        yield f"{path}: {value!r} is no {kind}"


@pytest.mark.parametrize(
    "changes",
    [{}, *recipes().values(), EVERY_KEY_CHANGES],
    ids=["example", *recipes(), "every key"],
)
def test_the_runner_knows_each_key_and_its_type(
    synthesize_changed: Callable[..., Synthesized], changes: dict[str, Any]
) -> None:
    """GitLab Runner ignores a key that it does not know, and does not start with a wrong type."""
    for fleet, runner in runners(synthesize_changed(changes)).items():
        assert list(find_wrong_types(runner, "RunnerConfig", fleet)) == []


def find_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models inside a type, such as the entries of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from find_models(part)


def find_fields(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Yield the path of each field of a model; of a list the path of its first entry's fields."""
    for name, field in model.model_fields.items():
        yield (name,)
        entry = ("0",) if "list[" in str(field.annotation) else ()
        for inner in find_models(field.annotation):
            yield from ((name, *entry, *path) for path in find_fields(inner))


def has_path(value: Any, path: tuple[str, ...]) -> bool:
    """Tell whether a value has an entry at this path."""
    if not path:
        return True
    if isinstance(value, list):  # any entry: a list of patches has one of each form
        return any(has_path(part, path[1:]) for part in value)
    return isinstance(value, dict) and path[0] in value and has_path(value[path[0]], path[1:])


HOOKS = {("container_lifecycle", hook) for hook in ("post_start", "pre_stop")}


def test_the_fleets_with_every_key_have_every_key() -> None:
    """A key that is added to the settings is added to the file, too."""
    hooks = [hook for kubernetes in EVERY_KEY.values() for hook in kubernetes["container_lifecycle"].values()]
    missing = [
        ".".join(path)
        for path in find_fields(ExecutorSettings)
        if not any(has_path(kubernetes, path) for kubernetes in EVERY_KEY.values())
        # Both hooks have the same keys, and each hook of the file has one of them.
        and not (path[:2] in HOOKS and any(has_path(hook, path[2:]) for hook in hooks))
    ]
    assert missing == []


ODD_VALUES = [
    "null",
    '""',
    "0",
    "-1",
    "1.5",
    "1e400",
    str(2**70),
    "true",
    "[]",
    "[null]",
    "{}",
    '{"": null}',
    '"${a}"',
]


@pytest.mark.parametrize("odd", ODD_VALUES)
def test_an_odd_value_is_accepted_or_refused_in_plain_words(odd: str) -> None:
    """No key at any depth answers a value of a wrong type with an exception or pydantic's own words."""
    for path in find_fields(ExecutorSettings):
        document = odd
        for key in reversed(path):
            document = f"[{document}]" if key == "0" else f'{{"{key}": {document}}}'
        try:
            ExecutorSettings.model_validate_json(document)
        except ValidationError as error:
            for details in error.errors():
                details["loc"] = ("runners", "default", "kubernetes", *details["loc"])
                for _, text in describe_error(details, None):
                    assert re.match(
                        r"runners\.default\.kubernetes\.[\w.\"]+: .*(must|not|missing|unknown)", text
                    ), text
                    assert "Input should" not in text


ODD_PATCHES = [
    "? [a]\n: b",
    "2001-01-01: a",
    "!!binary x",
    "!!set {a}",
    "a: &a {b: *a}",
    "\0",
    "%YAML 9.9\n--- a",
    "[" * 300,
]


@pytest.mark.parametrize("text", [*ODD_PATCHES, "null", "5", "1e400", "[null]", '{"": [1]}'])
def test_an_odd_patch_is_accepted_or_refused(text: str) -> None:
    """A fleet that is not privileged has its patches read; no text and no value ends with an exception."""
    keys = [
        "hostNetwork",
        "hostPath",
        "hostPort",
        "procMount",
        "capabilities",
        "seLinuxOptions",
        "seccompProfile",
    ]
    patches = [text, *(f"{key}: {text}" for key in keys), f"capabilities: {{add: {text}}}"]
    operations = [f"[{{op: add, path: /{key}, value: {text}}}]" for key in keys]
    operations += [text, f"[{text}]", f"[{{op: {text}, path: /a}}]", f"[{{op: add, path: {text}, value: a}}]"]
    for kind, texts in {"merge": patches, "json": operations}.items():
        for patch in texts:
            fleet = {"token_parameter": "/a", "privileged": False}
            fleet["kubernetes"] = {"pod_spec": [{"patch": patch, "patch_type": kind}]}
            with contextlib.suppress(ValidationError):
                RunnerSettings.model_validate_json(json.dumps(fleet))
