"""CI/CD variables: their values, and the variables inside of their values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.ci_yaml import Place

# Go's os.Expand, which the runner uses: $NAME, ${NAME}; $$ is a dollar sign.
_USE = re.compile(r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_INPUT = re.compile(r"\$\[\[(.*?)\]\]")
MAX_LENGTH = 10_000  # a variable that grows by others ends here
MAX_DEPTH = 50


@dataclass(frozen=True)
class Variable:
    """A variable's value; a text of None is unknown, and `unknown` has the reason."""

    text: str | None
    place: Place | None = None
    raw: bool = False
    unknown: str = ""


def expand_all(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """Return the variables with the variables in their values replaced, or unknown ones."""
    done: dict[str, Variable] = {}

    def finish(name: str, users: tuple[str, ...]) -> Variable:
        if name in done:
            return done[name]
        variable = variables[name]
        if name in users or len(users) > MAX_DEPTH:
            return _unknown(variable, f"variables refer to each other: {', '.join(users[:3])}")
        if variable.text and not variable.raw:
            used = {use[1] or use[2] for use in _USE.finditer(variable.text)} & variables.keys()
            inner = {other: finish(other, (*users, name)) for other in sorted(used)}
            variable = expand(variable, inner)
        done[name] = variable
        return variable

    return {name: finish(name, ()) for name in variables}


def expand(variable: Variable, known: Mapping[str, Variable]) -> Variable:
    """Return a variable with the variables in its value replaced by `known` ones, whose values are final."""
    text = variable.text
    if text is None or "$" not in text:
        return variable
    found = _INPUT.search(text)
    if found or variable.raw:
        return _unknown(variable, f"depends on the input {found[1].strip()}") if found else variable
    parts, end = [], 0
    for use in _USE.finditer(text):
        name = use[1] or use[2]
        parts.append(text[end : use.start()])
        end = use.end()
        if name is None:
            parts.append("$")
        elif name not in known:
            return _unknown(variable, f"depends on ${name}, which the file does not set")
        elif (inner := known[name]).text is None:
            return _unknown(variable, inner.unknown)
        else:
            parts.append(inner.text or "")
    whole = "".join([*parts, text[end:]])
    if len(whole) > MAX_LENGTH:
        return _unknown(variable, f"longer than {MAX_LENGTH} characters")
    return Variable(whole, variable.place)


def _unknown(variable: Variable, reason: str) -> Variable:
    return Variable(None, variable.place, unknown=reason)
