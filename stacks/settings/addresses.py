"""Types of network addresses: IPv4 ranges, and the port of a URL."""

import re
from ipaddress import IPv4Network
from typing import Annotated

from pydantic import BeforeValidator

URL_PORT = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
"""Pattern of a URL's optional port, 1 to 65535."""


def _require_network_address(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        network = IPv4Network(value, strict=False)
    except ValueError:
        network = None
    if network is None or not re.fullmatch(r"[0-9.]+/[0-9]+", value):
        raise ValueError("must be an IPv4 range as address/prefix length, such as 10.0.0.0/16")
    if str(network) != value:
        raise ValueError(f"must be the range's first address and its prefix length: {network}")
    return value


Ipv4Range = Annotated[IPv4Network, BeforeValidator(_require_network_address)]

PRIVATE_RANGES = tuple(
    IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
"""RFC 1918, "Private Address Space", and RFC 6598, "Shared Address Space", which AWS's networks use, too."""

RESERVED_RANGES = tuple(
    IPv4Network(block) for block in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
)
"""This network, loopback, link-local, and multicast with reserved (IANA, "IPv4 Special-Purpose Address
Registry"): no network of AWS has them, and no address on the internet."""
