"""Search any content for secrets, in every form that a program of the project could have given them.

A secret is found as plain text, with any of its characters escaped (JSON, also JSON in JSON; HTML; URL;
shell), in base64 at any alignment (standard and URL-safe, also twice), in hexadecimal, and in UTF-16. All of
that is found in what was packed, too: gzip, the deflated members of a zip file such as a plan file, and both
in base64, once or twice, as Helm and Kubernetes store a release. Half of a secret counts: a message may be
cut.
Not here: other ways to compress, and encryption.
"""

import base64
import binascii
import html.entities
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

MAX_UNPACKED = 256 * 1024**2  # bytes of one packed stream
MAX_DEPTH = 6  # an archive in an archive
_GZIP, _ZIP_MEMBER, _DEFLATED = b"\x1f\x8b\x08", b"PK\x03\x04", 8
_ZIP_HEADER = 30  # bytes; APPNOTE.TXT of PKWARE, "Local file header"
# Base64 of what begins with the magic numbers of gzip and zip, and the base64 of that.
_PACKED_TEXT = re.compile(
    rb"(?:H4sI|UEsDB|SDRzS|VUVzRE)(?:[A-Za-z0-9+/_-]|\\+[rn]|\\+/|\\+u002[bBfF]|[\r\n][ \t]*)*"
)
_WRAPPED = re.compile(rb"(?<=[A-Za-z0-9+/_-]{40})(?:\\+r)?(?:\\+n|\r?\n)[ \t]*(?=[A-Za-z0-9+/_-]{4})")


@dataclass(frozen=True)
class Secret:
    """A secret that was planted.

    Attributes:
        name: What it is, in words.
        value: The secret.
        halves: Whether half of it counts. Not for a value that is only the beginning of a secret.

    """

    name: str
    value: str
    halves: bool = True

    def is_in(self, content: bytes) -> bool:
        """Return whether the secret is in a content that is not packed."""
        return any(text in content for text in self._texts) or any(
            pattern.search(content) for pattern in self._patterns
        )

    @cached_property
    def _parts(self) -> list[str]:
        middle = len(self.value) // 2
        return [self.value[:middle], self.value[middle:]] if self.halves else [self.value]

    @cached_property
    def _texts(self) -> list[bytes]:
        """The texts that are searched for as they are."""
        return sorted(
            {text for text in self._encoded if re.fullmatch(rb"[\w-]+", text)}
            | {part.encode("utf-16-le") for part in self._parts}
        )

    @cached_property
    def _patterns(self) -> list[re.Pattern[bytes]]:
        """The texts that are searched for with any of its characters escaped."""
        encoded = [text.decode() for text in self._encoded if not re.fullmatch(rb"[\w-]+", text)]
        return [re.compile(b"".join(map(_escaped, part))) for part in (*self._parts, *sorted(encoded))]

    @cached_property
    def _encoded(self) -> set[bytes]:
        """The parts in hexadecimal, and in base64 at the three places in a group of three bytes."""
        found = set()
        for part in self._parts:
            for form in _forms(part):
                found |= {form.hex().encode(), form.hex().upper().encode()}
                found |= set(_base64(form))
        for form in _forms(self.value):
            found |= {twice for once in _base64(form) for twice in _base64(once)}
        return found


@dataclass(frozen=True)
class Searcher:
    """Searches contents for all secrets.

    Attributes:
        secrets: The secrets.

    """

    secrets: tuple[Secret, ...]

    def find(self, content: bytes) -> set[str]:
        """Return the names of the secrets in a content and in all that is packed in it."""
        return {
            secret.name
            for view in _unpack(content, MAX_DEPTH)
            for secret in self.secrets
            if secret.is_in(view)
        }


