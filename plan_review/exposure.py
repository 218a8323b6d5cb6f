"""Resources that become reachable: from the internet, from other networks, or by the public."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_network
from typing import Any

from plan_review.findings import Category, Finding
from plan_review.plan import Change
from plan_review.values import UNKNOWN, Difference, Sensitive, get_nested, list_blocks

# RFC 1918, "Address Allocation for Private Internets", RFC 6598 (shared) and RFC 4193 (unique local).
PRIVATE = tuple(
    ip_network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_S3_BLOCKS = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
_RULE_SOURCES = (
    *("cidr_blocks", "ipv6_cidr_blocks", "cidr_ipv4", "cidr_ipv6", "prefix_list_ids", "prefix_list_id"),
    *("security_groups", "source_security_group_id", "referenced_security_group_id"),
)
# As `_describe_ports` writes them.
_PORTS = re.compile(r"(\w+) (\d+)(?:-(\d+))? (from|to)")
# Rules that let in: protocol and ports in words, and the source.
_Rules = set[tuple[str, Any]]
_State = dict[str, Any]


@dataclass(frozen=True)
class _Flag:
    """A boolean attribute that exposes a resource when it has one value.

    Attributes:
        path: The attribute's path.
        exposes: The value that exposes.
        default: The value of an attribute that is not set.
        text: The effect, as the rest of a sentence that begins with the address.

    """

    path: str
    exposes: bool
    default: bool
    text: str

    def get(self, state: Any) -> Any:
        """Return the attribute's value, or the default if it or its block is not set."""
        found = get_nested(state, self.path)
        return self.default if found is None else found


@dataclass(frozen=True)
class _RuleReader:
    """A function that reads the rules of a resource; each new rule is exposure.

    Attributes:
        path: The attribute that the report names.
        read: Returns the rules in the attributes of a resource.
        text: The effect, as the rest of a sentence that begins with the address.
        is_public: Whether a new rule exposes to the public; None if its source decides.
        denies: Whether the rules keep out: then a rule that is removed is exposure.
        outbound: Whether the rules let out: then private destinations are no finding, and the rules of a new
            security group need no approval.
        ends_with_resource: Whether the rules have no effect once the resource is deleted.

    """

    path: str
    read: Callable[[_State], _Rules]
    text: str = "lets in"
    is_public: bool | None = None
    denies: bool = False
    outbound: bool = False
    ends_with_resource: bool = False


_PUBLIC_ADDRESS = _Flag("publicly_accessible", exposes=True, default=False, text="has a public address")
_FLAGS: dict[str, tuple[_Flag, ...]] = {
    "aws_eks_cluster": (
        _Flag(
            "vpc_config.endpoint_public_access",
            exposes=True,
            default=True,
            text="has its Kubernetes API on the internet",
        ),
    ),
    "aws_s3_bucket_public_access_block": tuple(
        _Flag(name, exposes=False, default=False, text="lets a bucket be public") for name in _S3_BLOCKS
    ),
    "aws_s3_account_public_access_block": tuple(
        _Flag(name, exposes=False, default=False, text="lets buckets be public") for name in _S3_BLOCKS
    ),
    "aws_subnet": (
        _Flag(
            "map_public_ip_on_launch",
            exposes=True,
            default=False,
            text="gives instances in it a public address",
        ),
    ),
    "aws_instance": (
        _Flag("associate_public_ip_address", exposes=True, default=False, text="has a public address"),
    ),
    "aws_db_instance": (_PUBLIC_ADDRESS,),
    "aws_rds_cluster_instance": (_PUBLIC_ADDRESS,),
    "aws_redshift_cluster": (_PUBLIC_ADDRESS,),
    "aws_dms_replication_instance": (_PUBLIC_ADDRESS,),
    "aws_mq_broker": (_PUBLIC_ADDRESS,),
    "aws_launch_template": (
        _Flag(
            "network_interfaces.associate_public_ip_address",
            exposes=True,
            default=False,
            text="gives its instances a public address",
        ),
    ),
    **dict.fromkeys(
        ("aws_lb", "aws_alb", "aws_elb"),
        (_Flag("internal", exposes=False, default=False, text="takes connections from the internet"),),
    ),
}
# Types that join two networks.
_JOINS = frozenset(
    {
        *("aws_vpc_peering_connection", "aws_vpc_peering_connection_accepter", "aws_vpn_connection"),
        "aws_ec2_transit_gateway_vpc_attachment",
    }
)


