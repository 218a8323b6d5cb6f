"""Read the `.proto` files of Terraform's plugin protocol.

`grpc.protos` would do, but it fails in a folder whose path is not ASCII.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def read(proto: Path) -> Any:
    """Return the descriptor of a file that imports no other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # protoc takes some characters of a path, such as `:` and `=`, for its own.
        shutil.copy(proto, folder)
        compiled = folder / "compiled"
        arguments = [f"--proto_path={folder}", f"--descriptor_set_out={compiled}", str(folder / proto.name)]
        if protoc.main(["protoc", *arguments]):
            raise ValueError(f"{proto}: protoc refuses it; its message is above")
        (file,) = FileDescriptorSet.FromString(compiled.read_bytes()).file
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)