def _forms(text: str) -> set[bytes]:
    """Return a text as programs write it into what others encode: as it is, or as a string of JSON."""
    characters = {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"}  # Go, encoding/json, "HTMLEscape"
    in_json = text.replace("\\", r"\\").replace('"', r"\"")
    ascii_json = "".join(item if item.isascii() else _utf16(item) for item in in_json)
    in_html_safe_json = "".join(characters.get(item, item) for item in in_json)
    return {item.encode() for item in (text, in_json, ascii_json, in_html_safe_json)}


def _utf16(character: str) -> str:
    r"""Return a character as JSON's \\uXXXX; as two of them beyond 16 bits."""
    units = character.encode("utf-16-be").hex()
    return "".join(rf"\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _base64(form: bytes) -> Iterator[bytes]:
    """Yield the characters of base64 that depend on these bytes alone, for each alignment and alphabet."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + form)
        start = -(-before * 8 // 6)
        end = (before + len(form)) * 8 // 6
        yield encoded[start:end]
        yield encoded[start:end].translate(bytes.maketrans(b"+/", b"-_"))


def _escaped(character: str) -> bytes:
    """Return a pattern of a character that may be escaped."""
    encoded, number = character.encode(), ord(character)
    units = _utf16(character).split(r"\u")[1:]
    spellings = [
        re.escape(encoded),
        b"".join(rb"\\\\*u(?i:%s)" % unit.encode() for unit in units),  # JSON, also in JSON
        b"".join(rb"%%(?i:%02x)" % byte for byte in encoded),  # URL
        b"".join(rb"%%25(?i:%02x)" % byte for byte in encoded),  # URL in URL
        b"".join(rb"\\\\*x(?i:%02x)" % byte for byte in encoded),  # Python, C
        b"".join(rb"\\\\*%03o" % byte for byte in encoded),  # shells
        rb"&(?:amp;)?#0*%d;" % number,
        rb"&(?:amp;)?#[xX]0*(?i:%x);" % number,
        *(
            rb"&(?:amp;)?%s;" % name.encode()
            for name in sorted(
                {name.strip(";") for name, value in html.entities.html5.items() if value == character}
            )
        ),
    ]
    if not character.isalnum():
        spellings.append(rb"\\\\*" + re.escape(encoded))  # JSON's \", \\ and \/, shells' \<
    if character == "'":
        spellings += [rb"'\"'\"'", rb"'\\\\*''"]  # shells
    if character == " ":
        spellings.append(rb"\+")  # forms of the web
    return b"(?:" + b"|".join(spellings) + b")"


def _unpack(content: bytes, depth: int) -> Iterator[bytes]:
    """Yield a content, and each content that is packed in it, however deep."""
    yield content
    if _WRAPPED.search(content):
        content = _WRAPPED.sub(b"", content)
        yield content
    if depth:
        for inner in (*_inflate(content), *_decode(content)):
            yield from _unpack(inner, depth - 1)


def _inflate(content: bytes) -> Iterator[bytes]:
    """Yield what the streams of gzip and the members of zip files hold; a stream may be cut short."""
    for at in _find_all(content, _GZIP):
        yield from _decompress(content, at, zlib.MAX_WBITS | 16)
    for at in _find_all(content, _ZIP_MEMBER):
        header = content[at : at + _ZIP_HEADER]
        if len(header) == _ZIP_HEADER and int.from_bytes(header[8:10], "little") == _DEFLATED:
            names = sum(int.from_bytes(header[start : start + 2], "little") for start in (26, 28))
            yield from _decompress(content, at + _ZIP_HEADER + names, -zlib.MAX_WBITS)


def _decompress(content: bytes, start: int, kind: int) -> Iterator[bytes]:
    stream, found = zlib.decompressobj(kind), bytearray()
    view = memoryview(content)[start:]
    try:
        for at in range(0, len(view), 65536):
            found += stream.decompress(view[at : at + 65536])
            if stream.eof:
                break
            if len(found) > MAX_UNPACKED:
                raise ValueError(f"a packed stream has more than {MAX_UNPACKED} bytes")
    except zlib.error:
        pass  # cut short, damaged, or no stream at all
    if found:
        yield bytes(found)


def _decode(content: bytes) -> Iterator[bytes]:
    """Yield what the base64 of something packed stands for."""
    for match in _PACKED_TEXT.finditer(content):
        text = re.sub(rb"(?i:\\+u002b)", b"+", match[0])
        text = re.sub(rb"(?i:\\+u002f)", b"/", text)
        text = re.sub(rb"\\+[rn]|\\|\s", b"", text).translate(bytes.maketrans(b"-_", b"+/"))
        try:
            yield binascii.a2b_base64(text[: len(text) // 4 * 4])
        except binascii.Error:
            continue


def _find_all(content: bytes, magic: bytes) -> Iterable[int]:
    return (match.start() for match in re.finditer(re.escape(magic), content))
