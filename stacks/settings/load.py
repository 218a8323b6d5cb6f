"""Read an environment's YAML file; word every mistake in it.

Intent: one message per mistake: file, path of the field, value, what is accepted.
Not here: the rules (the models beside this file).
"""

import difflib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stacks.errors import UserError
from stacks.settings import Settings
from stacks.settings.model import Mistake

PROJECT = Path(__file__).resolve().parents[2]

# GitLab, "Token overview": every token starts with such a prefix. A token pasted where its
# parameter's name belongs must not reach a terminal or a pipeline's log.
_TOKEN = re.compile(
    r"""(gl(agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rtr?|soat|wt)-|GR1348941)[^\s"',:…)]+""", re.IGNORECASE
)
_HIDDEN = "(a token, not shown)"

# What pydantic calls a mistake, in a user's words; a pattern's own text is never shown, since the
# field's description says what is accepted.
_WORDS = {
    "string_pattern_mismatch": "not of the accepted form",
    "string_too_long": "longer than {max_length} characters",
    "string_type": "must be a text, in quotes where it looks like a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of names to values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have {min_length} or more",
    "too_long": "must have {max_length} or fewer",
}


class SettingsError(UserError):
    """An environment's file can't be used; `mistakes` has one line for each reason."""

    def __init__(self, mistakes: list[str]) -> None:
        """Keep the lines, without tokens and without what a terminal would obey."""
        self.mistakes = [_printable(_TOKEN.sub(_HIDDEN, line)) for line in mistakes]
        super().__init__("\n".join(self.mistakes))


def load_environment(name: str | None) -> Settings:
    """Read the environment called `name`, a file under environments/; the local one if there is none.

    Raises:
        SettingsError: If there is no such file, it is no YAML, or it holds a mistake.

    """
    folder, file = PROJECT / "environments", f"{(name or 'local').removesuffix('.yaml')}.yaml"
    known = sorted(path.name for path in folder.glob("*.yaml"))
    if file not in known:  # nor is a path into another folder: the state's key has the file's name alone
        accepted = ", ".join(name.removesuffix(".yaml") for name in known) or "none yet"
        raise SettingsError([f"environments/{file}: no such environment. Accepted: {accepted}"])
    return load_settings(folder / file)


def load_settings(path: Path) -> Settings:
    """Read and validate one environment; the file's name is the environment's name.

    Raises:
        SettingsError: If the file is missing, is no YAML, or holds a mistake.

    """
    try:
        return _validated(path, _read(path))
    except (SettingsError, RecursionError) as error:
        nested = ": holds a mapping or list inside itself, or nested deeper than any setting is"
        lines = error.mistakes if isinstance(error, SettingsError) else [nested]
        # Read by people, who stand in the project's folder.
        shown = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
        raise SettingsError([f"{shown}{line}" for line in lines]) from None


def _validated(path: Path, raw: dict[str, Any]) -> Settings:
    found = list(_only_yaml(raw))
    if found:
        raise SettingsError([f": {_path(at)}: {_shown(value)}: {accepted}" for at, value, accepted in found])
    try:
        # By way of JSON, since there a list may become a tuple and a text an IP network, in strict mode too.
        document = json.dumps({**raw, "environment": path.stem}, default=str, ensure_ascii=False).encode()
    except ValueError:  # half of a surrogate pair
        raise SettingsError([": holds a text that is not Unicode"]) from None
    try:
        return Settings.model_validate_json(document)
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":  # pydantic's own reader stops at 200 levels
            raise RecursionError from None
        messages = [message for details in error.errors() for message in _messages(details)]
        raise SettingsError([f": {message}" for message in messages]) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problem = str(error.problem).split(" with value")[0].removeprefix("but ")
        raise SettingsError([f":{line}: not valid YAML: {problem}"]) from None
    except OSError as error:
        raise SettingsError([f": can't be read: {error.strerror}"]) from None
    except (YAMLError, UnicodeDecodeError):
        raise SettingsError([": not a YAML text file in UTF-8"]) from None
    except ValueError:  # Python reads no number of thousands of digits
        raise SettingsError(
            [": holds a number or date that does not exist, or that no setting can be"]
        ) from None
    if not isinstance(raw, dict):
        raise SettingsError([f": must be a YAML mapping with the keys {', '.join(_accepted_keys(()))}"])
    if "environment" in raw:
        raise SettingsError([": environment: not a key: the file's name is the environment's name"])
    return raw


def _only_yaml(value: object, path: tuple[str, ...] = ()) -> Iterator[Mistake]:
    """Yield each key and value that is nothing in JSON: on the way there it would turn into another."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                yield (
                    (*path, _shown(key)),
                    key,
                    "must be a text as a key, in quotes where it looks like another",
                )
            yield from _only_yaml(part, (*path, str(key)))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _only_yaml(part, (*path, str(index)))
    elif not isinstance(value, str | int | float | None) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        yield path, value, "must be a text (in quotes), number, true, false, list or mapping"


def _messages(details: ErrorDetails) -> Iterator[str]:
    location, value, kind = tuple(details["loc"]), details["input"], details["type"]
    context = details.get("ctx", {})
    if kind == "extra_forbidden":
        accepted = _accepted_keys(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), accepted, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        yield f"{_path(location)}: unknown key. {hint}Accepted here: {', '.join(accepted)}"
    elif kind == "missing":
        yield f"{_path(location)}: missing. Accepted: {_accepted(location)}"
    elif kind == "mistakes":
        for at, found, accepted in context["mistakes"]:
            yield f"{_path((*location, *at))}: {_shown(found)}: {accepted}"
    elif kind == "value_error":  # the rules' own words say what is accepted
        yield f"{_path(location)}: {_shown(value)}: {context['error']}"
    elif kind == "too_short" and len(value) >= context["min_length"]:
        return  # its entries are refused one by one
    else:
        text = _WORDS.get(kind, details["msg"]).format(**context)
        # Tokens of old GitLab versions have no prefix; unlike a parameter's name, none has a slash.
        is_secret = location[-1:] == ("token_parameter",) and value and "/" not in str(value)
        shown = _HIDDEN if is_secret else _shown(value)
        yield f"{_path(location)}: {shown}: {text}. Accepted: {_accepted(location)}"


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) or '""' for part in location if part != "[key]")


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in text)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"  # noqa: PLR2004 - a terminal's line


def _accepted_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = next(part for part in reversed(_walk(location)) if _is_model(part))
    return [name for name in model.model_fields if name != "environment"]


def _is_model(part: object) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _accepted(location: tuple[int | str, ...]) -> str:
    """Return the keys of a section, or the description of the nearest field."""
    if _is_model(_walk(location)[-1]):
        return f"a mapping with the keys {', '.join(_accepted_keys(location))}"
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


def _plain(annotation: Any) -> Any:
    """Return an optional or annotated type without what surrounds it."""
    members = [member for member in get_args(annotation) if member is not type(None)]
    return members[0] if len(members) == 1 and type(None) in get_args(annotation) else annotation
