"""Certificates of a private certification authority, in PEM."""

import re
import ssl
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from stacks.settings.model import refuse

MAX_CHARACTERS = 200_000  # Kubernetes stores up to 1 MiB in a Secret
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_BLOCK = re.compile(rf"{_BEGIN}\s[A-Za-z0-9+/=\s]+{_END}")
_ACCEPTED = (
    f"must be one or more certificates in PEM ({_BEGIN} …), or the path of a file with them, relative to "
    "the environment's file"
)


def _read_certificates(value: str, info: ValidationInfo) -> str:
    """Return the certificates of a value or of the file that it names, without the text around them."""
    is_path = "-----BEGIN" not in value
    text = _read_file(value, (info.context or {})["folder"]) if is_path else value
    shown = value if is_path else f"{_BEGIN}…"
    if len(text) > MAX_CHARACTERS:
        refuse([((), shown, f"is longer than {MAX_CHARACTERS} characters. It {_ACCEPTED}")])
    if "PRIVATE KEY" in text:
        refuse([((), shown, f"holds a private key, which belongs in no settings. It {_ACCEPTED}")])
    blocks = [_normalize(block) for block in _BLOCK.findall(text)]
    if not blocks or len(blocks) != text.count("-----BEGIN"):
        refuse([((), shown, f"holds no certificate, or something else beside it. It {_ACCEPTED}")])
    for number, block in enumerate(blocks, start=1):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=block)
        except ssl.SSLError:
            refuse([((), shown, f"block {number} of {len(blocks)} is no X.509 certificate. It {_ACCEPTED}")])
    return "".join(blocks)


def _read_file(name: str, folder: Path) -> str:
    # `make plan` looks for changed inputs in this folder alone (deployment/terraform.py).
    if Path(name).is_absolute() or ".." in Path(name).parts:
        refuse([((), name, f"is not in the folder of the environment's file. It {_ACCEPTED}")])
    try:
        with (folder / name).open(encoding="ascii", errors="replace") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        refuse([((), name, f"can't be read ({reason}). It {_ACCEPTED}")])
    return text


def _normalize(block: str) -> str:
    """Return a PEM block with one newline after each line."""
    return "".join(f"{line.strip()}\n" for line in block.splitlines())


Certificates = Annotated[str, AfterValidator(_read_certificates)]
"""PEM text. The settings may name a file instead; its content replaces the name."""
