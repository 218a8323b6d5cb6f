"""Read one YAML file of GitLab CI into maps that know the line of each of their keys.

Intent: a file that is broken, endless or far too large ends in one message, within seconds.
Not here: the meaning of the keys (ci_file.py).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from stacks.errors import UserError
from stacks.settings.limited_yaml import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    LargeFileError,
    limited_yaml,
    read_limited,
)
from stacks.settings.messages import escape_control_characters, mask_tokens

MAX_LINES = 20  # of a message
_LONG_WORD = re.compile(r"(\S{300})\S+")  # longer than a path of a file or a key of a pipeline
MAX_DIGITS = 100  # of a number; Python writes no number of thousands of digits

_TAG = "tag:yaml.org,2002:"
_MERGE_KEY = f"{_TAG}merge"
_REFERENCE = "!reference"


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return the place as editors read it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Reference:
    """`!reference [job, key]`."""

    path: tuple[str, ...]
    place: Place


class Section(dict[str, Any]):
    """A map of YAML; `places` has the line of each key."""

    def __init__(self) -> None:
        """Begin with an empty map."""
        super().__init__()
        self.places: dict[str, Place] = {}

    def put(self, key: str, value: object, place: Place) -> None:
        """Set a key."""
        self[key] = value
        self.places[key] = place

    def merged_with(self, other: "Section") -> "Section":
        """Return both maps in one; `other` wins, and maps in maps are merged too."""
        merged = Section()
        for section in (self, other):
            for key, value in section.items():
                before = merged.get(key)
                if isinstance(before, Section) and isinstance(value, Section):
                    value = before.merged_with(value)  # noqa: PLW2901 - the same value, completed
                merged.put(key, value, section.places[key])
        return merged


class CiFileError(UserError):
    """A CI file can't be used: the message has one line for each reason."""

    def __init__(self, problems: list[tuple[Place | str, str]]) -> None:
        """Write one line for each pair of place and text, up to `MAX_LINES`."""
        self.problems = problems
        lines = [plain(_LONG_WORD.sub(r"\1…", f"{place}: {text}")) for place, text in problems]
        more = len(lines) - MAX_LINES
        super().__init__("\n".join(lines[:MAX_LINES] + ([f"and {more} more"] if more > 0 else [])))


def plain(text: str) -> str:
    """Return a text of the file without tokens and control characters."""
    return escape_control_characters(mask_tokens(text))


def read_yaml(path: Path, name: str) -> Section:
    """Return the content of a CI file; of one with a header, the part behind the header.

    Args:
        path: The file.
        name: Its name in messages.

    Raises:
        CiFileError: If it can't be read, is not YAML, or is larger than a pipeline is.

    """
    documents = [document for document in _parse(path, name) if document is not None]
    if len(documents) > 1 and _has_key(documents[0], "spec"):
        documents = documents[1:]
    if len(documents) > 1:
        place = Place(name, documents[1].start_mark.line + 1)
        raise CiFileError([(place, "a second document (`---`): only a header with `spec` may come first")])
    if not documents:
        return Section()
    content = _Reader(name).read(documents[0])
    if not isinstance(content, Section):
        raise CiFileError([(Place(name, 1), "must be a map with jobs")])
    return content


