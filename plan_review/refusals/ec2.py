"""Rules of Amazon EC2 and VPC: ports, volumes, user data, Auto Scaling groups, subnets."""

import base64
import binascii
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network, ip_network
from typing import Any

from plan_review.plan import Change
from plan_review.refusals.refusal import Refusal, get_number, get_text, is_new, is_sent
from plan_review.values import Sensitive, list_blocks

_VOLUME = "Amazon EBS, Amazon EBS volume types"
_MAX_PORT = 65535
_MAX_USER_DATA = 16384
# GiB, and the IOPS of each GiB.
_SMALLEST = {"io1": 4, "io2": 4, "st1": 125, "sc1": 125}
_IOPS_PER_GIB = {"io1": 50, "io2": 1000, "gp3": 500}
_GP3_IOPS = 3000
_THROUGHPUT_PER_IOPS = 0.25
_LARGEST_PREFIX, _SMALLEST_PREFIX = 16, 28
# By type: the size of the storage, which can only grow.
_STORAGE = {
    "aws_ebs_volume": ("size", "Amazon EBS, Request Amazon EBS volume modifications"),
    "aws_db_instance": ("allocated_storage", "Amazon RDS, Working with storage for Amazon RDS DB instances"),
}


def find(change: Change) -> Iterator[Refusal]:
    """Yield the refusals of one resource of EC2 or VPC."""
    for rules in _BY_TYPE.get(change.type, ()):
        yield from rules(change)


def _find_in_rule(change: Change) -> Iterator[Refusal]:
    if is_sent(change, "from_port", "to_port"):
        yield from _find_ports(change.after or {}, "")


def _find_in_group(change: Change) -> Iterator[Refusal]:
    for name in ("ingress", "egress"):
        for block in list_blocks((change.after or {}).get(name)) if is_sent(change, name) else ():
            yield from _find_ports(block, f"{name}.")


def _find_ports(rule: dict[str, Any], prefix: str) -> Iterator[Refusal]:
    protocol = str(rule.get("protocol", rule.get("ip_protocol"))).lower()
    first, last = get_number(rule, "from_port"), get_number(rule, "to_port")
    if protocol not in ("tcp", "udp", "6", "17") or first is None or last is None:
        return  # to ICMP these are types and codes
    if first > last:
        text = f"from_port is at most to_port, which is {last:g}"
        yield Refusal(f"{prefix}from_port", first, text, "Amazon EC2 API, IpPermission")
    elif first < 0 or last > _MAX_PORT:
        text = f"ports are 0 to {_MAX_PORT}"
        yield Refusal(f"{prefix}to_port", last, text, "Amazon EC2 API, IpPermission")


def _find_in_volume(change: Change) -> Iterator[Refusal]:
    if is_sent(change, "type", "size", "iops", "throughput"):
        yield from _find_in_device(change.after or {}, "")


def _find_in_devices(change: Change) -> Iterator[Refusal]:
    for name in ("root_block_device", "ebs_block_device", "block_device_mappings"):
        for block in list_blocks((change.after or {}).get(name)) if is_sent(change, name) else ():
            for volume in list_blocks(block.get("ebs")) if "ebs" in block else [block]:
                yield from _find_in_device(volume, f"{name}.")


def _find_in_device(volume: dict[str, Any], prefix: str) -> Iterator[Refusal]:
    kind = get_text(volume, "type") or get_text(volume, "volume_type")
    size = get_number(volume, "size") or get_number(volume, "volume_size")
    iops, throughput = get_number(volume, "iops"), get_number(volume, "throughput")
    if size and size < _SMALLEST.get(kind, 0):
        yield Refusal(f"{prefix}size", size, f"{kind} begins at {_SMALLEST[kind]} GiB", _VOLUME)
    ratio = _IOPS_PER_GIB.get(kind)
    if ratio and size and iops and iops > max(ratio * size, _GP3_IOPS if kind == "gp3" else 0):
        yield Refusal(f"{prefix}iops", iops, f"{kind} has at most {ratio} IOPS for each GiB", _VOLUME)
    if kind == "gp3" and throughput and throughput > _THROUGHPUT_PER_IOPS * (iops or _GP3_IOPS):
        text = f"gp3 has at most {_THROUGHPUT_PER_IOPS} MiB/s for each of its IOPS"
        yield Refusal(f"{prefix}throughput", throughput, text, _VOLUME)


def _find_smaller(change: Change) -> Iterator[Refusal]:
    name, source = _STORAGE[change.type]
    before, after = (get_number(state, name) for state in (change.before, change.after))
    if change.action == "update" and before is not None and after is not None and after < before:
        yield Refusal(name, after, "storage can't get smaller", source, before)


