"""Sizes of EC2 instance types, for a program that may not ask AWS.

`instance_types.csv` has what EC2's DescribeInstanceTypes answers: vCPUs (DefaultVCpus), MiB of memory,
network interfaces, and IPv4 addresses of each. Taken from the test library moto 5.2.5 in November 2026.
At plan time Terraform asks AWS itself, so an old table never blocks a deployment.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jobs.quantities import parse_number
from stacks.errors import UserError

TABLE = Path(__file__).parent / "instance_types.csv"
MAX_NUMBER = 1_000_000_000  # of a size in the command line


@dataclass(frozen=True)
class InstanceSize:
    """The size of an instance type."""

    vcpus: int
    memory_mib: int
    network_interfaces: int
    ipv4_addresses_per_interface: int


@cache
def known_sizes() -> Mapping[str, InstanceSize]:
    """Return the sizes in the table by the type's name."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return {name: InstanceSize(*map(int, numbers)) for name, *numbers in rows}


def parse_sizes(texts: list[str]) -> dict[str, InstanceSize]:
    """Return the sizes that a user gives as `TYPE=VCPUS:MIB`.

    The kubelet reserves memory for each pod that the interfaces have an address for. So a type without
    interfaces in the text gets those of the type in the table that has the most with as many vCPUs or fewer.

    Raises:
        UserError: If a text has another form.

    """
    sizes = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        parts = [parse_number(part, MAX_NUMBER) for part in numbers.split(":")]
        values = [part for part in parts if part]
        if not name or len(parts) not in (2, 4) or len(values) != len(parts):
            raise UserError(
                f"--instance-type {text}: must be TYPE=VCPUS:MIB, such as m7i.48xlarge=192:786432, or "
                f"TYPE=VCPUS:MIB:INTERFACES:ADDRESSES, with numbers from 1 to {MAX_NUMBER}"
            )
        if len(values) == 2:  # noqa: PLR2004 - vCPUs and MiB
            similar = [size for size in known_sizes().values() if size.vcpus <= values[0]]
            most = max(similar, key=_addresses, default=InstanceSize(1, 1, 2, 4))
            values += [most.network_interfaces, most.ipv4_addresses_per_interface]
        sizes[name] = InstanceSize(*values)
    return sizes


def _addresses(size: InstanceSize) -> int:
    return size.network_interfaces * size.ipv4_addresses_per_interface