def _parse(path: Path, name: str) -> list[Node | None]:
    try:
        if not path.is_file() and path.exists():
            raise CiFileError([(name, "not a file")])
        text = read_limited(path)
    except OSError as error:
        raise CiFileError([(name, f"can't be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise CiFileError([(name, "can't be read: it must be text in UTF-8")]) from None
    except LargeFileError:
        raise CiFileError(
            [(name, f"larger than {MAX_BYTES // 1000} kB: no pipeline needs that much")]
        ) from None
    yaml = limited_yaml()
    try:
        return list(yaml.compose_all(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        words = str(error.problem).removeprefix("but ")
        if "maximum depth" in words:
            words = f"nested more than {MAX_DEPTH} levels"
        raise CiFileError([(Place(name, line), f"not valid YAML: {words}")]) from None
    except (YAMLError, ValueError) as error:
        words = str(error).partition("\n")[0]
        raise CiFileError([(name, f"can't be used: {words}")]) from None


def _has_key(node: Node, key: str) -> bool:
    return isinstance(node, MappingNode) and any(name.value == key for name, _ in node.value)


@dataclass
class _Reader:
    """Turns nodes into values; an anchor that is used many times becomes one value that all share."""

    name: str
    values: dict[int, Any] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def read(self, node: Node) -> Any:
        """Return a node's value."""
        key = id(node)
        if key in self.values:
            return self.values[key]
        place = Place(self.name, node.start_mark.line + 1)
        if key in self.open:
            raise CiFileError([(place, "an anchor that contains itself")])
        if len(self.open) > MAX_DEPTH:
            raise CiFileError([(place, f"nested more than {MAX_DEPTH} levels")])
        self.open.add(key)
        if isinstance(node, MappingNode):
            value: Any = self._read_map(node, place)
        elif isinstance(node, SequenceNode):
            value = self._read_list(node, place)
        else:
            value = self._read_scalar(node, str(node.tag), place)
        self.open.discard(key)
        self.values[key] = value
        self._count(node, place)
        return value

    def _count(self, node: Node, place: Place) -> None:
        """Refuse anchors that expand to more than a pipeline has."""
        parts: list[Node] = []
        if isinstance(node, MappingNode):
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            parts = node.value
        size = 1 + sum(self.sizes.get(id(part), 1) for part in parts)
        self.sizes[id(node)] = size
        if size > 10 * MAX_NODES:
            raise CiFileError([(place, f"anchors that expand to more than {10 * MAX_NODES} values")])

    def _read_map(self, node: MappingNode, place: Place) -> Section:
        if not str(node.tag).startswith(_TAG):
            raise CiFileError([(place, f"the tag {node.tag}: only !reference is known")])
        section, own = Section(), Section()
        for key, value in node.value:
            line = Place(self.name, key.start_mark.line + 1)
            if not isinstance(key, ScalarNode):
                raise CiFileError([(line, "a key must be a string")])
            if key.tag != _MERGE_KEY:
                own.put(key.value, self.read(value), line)
                continue
            # YAML, "Merge Key": the first of several maps wins.
            merged = self.read(value)
            for part in reversed(merged if isinstance(merged, list) else [merged]):
                if not isinstance(part, Section):
                    raise CiFileError([(line, "<< must be a map or a list of maps")])
                _put_all(section, part)
        _put_all(section, own)
        return section

    def _read_list(self, node: SequenceNode, place: Place) -> list[Any] | Reference:
        items = [self.read(item) for item in node.value]
        if node.tag == _REFERENCE:
            if not items or not all(isinstance(item, str) for item in items):
                raise CiFileError([(place, "!reference must be a list of names, such as [.job, variables]")])
            return Reference(tuple(items), place)
        if not str(node.tag).startswith(_TAG):
            raise CiFileError([(place, f"the tag {node.tag}: only !reference is known")])
        return items

    def _read_scalar(self, node: Node, tag: str, place: Place) -> Any:
        text: str = node.value
        match tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return _read_integer(text, place)
            case "float":
                return _read_number(text, place)
            case "binary" | "set" | "omap" | "pairs":
                raise CiFileError([(place, f"the tag {node.tag}: only !reference is known")])
        if not str(node.tag).startswith(_TAG):
            raise CiFileError([(place, f"the tag {node.tag}: only !reference is known")])
        return text


def _read_number(text: str, place: Place) -> float:
    try:
        return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        raise CiFileError([(place, f"{text[:MAX_DIGITS]}: not a number that GitLab can read")]) from None


def _read_integer(text: str, place: Place) -> int:
    if len(text) > MAX_DIGITS:
        raise CiFileError([(place, f"{text[:20]}…: a number of more than {MAX_DIGITS} digits")])
    # GitLab reads YAML 1.1: a number that begins with 0 is octal.
    digits = text.replace("_", "")
    is_octal = digits.lstrip("+-").startswith("0") and digits.lstrip("+-").isdigit()
    try:
        return int(digits, 8 if is_octal and digits.lstrip("+-") != "0" else 0)
    except ValueError:
        raise CiFileError([(place, f"{text}: not a number that GitLab can read")]) from None


def _put_all(section: Section, other: Section) -> None:
    for key, value in other.items():
        section.put(key, value, other.places[key])


def walk(value: object) -> Iterator[object]:
    """Yield a value and all values inside of it."""
    yield value
    parts = value.values() if isinstance(value, Section) else value if isinstance(value, list) else ()
    for part in parts:
        yield from walk(part)
