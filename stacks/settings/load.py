"""Read an environment's YAML file into `Settings`, or list every mistake in it.

Each mistake is one line: file and line, field, value, and the accepted values.
Not here: the rules (the models beside this file) and the words of a broken rule (messages.py).
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from stacks.errors import UserError
from stacks.settings import Settings
from stacks.settings.limited_yaml import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    LargeFileError,
    TooManyNodesError,
    limited_yaml,
    read_limited,
)
from stacks.settings.messages import (
    NO_TEMPLATES,
    describe_error,
    escape_control_characters,
    join_path,
    list_keys,
    mask_tokens,
    shorten,
)

PROJECT = Path(__file__).resolve().parents[2]

MAX_MISTAKES, MAX_LINE = 50, 1500  # of a message
UNUSABLE = "can't be used: it must be YAML in UTF-8, with values that JSON can represent"
TOO_LARGE = (
    f"can't be used: larger than an environment is. Accepted: up to {MAX_BYTES // 1000} kB, and up to "
    f"{MAX_NODES} keys and values on {MAX_DEPTH} levels, with those that aliases repeat"
)

_TAG = "tag:yaml.org,2002:"
_TAGS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}
_NUMBER_TAGS = (f"{_TAG}int", f"{_TAG}float")
_MERGE_KEY = f"{_TAG}merge"
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")

# Part of the YAML parser's message → plain words.
_SYNTAX_PROBLEMS = {
    r"'\t'": "a tab; indent with spaces",
    "mapping values are not allowed": "wrong indentation, or a string with `: ` that needs quotes",
    "expected <block end>": "wrong indentation; the keys of one map start in the same column",
    "maximum depth": f"nested more than {MAX_DEPTH} levels",
    "another document": "a second document (`---`); a file holds one environment",
}


@dataclass(frozen=True)
class Problem:
    """One reason why a file can't be used, and the line of the file if it is known."""

    text: str
    line: int | None = None


class SettingsError(UserError):
    """An environment's file can't be used; `mistakes` has one line for each reason."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        """Write one line for each of the first problems, without tokens and control characters."""
        shown = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
        lines = [
            f"{shown}{f':{problem.line}' if problem.line else ''}: {problem.text}"
            for problem in islice(problems, MAX_MISTAKES + 1)
        ]
        lines[MAX_MISTAKES:] = [f"{shown}: and more" for _ in lines[MAX_MISTAKES:]]
        lines = [line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}…" for line in map(mask_tokens, lines)]
        self.mistakes = [escape_control_characters(line) for line in lines]
        super().__init__("\n".join(self.mistakes))


def load_environment(name: str | None) -> Settings:
    """Read the environment called `name`, a file under environments/; without a name, the local one.

    Raises:
        SettingsError: If there is no such file, it is not YAML, or it holds a mistake.

    """
    folder, file = PROJECT / "environments", f"{(name or 'local').removesuffix('.yaml')}.yaml"
    known = sorted(path.name for path in folder.glob("*.yaml"))
    if file not in known:  # also a path into another folder: the state's key has only the name
        accepted = ", ".join(name.removesuffix(".yaml") for name in known) or "none yet"
        problem = Problem(f"no such environment. Accepted: {accepted}")
        raise SettingsError(Path(f"environments/{file}"), [problem])
    return load_settings(folder / file)


def load_settings(path: Path) -> Settings:
    """Read and validate one environment; the file's name is the environment's name.

    Raises:
        SettingsError: If the file is missing, is not YAML, or holds a mistake.

    """
    yaml = limited_yaml()
    try:
        root = _parse_file(yaml, path)
        problems = _find_problems(root)
        if first := next(problems, None):
            raise SettingsError(path, chain([first], problems))
        values = {**yaml.constructor.construct_document(root), "environment": path.stem}
        # In strict mode pydantic turns lists into tuples and strings into IP networks only if it reads JSON.
        document = json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
        # A setting may name a file beside this one.
        return Settings.model_validate_json(document, context={"folder": path.parent})
    except ValidationError as error:
        raise SettingsError(path, _describe_errors(error, root)) from None
    except TooManyNodesError:
        raise SettingsError(path, [Problem(TOO_LARGE)]) from None
    except (YAMLError, ValueError):
        raise SettingsError(path, [Problem(UNUSABLE)]) from None


def _parse_file(yaml: YAML, path: Path) -> Node | None:
    """Return the file's tree of YAML nodes, which know their lines; None for an empty file."""
    try:
        text = read_limited(path)
    except OSError as error:
        raise SettingsError(path, [Problem(f"can't be read: {error.strerror}")]) from None
    except LargeFileError:
        raise SettingsError(path, [Problem(TOO_LARGE)]) from None
    try:
        root: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else 0
        problem = _describe_syntax(str(error.problem), text.splitlines()[line : line + 1])
        raise SettingsError(path, [Problem(f"not valid YAML: {problem}", line + 1)]) from None
    return root


