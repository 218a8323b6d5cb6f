"""The search for secrets finds a secret in each form; else its other tests could not fail."""

import base64
import gzip
import html
import io
import json
import shlex
import tarfile
import urllib.parse
import zipfile
from collections.abc import Callable

import pytest

from tests.chaos.secret_search import Searcher, Secret

TOKENS = ("glrt-t1_Zk3xVw8Qr5sY-Lm2nB7", "glrt-<s&q\"v'+/\\=% é😀Zk3xVw8Qr5")
SEARCHER = Searcher((Secret("token", TOKENS[0]), Secret("odd token", TOKENS[1])))


def as_go(text: str) -> str:
    """Return a JSON string as Go writes it."""
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def zipped(content: bytes) -> bytes:
    """Return a zip file, as a plan file is one."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tfplan", b"x" * 99)
        archive.writestr("tfstate", content)
    return file.getvalue()


def tarred(content: bytes) -> bytes:
    """Return a tar file packed with gzip, as a chart is one."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        item = tarfile.TarInfo("values.yaml")
        item.size = len(content)
        archive.addfile(item, io.BytesIO(content))
    return file.getvalue()


def helm(content: bytes) -> bytes:
    """Return the Secret of a Helm release: Kubernetes encodes once more what Helm has encoded."""
    release = base64.b64encode(gzip.compress(content))
    return json.dumps({"data": {"release": base64.b64encode(release).decode()}}).encode()


def encoded_after(before: int, encode: Callable[[bytes], bytes]) -> Callable[[str], bytes]:
    """Return a function that encodes a token with some bytes before it, which shift it."""
    return lambda token: encode(b"{" * before + token.encode() + b'"}')


FORMS: dict[str, Callable[[str], str | bytes]] = {
    "plain text": str,
    "UTF-16": lambda token: token.encode("utf-16-le"),
    "JSON": json.dumps,
    "JSON in UTF-8": lambda token: json.dumps(token, ensure_ascii=False),
    "JSON of Go": as_go,
    "JSON in JSON": lambda token: as_go(as_go(as_go(token))),
    "JSON, every character escaped": lambda token: "".join(
        rf"\u{token.encode('utf-16-be').hex()[at : at + 4].upper()}"
        for at in range(0, len(token.encode("utf-16-be")) * 2, 4)
    ),
    "JSON with slashes escaped": lambda token: json.dumps(token).replace("/", r"\/"),
    "HTML": html.escape,
    "HTML by number": lambda token: "".join(f"&#{ord(item)};" for item in token),
    "HTML by hexadecimal number": lambda token: "".join(f"&#x{ord(item):x};" for item in token),
    "URL": lambda token: urllib.parse.quote(token, safe=""),
    "form of the web": urllib.parse.quote_plus,
    "URL in URL": lambda token: urllib.parse.quote(urllib.parse.quote(token, safe=""), safe=""),
    "shell": shlex.quote,
    "Python": lambda token: repr(token.encode()),
    "hexadecimal": lambda token: token.encode().hex(),
    **{f"base64 after {before} bytes": encoded_after(before, base64.b64encode) for before in range(3)},
    **{
        f"URL-safe base64 after {before} bytes": encoded_after(before, base64.urlsafe_b64encode)
        for before in range(3)
    },
    "base64 of JSON": lambda token: base64.b64encode(json.dumps({"a": token}).encode()),
    "base64 of JSON of Go": lambda token: base64.b64encode(as_go(token).encode()),
    "base64 of base64": lambda token: base64.b64encode(b"key: " + base64.b64encode(b"=" + token.encode())),
    "base64 in lines": lambda token: base64.encodebytes(b"." * 40 + token.encode() + b"." * 40),
    "base64 in lines in JSON": lambda token: json.dumps(
        base64.encodebytes(b"." * 40 + token.encode() + b"." * 40).decode()
    ),
    "base64 in a URL": lambda token: urllib.parse.quote(base64.b64encode(token.encode()), safe=""),
    "first half": lambda token: token[: -(-len(token) // 2)],
    "second half": lambda token: token[len(token) // 2 :],
    "gzip": lambda token: gzip.compress(token.encode()),
    "gzip, cut short": lambda token: gzip.compress(token.encode() + b"." * 99)[:-8],
    "gzip in the middle": lambda token: b"head" + gzip.compress(as_go(token).encode()) + b"tail",
    "zip": lambda token: zipped(token.encode()),
    "zip in zip": lambda token: zipped(zipped(base64.b64encode(token.encode()))),
    "zip without its end": lambda token: zipped(token.encode())[:-30],
    "tar": lambda token: tarred(token.encode()),
    "gzip in base64": lambda token: base64.b64encode(gzip.compress(token.encode())),
    "gzip in base64 in JSON": lambda token: json.dumps(
        {"a": base64.encodebytes(gzip.compress(token.encode())).decode()}
    ).replace("/", r"\/"),
    "zip in URL-safe base64": lambda token: base64.urlsafe_b64encode(zipped(token.encode())),
    "release of Helm": lambda token: helm(json.dumps({"manifest": token}).encode()),
    "release of Helm in a plan file": lambda token: zipped(helm(token.encode())),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_each_form(form: str) -> None:
    """Each form of a secret is found, amid other content, also if it has characters that are escaped."""
    for token, name in zip(TOKENS, ("token", "odd token"), strict=True):
        planted = FORMS[form](token)
        content = planted.encode() if isinstance(planted, str) else planted
        assert SEARCHER.find(b"x = [" + content + b"]\n") == {name}


def test_other_content_holds_no_secret() -> None:
    """Neither what the two tokens have in common nor similar text counts."""
    other = f'{{"a": "glrt-t1_", "b": "{TOKENS[0][:8]}...{TOKENS[0][-4:]}"}}'.encode()
    for content in (b"", other, gzip.compress(other), zipped(other), helm(other), base64.b64encode(other)):
        assert SEARCHER.find(content) == set()