def find(change: Change) -> Iterator[Finding]:
    """Yield a finding for each way in which a change exposes a resource."""
    if change.action in ("no-op", "read", "forget"):
        return
    change = _drop_computed(change)
    yield from _find_flags(change)
    if change.type in _JOINS and change.action in ("create", "replace"):
        yield _build_finding(change, "joins two networks", tuple(change.differences), public=False)
    for reader in _READERS.get(change.type, ()):
        yield from _find_rules(change, reader)
    if change.type.startswith("kubernetes_network_policy"):
        yield from _find_network_policy(change)


def _drop_computed(change: Change) -> Change:
    """Return a change without unknown values of attributes that the configuration does not set.

    For new resources a plan marks unset attributes as unknown; they are ignored. For updates they are
    kept: a dynamic block may set them.
    """
    if change.action == "update" or change.after is None:
        return change
    written = {
        name: value
        for name, value in change.after.items()
        if value is not UNKNOWN or change.is_configured(name)
    }
    return replace(change, after=written)


def _build_finding(change: Change, text: str, items: tuple[Difference, ...], *, public: bool) -> Finding:
    return Finding(
        Category.EXPOSURE, needs_approval=public, address=change.address, text=text, differences=items
    )


def _find_flags(change: Change) -> Iterator[Finding]:
    if change.action == "delete":
        # Without its public access block a bucket may be public again.
        if change.type.endswith("public_access_block"):
            yield _build_finding(change, "no longer keeps the public out", (), public=True)
        return
    exposed: dict[str, list[Difference]] = {}
    for flag in _FLAGS.get(change.type, ()):
        before = flag.get(change.before) if change.before else not flag.exposes
        after = flag.get(change.after)
        if after in (flag.exposes, UNKNOWN) and before != flag.exposes:
            shown = get_nested(change.before, flag.path)
            exposed.setdefault(flag.text, []).append(Difference(flag.path, shown, after))
    for text, items in exposed.items():
        yield _build_finding(change, text, tuple(items), public=True)


def _find_rules(change: Change, reader: _RuleReader) -> Iterator[Finding]:
    """Yield a finding of the new rules, those that let in the public first."""
    if reader.ends_with_resource and change.action == "delete":
        return
    before, after = (reader.read(state) if state else set() for state in (change.before, change.after))
    added = before - after if reader.denies else after - before
    if reader.outbound:
        # The unknown destination of a new rule is most often a security group of the same plan.
        is_new = change.before is None
        added = {rule for rule in added if _is_public(rule[1]) and not (is_new and rule[1] is UNKNOWN)}
    if not reader.denies:
        added = {rule for rule in added if not any(_covers(other, rule) for other in before)}
    rules = sorted(added, key=lambda rule: (not _is_public(rule[1]), str(rule)))
    if rules:
        items = tuple(Difference(reader.path, None, " ".join(map(str, rule)).strip()) for rule in rules)
        public = _is_public(rules[0][1]) if reader.is_public is None else reader.is_public
        public = public and not (reader.outbound and _is_of_new_group(change))
        yield _build_finding(change, reader.text, items, public=public)


def _is_of_new_group(change: Change) -> bool:
    """Return whether a new rule or group is of a group of this plan: then the ID is not known yet."""
    return change.before is None and not isinstance((change.after or {}).get("security_group_id"), str)


def _covers(other: tuple[str, Any], rule: tuple[str, Any]) -> bool:
    """Return whether one rule lets in or out all that another one does."""
    try:
        wide, narrow = (ip_network(str(source), strict=False) for _, source in (other, rule))
    except ValueError:
        return False
    return (
        wide.version == narrow.version
        and narrow.subnet_of(wide)  # type: ignore[arg-type] # same version
        and (other[0] == rule[0] or _covers_ports(other[0], rule[0]))
    )


def _covers_ports(other: str, rule: str) -> bool:
    if other.startswith("all traffic"):
        return other.rpartition(" ")[2] == rule.rpartition(" ")[2]
    wide, narrow = _PORTS.fullmatch(other), _PORTS.fullmatch(rule)
    if wide is None or narrow is None or wide.group(1, 4) != narrow.group(1, 4):
        return False
    return int(wide[2]) <= int(narrow[2]) and int(narrow[3] or narrow[2]) <= int(wide[3] or wide[2])


def _find_network_policy(change: Change) -> Iterator[Finding]:
    if change.action == "delete":
        # Kubernetes, "Network Policies": pods that no policy selects take and send everything.
        yield _build_finding(change, "no longer limits the traffic of pods", (), public=True)
    elif change.action == "update":
        items = tuple(item for item in change.differences if item.path.startswith("spec"))
        if items:
            yield _build_finding(change, "limits the traffic of pods in another way", items, public=False)