def _describe_syntax(problem: str, lines: list[str]) -> str:
    if any(sign in line for line in lines for sign in ("{{", "{%")):
        return NO_TEMPLATES
    plain = [words for part, words in _SYNTAX_PROBLEMS.items() if part in problem]
    return plain[0] if plain else shorten(problem.removeprefix("but "))


def _find_problems(root: Node | None) -> Iterator[Problem]:
    """Yield the problems that the values do not show: duplicate keys, tags, and odd spellings of numbers."""
    if not isinstance(root, MappingNode):
        yield Problem(f"must be a YAML map with the keys {', '.join(list_keys(()))}")
        return
    for count, (path, node) in enumerate(_walk_nodes(root)):
        if count > MAX_NODES or len(path) > MAX_DEPTH:
            yield Problem(TOO_LARGE)
            return
        line = node.start_mark.line + 1
        if path == ("environment",):
            yield Problem("environment: not a key: the file's name is the environment's name", line)
        if node.tag not in _TAGS:
            accepted = "must be a string (in quotes), a number, true, false, a list or a map"
            yield Problem(f"{join_path(path)}: {accepted}", line)
        elif node.tag in _NUMBER_TAGS and not _PLAIN_NUMBER.fullmatch(node.value):
            shown = shorten(node.value)
            accepted = f'write "{shown}" for a string, or a plain number'
            yield Problem(f"{join_path(path)}: {shown}: {accepted}", line)
        elif isinstance(node, MappingNode):
            yield from _find_key_problems(path, node)


def _find_key_problems(path: tuple[str, ...], node: MappingNode) -> Iterator[Problem]:
    seen: set[str] = set()
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):  # {{ … }} is a map with a map as its key
            yield Problem(": ".join(filter(None, [join_path(path), NO_TEMPLATES])), line)
            continue
        where = join_path((*path, key.value))
        if key.tag not in (f"{_TAG}str", _MERGE_KEY):
            yield Problem(f'{where}: a key must be a string: write "{shorten(key.value)}"', line)
        elif key.value in seen:
            yield Problem(f"{where}: the same key is in the map twice", line)
        seen.add(key.value)


def _walk_nodes(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    yield path, node
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _walk_nodes(value, (*path, key.value if isinstance(key, ScalarNode) else "?"))
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk_nodes(item, (*path, str(index)))


def _describe_errors(error: ValidationError, root: Node | None) -> Iterator[Problem]:
    for details in error.errors():
        _, node = _find_node(root, details["loc"])
        written = node.value if isinstance(node, ScalarNode) else None
        for path, text in describe_error(details, written):
            line, _ = _find_node(root, path)
            yield Problem(text, line)


def _find_node(root: Node | None, path: Sequence[int | str]) -> tuple[int | None, Node | None]:
    """Return line and node of the field at `path`; for a missing field, its section's line and None."""
    line, node = None, root
    for part in path:
        if isinstance(node, MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
        elif isinstance(node, SequenceNode):
            found = [(item, item) for index, item in enumerate(node.value) if str(index) == str(part)]
        else:
            found = []
        if not found:
            return line, None
        key, node = found[0]
        line = key.start_mark.line + 1
    return line, node
