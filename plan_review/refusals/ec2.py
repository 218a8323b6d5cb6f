"""Rules of Amazon EC2 and VPC: ports, volumes, user data, Auto Scaling groups, subnets."""

import base64
import binascii
from collections import defaultdict
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, ip_network
from typing import Any

from plan_review.plan import Change
from plan_review.refusals.refusal import Refusal, get_number, get_text, is_new, is_sent
from plan_review.values import Sensitive, list_blocks

_RULES = "Amazon EC2 API, IpPermission"
_RULE_TYPES = (
    *("aws_security_group_rule", "aws_vpc_security_group_ingress_rule"),
    "aws_vpc_security_group_egress_rule",
)
_VOLUME = "Amazon EBS, Amazon EBS volume types"
_MAX_USER_DATA = 16384
# GiB, and the IOPS of each GiB.
_SMALLEST = {"io1": 4, "io2": 4, "st1": 125, "sc1": 125}
_IOPS_PER_GIB = {"io1": 50, "io2": 1000, "gp3": 500}
_GP3_IOPS = 3000
_THROUGHPUT_PER_IOPS = 0.25


def find(change: Change) -> Iterator[Refusal]:
    """Yield the refusals of one resource of EC2 or VPC."""
    after = change.after or {}
    if change.type in _RULE_TYPES and is_sent(change, "from_port", "to_port"):
        yield from _find_ports(after, "")
    if change.type in ("aws_security_group", "aws_default_security_group"):
        for name in ("ingress", "egress"):
            if is_sent(change, name):
                for block in list_blocks(after.get(name)):
                    yield from _find_ports(block, f"{name}.")
    if change.type == "aws_ebs_volume":
        yield from _find_volume(after, "")
        yield from _find_smaller(change, "size")
    for name in ("root_block_device", "ebs_block_device", "block_device_mappings"):
        if change.type in ("aws_instance", "aws_launch_template") and is_sent(change, name):
            for block in list_blocks(after.get(name)):
                for volume in list_blocks(block.get("ebs")) if "ebs" in block else [block]:
                    yield from _find_volume(volume, f"{name}.")
    if change.type == "aws_launch_template" and is_sent(change, "user_data"):
        yield from _find_user_data(after.get("user_data"))
    if change.type == "aws_autoscaling_group":
        yield from _find_numbers(change)
    if change.type in ("aws_db_instance", "aws_docdb_cluster_instance"):
        yield from _find_smaller(change, "allocated_storage")
    if change.type in ("aws_vpc", "aws_subnet") and is_new(change):
        yield from _find_prefix(change)


def _find_ports(rule: dict[str, Any], prefix: str) -> Iterator[Refusal]:
    protocol = str(rule.get("protocol", rule.get("ip_protocol"))).lower()
    first, last = get_number(rule, "from_port"), get_number(rule, "to_port")
    if protocol not in ("tcp", "udp", "6", "17") or first is None or last is None:
        return  # to ICMP these are types and codes
    if first > last:
        text = f"from_port is at most to_port, which is {last:g}"
        yield Refusal(f"{prefix}from_port", first, text, _RULES)
    elif not (0 <= first and last <= 65535):  # noqa: PLR2004 # the highest port
        yield Refusal(f"{prefix}to_port", last, "ports are 0 to 65535", _RULES)


def _find_volume(volume: dict[str, Any], prefix: str) -> Iterator[Refusal]:
    kind = get_text(volume, "type") or get_text(volume, "volume_type")
    size = get_number(volume, "size") or get_number(volume, "volume_size")
    iops, throughput = get_number(volume, "iops"), get_number(volume, "throughput")
    if size and size < _SMALLEST.get(kind, 1):
        yield Refusal(f"{prefix}size", size, f"{kind} begins at {_SMALLEST[kind]} GiB", _VOLUME)
    ratio = _IOPS_PER_GIB.get(kind)
    if ratio and size and iops and iops > max(ratio * size, _GP3_IOPS if kind == "gp3" else 0):
        text = f"{kind} has at most {ratio} IOPS for each GiB"
        yield Refusal(f"{prefix}iops", iops, text, _VOLUME)
    if kind == "gp3" and throughput and throughput > _THROUGHPUT_PER_IOPS * (iops or _GP3_IOPS):
        text = f"gp3 has at most {_THROUGHPUT_PER_IOPS} MiB/s for each IOPS"
        yield Refusal(f"{prefix}throughput", throughput, text, _VOLUME)


def _find_smaller(change: Change, name: str) -> Iterator[Refusal]:
    before, after = (get_number(state, name) for state in (change.before, change.after))
    if change.action == "update" and before is not None and after is not None and after < before:
        yield Refusal(name, after, "storage can't get smaller", "Amazon EBS, Modify a volume", before)


def _find_user_data(value: Any) -> Iterator[Refusal]:
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
    elif is_new(change) and desired is not None:
        if (least is not None and desired < least) or (most is not None and desired > most):
            yield Refusal("desired_capacity", desired, "it is between the minimum and the maximum", source)


def _find_prefix(change: Change) -> Iterator[Refusal]:
    text = get_text(change.after, "cidr_block")
    network = _parse(text)
    if network and not 16 <= network.prefixlen <= 28:  # noqa: PLR2004 # the limits
        yield Refusal("cidr_block", text, "/16 to /28 is accepted", "Amazon VPC, VPC CIDR blocks")


def _parse(text: str) -> IPv4Network | None:
    try:
        found = ip_network(text)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Network) else None


def find_together(changes: Sequence[Change]) -> Iterator[tuple[Change, Refusal]]:
    """Yield new subnets that overlap with another one of their VPC, or lie outside of it."""
    subnets: defaultdict[str, list[tuple[Change, IPv4Network]]] = defaultdict(list)
    for change in changes:
        network = _parse(get_text(change.after, "cidr_block")) if change.type == "aws_subnet" else None
        vpc = _find_vpc(change)
        if network and vpc:
            subnets[vpc].append((change, network))
    for found in subnets.values():
        found.sort(key=lambda item: (item[1].network_address, item[1].prefixlen))
        for (one, left), (two, right) in zip(found, found[1:], strict=False):
            if left.overlaps(right):
                change, other, network = (two, one, right) if is_new(two) else (one, two, left)
                if is_new(change):
                    text = f"it overlaps with {other.address}"
                    source = "Amazon VPC, Subnet CIDR blocks"
                    yield change, Refusal("cidr_block", str(network), text, source)


def _find_vpc(change: Change) -> str:
    """Return the ID of a subnet's VPC, or the reference that the configuration has for it."""
    if change.type != "aws_subnet":
        return ""
    return get_text(change.after, "vpc_id") or (change.configured or {}).get("vpc_id", "")