def _is_public(source: Any) -> bool:
    """Return whether a source may be outside of private networks; an unknown source may be."""
    try:
        network = ip_network(str(source), strict=False)
    except ValueError:
        return source is UNKNOWN or isinstance(source, Sensitive)
    return not any(
        network.version == block.version and network.subnet_of(block)  # type: ignore[arg-type] # same version
        for block in PRIVATE
    )


def _list_entries(value: Any) -> list[Any]:
    """Return the entries of a list; an unknown or sensitive value is the only entry."""
    return value if isinstance(value, list) else [] if value in (None, "") else [value]


def _list_sources(rule: _State) -> Iterator[Any]:
    for name in _RULE_SOURCES:
        yield from _list_entries(rule.get(name))
    if rule.get("self") is True:
        yield "itself"


def _describe_ports(rule: _State, direction: str = "from") -> str:
    protocol = rule.get("protocol", rule.get("ip_protocol"))
    first, last = rule.get("from_port"), rule.get("to_port")
    if str(protocol) == "-1" or first is None:
        return f"all traffic {direction}" if str(protocol) == "-1" else f"{protocol} {direction}"
    ports = first if first == last else f"{first}-{last}"
    return f"{protocol} {ports} {direction}"


def _make_hashable(value: Any) -> Any:
    return str(value) if isinstance(value, dict | list) else value


def _read_rules(given: Any, direction: str = "from") -> _Rules:
    """Return the rules in blocks; an unreadable block is a rule for anything."""
    rules: _Rules = set()
    for item in _list_entries(given):
        if isinstance(item, dict):
            ports = _describe_ports(item, direction)
            rules |= {(ports, _make_hashable(other)) for other in _list_sources(item)}
        else:
            rules.add((f"anything {direction}", _make_hashable(item)))
    return rules


def _read_group(state: _State) -> _Rules:
    return _read_rules(state.get("ingress"))


def _read_group_rule(state: _State) -> _Rules:
    return _read_rules(state if state.get("type", "ingress") == "ingress" else None)


def _read_group_egress(state: _State) -> _Rules:
    return _read_rules(state.get("egress"), "to")


def _read_group_rule_egress(state: _State) -> _Rules:
    return _read_rules(state if state.get("type", "egress") == "egress" else None, "to")


def _read_acl(state: _State, action: str) -> _Rules:
    return _read_acl_rules(state.get("ingress"), action)


def _read_acl_rule(state: _State, action: str) -> _Rules:
    return _read_acl_rules(None if state.get("egress") else state, action)


def _read_acl_rules(given: Any, action: str) -> _Rules:
    """Return the rules of one action; an unreadable block may allow anything."""
    rules: _Rules = set()
    for item in _list_entries(given):
        if not isinstance(item, dict):
            rules |= {("anything from", _make_hashable(item))} if action == "allow" else set()
        elif item.get("action", item.get("rule_action")) == action:
            # With its number: the first rule that matches decides.
            number = f"rule {item.get('rule_no', item.get('rule_number'))}"
            rules |= {
                (f"{number}: {_describe_ports(item)}", _make_hashable(source))
                for source in (item.get("cidr_block"), item.get("ipv6_cidr_block"))
                if source
            }
    return rules


def _read_routes(state: _State) -> _Rules:
    """Return the public destinations that are routed through an internet gateway."""
    return {
        ("", str(destination))
        for route in (list_blocks(state["route"]) if "route" in state else [state])
        # The ID of an internet gateway that the same plan creates is unknown.
        if route.get("gateway_id") is UNKNOWN or str(route.get("gateway_id")).startswith("igw-")
        for destination in (
            *(route.get("destination_cidr_block"), route.get("destination_ipv6_cidr_block")),
            *(route.get("cidr_block"), route.get("ipv6_cidr_block")),
        )
        if destination and _is_public(destination)
    }


def _read_api_ranges(state: _State) -> _Rules:
    if get_nested(state, "vpc_config.endpoint_public_access") is False:
        return set()
    given = get_nested(state, "vpc_config.public_access_cidrs")
    return {("", _make_hashable(source)) for source in _list_entries(given) or ["0.0.0.0/0"]}


