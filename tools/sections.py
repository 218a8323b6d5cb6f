"""Write figures into documents, each section between the comments `begin NAME` and `end NAME`."""

import fcntl
import re
from collections.abc import Iterable
from pathlib import Path


def write_section(document: Path, name: str, lines: Iterable[str]) -> None:
    """Replace what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Args:
        document: The document.
        name: The name of the section.
        lines: Lines of Markdown, such as those of a table.

    Raises:
        LookupError: If the document has no such comments.

    """
    section = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    text = "".join(f"{line}\n" for line in lines)
    with document.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # several workers of the tests write at the same time
        changed, count = section.subn(lambda match: match[1] + text + match[2], file.read())
        if count != 1:
            raise LookupError(f"{document}: no section {name}")
        file.seek(0)
        file.truncate()
        file.write(changed)