def _find_user_data(change: Change) -> Iterator[Refusal]:
    if not is_sent(change, "user_data"):
        return
    value = (change.after or {}).get("user_data")
    text = value.value if isinstance(value, Sensitive) else value
    try:
        size = len(base64.b64decode(text, validate=True)) if isinstance(text, str) else 0
    except (binascii.Error, ValueError):
        return
    if size > _MAX_USER_DATA:
        rule = f"user data has at most {_MAX_USER_DATA:,} bytes"
        source = "Amazon EC2, Run commands when you launch an EC2 instance with user data input"
        yield Refusal("user_data", f"{size:,} bytes", rule, source)


def _find_numbers(change: Change) -> Iterator[Refusal]:
    names = ("min_size", "desired_capacity", "max_size")
    if not is_sent(change, *names):
        return
    least, desired, most = (get_number(change.after, name) for name in names)
    source = "Amazon EC2 Auto Scaling, Set scaling limits for your Auto Scaling group"
    if least is not None and most is not None and least > most:
        yield Refusal("min_size", least, f"the minimum is at most the maximum, which is {most:g}", source)
    elif is_new(change) and desired is not None and _is_outside(desired, least, most):
        yield Refusal("desired_capacity", desired, "it is between the minimum and the maximum", source)


def _is_outside(number: float, least: float | None, most: float | None) -> bool:
    return (least is not None and number < least) or (most is not None and number > most)


def _find_prefix(change: Change) -> Iterator[Refusal]:
    text = get_text(change.after, "cidr_block") if is_new(change) else ""
    network = _parse(text)
    if network and not _LARGEST_PREFIX <= network.prefixlen <= _SMALLEST_PREFIX:
        rule = f"/{_LARGEST_PREFIX} to /{_SMALLEST_PREFIX} is accepted"
        yield Refusal("cidr_block", text, rule, "Amazon VPC, VPC CIDR blocks")


def _parse(text: str) -> IPv4Network | None:
    try:
        found = ip_network(text)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Network) else None


def find_together(changes: Sequence[Change]) -> Iterator[tuple[Change, Refusal]]:
    """Yield new subnets that overlap with another one of their VPC, or lie outside of it."""
    yield from _find_outside(changes)
    subnets: defaultdict[str, list[tuple[Change, IPv4Network]]] = defaultdict(list)
    for change in changes:
        if change.type != "aws_subnet" or change.after is None:
            continue
        network, vpc = _parse(get_text(change.after, "cidr_block")), _find_vpc(change)
        if network and vpc:
            subnets[vpc].append((change, network))
    for found in subnets.values():
        found.sort(key=lambda item: (item[1].network_address, item[1].prefixlen))
        for pair in itertools.pairwise(found):
            if pair[0][1].overlaps(pair[1][1]):
                (change, network), (other, _) = pair if is_new(pair[0][0]) else pair[::-1]
                if is_new(change):
                    text = f"it overlaps with {other.address}"
                    yield (
                        change,
                        Refusal("cidr_block", str(network), text, "Amazon VPC, Subnet CIDR blocks"),
                    )


def _find_outside(changes: Sequence[Change]) -> Iterator[tuple[Change, Refusal]]:
    networks = {
        get_text(change.after, "id"): _parse(get_text(change.after, "cidr_block"))
        for change in changes
        if change.type == "aws_vpc" and change.after
    }
    for change in changes:
        network = networks.get(get_text(change.after, "vpc_id")) if change.type == "aws_subnet" else None
        text = get_text(change.after, "cidr_block") if network and is_new(change) else ""
        subnet = _parse(text)
        if network and subnet and not subnet.subnet_of(network):
            # Another configuration may have given the VPC a second CIDR block.
            rule = f"the VPC has {network}, unless it has further CIDR blocks"
            yield change, Refusal("cidr_block", text, rule, "Amazon VPC, VPC CIDR blocks", is_certain=False)


def _find_vpc(change: Change) -> str:
    """Return the ID of a subnet's VPC, or that of its module in the configuration; may be empty."""
    name = get_text(change.after, "vpc_id")
    written = (change.configured or {}).get("vpc_id", "")
    if name or not re.fullmatch(r"\$\{aws_vpc\.[\w-]+(\[\d+\])?\.id\}", written):
        return name
    return change.address.rpartition("aws_subnet.")[0] + written


_Rules = Callable[[Change], Iterator[Refusal]]
_BY_TYPE: dict[str, tuple[_Rules, ...]] = {
    "aws_security_group_rule": (_find_in_rule,),
    "aws_vpc_security_group_ingress_rule": (_find_in_rule,),
    "aws_vpc_security_group_egress_rule": (_find_in_rule,),
    "aws_security_group": (_find_in_group,),
    "aws_default_security_group": (_find_in_group,),
    "aws_ebs_volume": (_find_in_volume, _find_smaller),
    "aws_db_instance": (_find_smaller,),
    "aws_instance": (_find_in_devices,),
    "aws_launch_template": (_find_in_devices, _find_user_data),
    "aws_autoscaling_group": (_find_numbers,),
    "aws_vpc": (_find_prefix,),
    "aws_subnet": (_find_prefix,),
}
