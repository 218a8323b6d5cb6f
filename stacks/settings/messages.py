"""Describe the mistakes that pydantic finds in the settings: field, value, accepted values."""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from stacks.settings import Settings

NO_TEMPLATES = "settings are not templates: write the value itself, without ${…}, {{…}} or {%…%}"

_TEMPLATE = re.compile(r"\$\{|\{\{|\{%")

MAX_VALUE_LENGTH = 80  # so that a message stays readable in a terminal

# GitLab, "Token overview": every token starts with such a prefix. A token that was pasted where the
# name of its parameter belongs must not reach a terminal or a pipeline's log; nor must a private key.
_TOKEN = re.compile(
    r"""(gl(agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rtr?|soat|wt)-|GR1348941)[^\s"',:…)]+"""
    r"""|-----BEGIN [A-Z ]*PRIVATE KEY[^"…]*""",
    re.IGNORECASE,
)
_HIDDEN = "(a secret, not shown)"

# pydantic's error type → plain words. A pattern is never shown: the field's description explains it.
_WORDS = {
    "string_pattern_mismatch": "not of the accepted form",
    "string_too_long": "longer than {max_length} characters",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "model_type": "must be a map",
    "dict_type": "must be a map",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} or fewer entries",
}

Location = tuple[int | str, ...]


def mask_tokens(text: str) -> str:
    """Return the text without GitLab tokens and private keys."""
    return _TOKEN.sub(_HIDDEN, text)


def join_path(location: Sequence[int | str]) -> str:
    """Return a field's path as users read it: `runners.default.build`."""
    return ".".join(shorten(str(part)) or '""' for part in location if part != "[key]")


def escape_control_characters(text: str) -> str:
    """Return the text with each character that a terminal would not print as an escape."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def shorten(text: str) -> str:
    """Return the text, or its beginning if it is too long for a message."""
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}…"


def describe_error(details: ErrorDetails, written: str | None) -> Iterator[tuple[Location, str]]:
    """Yield the path and the message of each mistake in one of pydantic's errors.

    Args:
        details: The error.
        written: The value as written in the file, or None for a list or map. YAML reads 1.10 as 1.1.

    """
    location, value, kind = tuple(details["loc"]), details["input"], details["type"]
    context = details.get("ctx", {})
    if kind == "extra_forbidden":
        keys = list_keys(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), keys, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        yield location, f"{join_path(location)}: unknown key. {hint}Accepted here: {', '.join(keys)}"
    elif kind == "missing":
        yield location, f"{join_path(location)}: missing. Accepted: {_describe_field(location)}"
    elif kind == "mistakes":
        for at, found, accepted in context["mistakes"]:
            path = (*location, *at)
            yield path, f"{join_path(path)}: {_show_value(found)}: {accepted}"
    elif kind == "too_short" and len(value) >= context["min_length"]:
        return  # each of its entries has an error of its own
    else:
        # A token of an old GitLab version has no prefix; a parameter's name has a slash.
        is_secret = location[-1:] == ("token_parameter",) and value and "/" not in str(value)
        shown = _HIDDEN if is_secret else _show_value(value, written)
        accepted = _describe_field(location)
        if isinstance(value, str) and _TEMPLATE.search(value) and "$VARIABLES" not in accepted:
            text = f"{NO_TEMPLATES}. Accepted: {accepted}"
        elif kind == "value_error":  # the validator's own words say what is accepted
            text = str(context["error"])
        else:
            text = _WORDS.get(kind, details["msg"]).format(**context)
            quoted = (
                f': write "{shorten(written)}"' if kind == "string_type" and written and not is_secret else ""
            )
            text = f"{text}{quoted}. Accepted: {accepted}"
        yield location, f"{join_path(location)}: {shown}: {text}"


def _show_value(value: object, written: str | None = None) -> str:
    text = (
        written
        if written and not isinstance(value, str)
        else json.dumps(value, default=str, ensure_ascii=False)
    )
    return shorten(text)


def list_keys(location: Location) -> list[str]:
    """Return the keys that the section at `location` accepts."""
    model: Any = next(kind for kind in reversed(_find_types(location)) if _is_model(kind))
    # The environment's name is the file's name, not a key.
    return [name for name in model.model_fields if (model, name) != (Settings, "environment")]


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _describe_field(location: Location) -> str:
    """Return the keys of a section, or the description of the nearest field."""
    types = _find_types(location)
    if _is_model(types[-1]):
        return f"a map with the keys {', '.join(list_keys(location))}"
    descriptions = [
        fields[part].description
        for part, kind in zip(location, types, strict=False)
        if part in (fields := getattr(kind, "model_fields", {}))
    ]
    return str(descriptions[-1]).rstrip(".")


def _find_types(location: Location) -> list[object]:
    """Return the type at each step of a field's path, from Settings down."""
    types: list[Any] = [Settings]
    for part in location:
        fields = getattr(types[-1], "model_fields", None)
        if fields is not None:
            types.append(_unwrap_optional(fields[part].annotation) if part in fields else None)
        else:  # an entry of a map or a list: its type is the last argument of the container
            arguments = [argument for argument in get_args(types[-1]) if argument is not Ellipsis]
            types.append(_unwrap_optional(arguments[-1]) if arguments else None)
    return types


def _unwrap_optional(annotation: Any) -> Any:
    members = [member for member in get_args(annotation) if member is not type(None)]
    return members[0] if len(members) == 1 and type(None) in get_args(annotation) else annotation
