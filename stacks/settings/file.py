"""Read an environment's YAML file; word every mistake in it.

Intent: one message per mistake: file, path of the field, value, what is accepted.
Not here: the rules (the models beside this file).
"""

import difflib
import json
import re
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stacks.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]

# GitLab, "Token overview": every token starts with such a prefix. A token pasted where its
# parameter's name belongs must not reach a terminal or a pipeline's log.
_TOKEN = re.compile(r"\b(gl[a-z]+-|GR1348941)\S+")


class SettingsError(Exception):
    """An environment's file can't be used; `mistakes` has one line for each reason."""

    def __init__(self, mistakes: list[str]) -> None:
        """Keep the lines."""
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def load_environment(name: str | None) -> Settings:
    """Read the environment called `name`, a file under environments/; the local one if there is none.

    Raises:
        SettingsError: If there is no such file, it is no YAML, or it holds a mistake.

    """
    return load_settings(PROJECT / "environments" / f"{(name or 'local').removesuffix('.yaml')}.yaml")


def load_settings(path: Path) -> Settings:
    """Read and validate one environment; the file's name is the environment's name.

    Raises:
        SettingsError: If the file is missing, is no YAML, or holds a mistake.

    """
    try:
        return _validated(path, _read(path))
    except SettingsError as error:
        # Read by people, who stand in the project's folder.
        shown = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
        raise SettingsError([f"{shown}{mistake}" for mistake in error.mistakes]) from None


def _validated(path: Path, raw: dict[str, Any]) -> Settings:
    try:
        # By way of JSON, since there a list may become a tuple and a text an IP network, in strict mode too.
        return Settings.model_validate_json(json.dumps({**raw, "environment": path.stem}, default=str))
    except ValidationError as error:
        raise SettingsError([f": {_message(details)}" for details in error.errors()]) from None


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise SettingsError([f": no such environment. Files beside it: {known}"])
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problem = _TOKEN.sub("(a token)", str(error.problem).split(" with value")[0])
        raise SettingsError([f":{line}: not valid YAML: {problem}"]) from None
    except (YAMLError, UnicodeDecodeError):
        raise SettingsError([": not a YAML file in UTF-8"]) from None
    if not isinstance(raw, dict):
        raise SettingsError([f": must be a YAML mapping with the keys {', '.join(_accepted_keys(()))}"])
    if "environment" in raw:
        raise SettingsError([": environment: not a key: the file's name is the environment's name"])
    return raw


def _message(details: ErrorDetails) -> str:
    location, value, kind = tuple(details["loc"]), details["input"], details["type"]
    context = details.get("ctx", {})
    if kind == "extra_forbidden":
        accepted = _accepted_keys(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), accepted, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"{_path(location)}: unknown key. {hint}Accepted here: {', '.join(accepted)}"
    if kind == "missing":
        return f"{_path(location)}: missing. Accepted: {_description(location)}"
    if kind == "mistake":
        location, value = (*location, *context["at"]), context["value"]
    text = details["msg"].removeprefix("Value error, ")
    return f"{_path(location)}: {_shown(value)}: {text}. Accepted: {_description(location)}"


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part != "[key]")


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return _TOKEN.sub("(a token, not shown)", text if len(text) <= 80 else f"{text[:80]}…")  # noqa: PLR2004


def _accepted_keys(location: tuple[int | str, ...]) -> list[str]:
    models = [part for part in _walk(location) if isinstance(part, type) and issubclass(part, BaseModel)]
    return [name for name in models[-1].model_fields if name != "environment"]


def _description(location: tuple[int | str, ...]) -> str:
    text = ""
    model: Any = Settings
    for part, below in zip(location, _walk(location)[1:], strict=False):
        fields = getattr(model, "model_fields", {})
        text = fields[part].description if part in fields else text
        model = below
    return text.rstrip(".")


def _walk(location: tuple[int | str, ...]) -> list[object]:
    """Return the type at each step of a field's path, from Settings down."""
    steps: list[Any] = [Settings]
    for part in location:
        fields = getattr(steps[-1], "model_fields", None)
        if fields is not None:
            steps.append(_plain(fields[part].annotation) if part in fields else None)
        else:  # an entry of a mapping or a list: its type is the last argument of the container
            arguments = [argument for argument in get_args(steps[-1]) if argument is not Ellipsis]
            steps.append(_plain(arguments[-1]) if arguments else None)
    return steps


def _plain(annotation: Any) -> Any:  # noqa: ANN401 - a type form has no better type
    """Return an optional or annotated type without what surrounds it."""
    members = [member for member in get_args(annotation) if member is not type(None)]
    return members[0] if len(members) == 1 and type(None) in get_args(annotation) else annotation