def _read_ssh(state: _State) -> _Rules:
    """Return the sources that reach nodes by SSH.

    With a key and without security groups it is the internet (Amazon EKS, "RemoteAccessConfig").
    """
    return {
        ("tcp 22 from", _make_hashable(source))
        for access in list_blocks(state.get("remote_access"))
        if access.get("ec2_ssh_key")
        for source in _list_entries(access.get("source_security_group_ids")) or ["0.0.0.0/0"]
    }


def _read_prefix_list(state: _State) -> _Rules:
    entries = list_blocks(state.get("entry")) or [state]
    return {("", _make_hashable(entry["cidr"])) for entry in entries if entry.get("cidr")}


def _read_function_url(state: _State) -> _Rules:
    given = state.get("authorization_type")
    return set() if given in (None, "AWS_IAM") else {("", given)}


def _read_bucket_acl(state: _State) -> _Rules:
    # Amazon S3, "Canned ACL": these let others than the owner read.
    given = str(state.get("acl"))
    return {("", given)} if given.startswith(("public-", "authenticated-")) else set()


def _read_image_groups(state: _State) -> _Rules:
    # Amazon EC2, "Make your AMI publicly available for use in Amazon EC2".
    return {("", "all")} if state.get("group") == "all" else set()


def _read_balancer(state: _State) -> _Rules:
    """Return the load balancer of a Service, if no annotation says that it is an internal one."""
    if get_nested(state, "spec.type") != "LoadBalancer":
        return set()
    annotations = get_nested(state, "metadata.annotations")
    for name, value in annotations.items() if isinstance(annotations, dict) else ():
        if name.endswith(("aws-load-balancer-internal", "aws-load-balancer-scheme")):
            return set() if value in ("true", "internal") else {("", "LoadBalancer")}
    return {("", "LoadBalancer")}


_GROUP = (
    _RuleReader("ingress", _read_group),
    _RuleReader("egress", _read_group_egress, "lets out to the internet", outbound=True),
)
_GROUP_RULE = (_RuleReader("ingress", _read_group_rule),)
_EGRESS_RULE = (_RuleReader("egress", _read_group_rule_egress, "lets out to the internet", outbound=True),)
_ACL = (
    _RuleReader("ingress", partial(_read_acl, action="allow"), ends_with_resource=True),
    _RuleReader(
        "ingress",
        partial(_read_acl, action="deny"),
        "no longer keeps out",
        denies=True,
        ends_with_resource=True,
    ),
)
_ROUTE = (_RuleReader("destination", _read_routes, "joins subnets with the internet"),)
_PREFIX_LIST = (
    _RuleReader("cidr", _read_prefix_list, "means more addresses in each rule that names the list"),
)
_READERS: dict[str, tuple[_RuleReader, ...]] = {
    "aws_security_group": _GROUP,
    "aws_default_security_group": _GROUP,
    "aws_security_group_rule": _GROUP_RULE + _EGRESS_RULE,
    "aws_vpc_security_group_ingress_rule": _GROUP_RULE,
    "aws_vpc_security_group_egress_rule": _EGRESS_RULE,
    "aws_network_acl": _ACL,
    "aws_default_network_acl": _ACL,
    "aws_network_acl_rule": (
        _RuleReader("ingress", partial(_read_acl_rule, action="allow")),
        _RuleReader("ingress", partial(_read_acl_rule, action="deny"), "no longer keeps out", denies=True),
    ),
    "aws_route": _ROUTE,
    "aws_route_table": _ROUTE,
    "aws_default_route_table": _ROUTE,
    "aws_s3_bucket": (_RuleReader("acl", _read_bucket_acl, "lets others read a bucket", is_public=True),),
    "aws_eks_cluster": (
        _RuleReader("vpc_config.public_access_cidrs", _read_api_ranges, "lets in to the Kubernetes API"),
    ),
    "aws_eks_node_group": (_RuleReader("remote_access", _read_ssh),),
    "aws_ec2_managed_prefix_list": _PREFIX_LIST,
    "aws_ec2_managed_prefix_list_entry": _PREFIX_LIST,
    "aws_ami_launch_permission": (
        _RuleReader("group", _read_image_groups, "lets every account start the image", is_public=True),
    ),
    **dict.fromkeys(
        ("kubernetes_service", "kubernetes_service_v1"),
        (
            _RuleReader(
                "spec.type",
                _read_balancer,
                "gets a load balancer that may take connections from the internet",
                is_public=True,
                ends_with_resource=True,
            ),
        ),
    ),
    "aws_lambda_function_url": (
        _RuleReader("authorization_type", _read_function_url, "can be called by anybody", is_public=True),
    ),
}
