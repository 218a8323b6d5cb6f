"""Read files within limits of size, values and depth: no file takes long or fills the memory.

The limits and the parser are those of plan_review, which imports nothing of the stacks.
Not here: the meaning of the values (load.py, jobs/ci_yaml.py).
"""

from pathlib import Path

from plan_review.yaml_text import MAX_BYTES, MAX_DEPTH, MAX_NODES, TooManyNodesError, limited_yaml

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "LargeFileError",
    "TooManyNodesError",
    "limited_yaml",
    "read_limited",
]


class LargeFileError(Exception):
    """A file is larger than MAX_BYTES."""


def read_limited(path: Path) -> str:
    """Return the text of a file.

    Raises:
        LargeFileError: If it is larger than MAX_BYTES.
        OSError: If it can't be read.
        UnicodeDecodeError: If it is not UTF-8.

    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise LargeFileError
    return content.decode()
