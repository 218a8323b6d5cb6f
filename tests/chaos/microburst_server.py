"""microburst with a seed, and with one more fault: AWS has done what was asked, and its answer is lost.

microburst 0.10.0 resets a connection before it passes the request on, or after it has passed on the status of
the answer. Its rule `response: {abort_bytes: 0}` here resets the connection in between.
"""

import random
import sys
from typing import Any

from aiohttp import web
from microburst import forward
from microburst.cli import main
from microburst.detection import host

stream_to_client = forward._stream_to_client  # noqa: SLF001


async def lose_or_stream(request: web.Request, status: int, headers: Any, mutator: Any, chunks: Any) -> Any:
    """Reset the connection instead of an answer that is to be lost."""
    if mutator and mutator.abort_bytes == 0:
        if request.transport:
            request.transport.abort()
        return web.Response()
    return await stream_to_client(request, status, headers, mutator, chunks)


if __name__ == "__main__":
    random.seed(int(sys.argv[1]))
    forward._stream_to_client = lose_or_stream  # noqa: SLF001
    # On 127.0.0.1 no host name says which service is meant: botocore's models of all services are not needed.
    host._endpoint_prefix_map = dict  # noqa: SLF001
    sys.exit(main(sys.argv[2:]))
