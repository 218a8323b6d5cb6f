"""What becomes reachable: from the internet, from other networks, or by the public."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

from plan_review.findings import Danger, Finding
from plan_review.plan import Change
from plan_review.values import UNKNOWN, Difference, Sensitive, blocks, nested

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
# Rules that let in: protocol and ports in words, and where from.
_Rules = set[tuple[str, Any]]


@dataclass(frozen=True)
class _Flag:
    """A boolean attribute that opens something when it has one value.

    Attributes:
        path: The attribute's path.
        opens: The value that opens.
        default: What is so where the attribute is not set.
        text: What it opens, as the rest of a sentence that begins with the address.

    """

    path: str
    opens: bool
    default: bool
    text: str

    def of(self, state: Any) -> Any:
        """Return the attribute's value; the default where it, or a block around it, is not set."""
        found = nested(state, self.path)
        return self.default if found is None else found


_PUBLIC_ADDRESS = _Flag("publicly_accessible", opens=True, default=False, text="has a public address")
_FLAGS: dict[str, tuple[_Flag, ...]] = {
    "aws_eks_cluster": (
        _Flag(
            "vpc_config.endpoint_public_access",
            opens=True,
            default=True,
            text="has its Kubernetes API on the internet",
        ),
    ),
    "aws_s3_bucket_public_access_block": tuple(
        _Flag(name, opens=False, default=False, text="lets a bucket be public") for name in _S3_BLOCKS
    ),
    "aws_s3_account_public_access_block": tuple(
        _Flag(name, opens=False, default=False, text="lets buckets be public") for name in _S3_BLOCKS
    ),
    "aws_subnet": (
        _Flag(
            "map_public_ip_on_launch",
            opens=True,
            default=False,
            text="gives what starts in it a public address",
        ),
    ),
    "aws_instance": (
        _Flag("associate_public_ip_address", opens=True, default=False, text="has a public address"),
    ),
    "aws_db_instance": (_PUBLIC_ADDRESS,),
    "aws_rds_cluster_instance": (_PUBLIC_ADDRESS,),
    "aws_redshift_cluster": (_PUBLIC_ADDRESS,),
    "aws_dms_replication_instance": (_PUBLIC_ADDRESS,),
    "aws_mq_broker": (_PUBLIC_ADDRESS,),
    "aws_launch_template": (
        _Flag(
            "network_interfaces.associate_public_ip_address",
            opens=True,
            default=False,
            text="gives its instances a public address",
        ),
    ),
    **dict.fromkeys(
        ("aws_lb", "aws_alb", "aws_elb"),
        (_Flag("internal", opens=False, default=False, text="takes connections from the internet"),),
    ),
}
# Types that join networks by being there.
_JOINS = frozenset(
    {
        *("aws_vpc_peering_connection", "aws_vpc_peering_connection_accepter", "aws_vpn_connection"),
        *("aws_ec2_transit_gateway_vpc_attachment", "google_compute_network_peering"),
        *("azurerm_virtual_network_peering",),
    }
)


def find(change: Change) -> Iterator[Finding]:
    """Yield a finding for each thing that a change opens."""
    if change.action in ("no-op", "read", "forget"):
        return
    change = _without_computed(change)
    yield from _flags(change)
    if change.type in _JOINS and change.action in ("create", "replace"):
        yield _finding(change, "joins two networks", tuple(change.differences), public=False)
    for finder in _FINDERS.get(change.type, ()):
        yield from finder(change)


def _without_computed(change: Change) -> Change:
    """Return a change without unknowns that nobody has written.

    A plan calls the rules of a new group unknown, and the sources of a new rule, where the configuration
    names none. An update keeps them: there they may come from a dynamic block.
    """
    if change.action == "update" or change.after is None:
        return change
    written = {
        name: value
        for name, value in change.after.items()
        if value is not UNKNOWN or change.is_configured(name)
    }
    return replace(change, after=written)


def _flags(change: Change) -> Iterator[Finding]:
    if change.action == "delete":
        # Without its block a bucket may be public again.
        if change.type.endswith("public_access_block"):
            yield _finding(change, "no longer keeps the public out", (), public=True)
        return
    opened: dict[str, list[Difference]] = {}
    for flag in _FLAGS.get(change.type, ()):
        before = flag.of(change.before) if change.before else not flag.opens
        after = flag.of(change.after)
        if after in (flag.opens, UNKNOWN) and before != flag.opens:
            shown = nested(change.before, flag.path)
            opened.setdefault(flag.text, []).append(Difference(flag.path, shown, after))
    for text, items in opened.items():
        yield _finding(change, text, tuple(items), public=True)


def _finding(change: Change, text: str, items: tuple[Difference, ...], *, public: bool) -> Finding:
    return Finding(
        Danger.OPENING, needs_approval=public, address=change.address, text=text, differences=items
    )


def _is_public(source: Any) -> bool:
    """Return whether a source may be outside of private networks; what is not known may be."""
    try:
        network = ip_network(str(source), strict=False)
    except ValueError:
        return source is UNKNOWN or isinstance(source, Sensitive)
    return not any(
        network.version == block.version and network.subnet_of(block)  # type: ignore[arg-type] # same version
        for block in PRIVATE
    )


def _newly_in(
    change: Change, before: _Rules, after: _Rules, path: str, text: str = "lets in"
) -> Iterator[Finding]:
    """Yield a finding of the rules that were not there, those for the public first."""
    new = sorted(after - before, key=lambda rule: (not _is_public(rule[1]), str(rule)))
    if new:
        items = tuple(Difference(path, None, " ".join(map(str, rule)).strip()) for rule in new)
        yield _finding(change, text, items, public=_is_public(new[0][1]))


def _entries(value: Any) -> list[Any]:
    """Return the entries of a list; a value that is none, or that nobody may see, is the only entry."""
    return value if isinstance(value, list) else [] if value in (None, "") else [value]


def _sources(rule: dict[str, Any]) -> Iterator[Any]:
    for name in _RULE_SOURCES:
        yield from _entries(rule.get(name))
    if rule.get("self") is True:
        yield "itself"


def _ports(rule: dict[str, Any]) -> str:
    protocol = rule.get("protocol", rule.get("ip_protocol"))
    first, last = rule.get("from_port"), rule.get("to_port")
    if str(protocol) == "-1" or first is None:
        return "all traffic from" if str(protocol) == "-1" else f"{protocol} from"
    return f"{protocol} {first} from" if first == last else f"{protocol} {first}-{last} from"


def _rules(given: Any) -> _Rules:
    """Return the rules of a block; one of which nothing can be read is one that lets in anything."""
    return {
        rule
        for item in _entries(given)
        for rule in (
            ((_ports(item), _hashable(source)) for source in _sources(item))
            if isinstance(item, dict)
            else [("anything from", _hashable(item))]
        )
    }


def _hashable(value: Any) -> Any:
    return str(value) if isinstance(value, dict | list) else value


def _group(change: Change) -> Iterator[Finding]:
    before, after = change.get("ingress")
    yield from _newly_in(change, _rules(before), _rules(after), "ingress")


def _group_rule(change: Change) -> Iterator[Finding]:
    before, after = (
        _rules(state if state and state.get("type", "ingress") == "ingress" else None)
        for state in (change.before, change.after)
    )
    yield from _newly_in(change, before, after, "ingress")


def _acl(change: Change) -> Iterator[Finding]:
    # With the list goes all that it let in.
    if change.action != "delete":
        yield from _acl_changes(change, *change.get("ingress"))


def _acl_rule(change: Change) -> Iterator[Finding]:
    before, after = (
        state if state and not state.get("egress") else None for state in (change.before, change.after)
    )
    yield from _acl_changes(change, before, after)


def _acl_changes(change: Change, before: Any, after: Any) -> Iterator[Finding]:
    yield from _newly_in(change, _acl_rules(before, "allow"), _acl_rules(after, "allow"), "ingress")
    denied, now_denied = _acl_rules(before, "deny"), _acl_rules(after, "deny")
    yield from _newly_in(change, now_denied, denied, "ingress", "no longer keeps out")


def _acl_rules(given: Any, action: str) -> _Rules:
    """Return the rules of one action; what can't be read may allow anything."""
    return {
        rule
        for item in _entries(given)
        for rule in (
            [
                # With its number: the first rule that fits decides.
                (f"rule {item.get('rule_no', item.get('rule_number'))}: {_ports(item)}", _hashable(source))
                for source in (item.get("cidr_block"), item.get("ipv6_cidr_block"))
                if source and item.get("action", item.get("rule_action")) == action
            ]
            if isinstance(item, dict)
            else [("anything from", _hashable(item))]
            if action == "allow"
            else []
        )
    }


def _route(change: Change) -> Iterator[Finding]:
    for destination in sorted(_ways_out(change.after) - _ways_out(change.before)):
        yield _finding(
            change,
            "joins subnets with the internet",
            (Difference("destination", None, destination),),
            public=True,
        )


def _ways_out(state: dict[str, Any] | None) -> set[str]:
    """Return the public destinations that are routed through an internet gateway."""
    state = state or {}
    return {
        str(destination)
        for route in (blocks(state["route"]) if "route" in state else [state])
        # Through an internet gateway, or through one that is only just being made.
        if route.get("gateway_id") is UNKNOWN or str(route.get("gateway_id")).startswith("igw-")
        for destination in (
            *(route.get("destination_cidr_block"), route.get("destination_ipv6_cidr_block")),
            *(route.get("cidr_block"), route.get("ipv6_cidr_block")),
        )
        if destination and _is_public(destination)
    }


def _api_ranges(change: Change) -> Iterator[Finding]:
    def ranges(state: dict[str, Any] | None) -> _Rules:
        if not state or nested(state, "vpc_config.endpoint_public_access") is False:
            return set()
        given = nested(state, "vpc_config.public_access_cidrs")
        return {("", _hashable(source)) for source in _entries(given) or ["0.0.0.0/0"]}

    yield from _newly_in(
        change,
        ranges(change.before),
        ranges(change.after),
        "vpc_config.public_access_cidrs",
        "lets in to the Kubernetes API",
    )


def _ssh(change: Change) -> Iterator[Finding]:
    """Yield the finding of nodes that take SSH.

    With a key and no security groups it is open to the internet (Amazon EKS, "RemoteAccessConfig").
    """

    def sources(state: dict[str, Any] | None) -> _Rules:
        return {
            ("tcp 22 from", _hashable(source))
            for access in blocks((state or {}).get("remote_access"))
            if access.get("ec2_ssh_key")
            for source in _entries(access.get("source_security_group_ids")) or ["0.0.0.0/0"]
        }

    yield from _newly_in(change, sources(change.before), sources(change.after), "remote_access")


def _prefix_list(change: Change) -> Iterator[Finding]:
    """Yield the finding of addresses that join a list which rules and routes name."""

    def addresses(state: dict[str, Any] | None) -> _Rules:
        entries = blocks((state or {}).get("entry")) or blocks(state)
        return {("", _hashable(entry["cidr"])) for entry in entries if entry.get("cidr")}

    yield from _newly_in(
        change,
        addresses(change.before),
        addresses(change.after),
        "cidr",
        "means more addresses in each rule that names the list",
    )


def _function_url(change: Change) -> Iterator[Finding]:
    before, after = change.get("authorization_type")
    if after not in (before, None, "AWS_IAM"):
        yield _finding(
            change,
            "can be called by everybody",
            (Difference("authorization_type", before, after),),
            public=True,
        )


def _firewall(change: Change) -> Iterator[Finding]:
    """Yield the finding of a rule of Google's VPC firewall."""

    def rules(state: dict[str, Any] | None) -> _Rules:
        if not state or state.get("direction") == "EGRESS" or not state.get("allow"):
            return set()
        ports = ", ".join(
            " ".join(map(str, [allow.get("protocol"), *_entries(allow.get("ports"))]))
            for allow in blocks(state["allow"])
        )
        ranges = _entries(state.get("source_ranges"))
        if not ranges and not state.get("source_tags") and not state.get("source_service_accounts"):
            ranges = ["0.0.0.0/0"]
        return {(f"{ports} from", _hashable(source)) for source in ranges}

    yield from _newly_in(change, rules(change.before), rules(change.after), "source_ranges")


def _azure_rules(change: Change) -> Iterator[Finding]:
    """Yield the finding of rules of Azure's network security groups."""

    def rules(state: dict[str, Any] | None) -> _Rules:
        state = state or {}
        return {
            (f"{rule.get('protocol')} {', '.join(map(str, ports))} from", _anybody(source))
            for rule in [*blocks(state.get("security_rule")), state]
            if rule.get("direction") == "Inbound" and rule.get("access") == "Allow"
            for ports in [[p for name in _AZURE_PORTS for p in _entries(rule.get(name))]]
            for name in _AZURE_SOURCES
            for source in _entries(rule.get(name))
        }

    yield from _newly_in(change, rules(change.before), rules(change.after), "security_rule")


_AZURE_PORTS = ("destination_port_range", "destination_port_ranges")
_AZURE_SOURCES = ("source_address_prefix", "source_address_prefixes")


def _anybody(source: Any) -> Any:
    return "0.0.0.0/0" if source in ("*", "Internet", "Any") else _hashable(source)


def _network_policy(change: Change) -> Iterator[Finding]:
    if change.action == "delete":
        yield _finding(change, "no longer holds pods back", (), public=False)
    elif change.action == "update":
        items = tuple(item for item in change.differences if item.path.startswith("spec"))
        if items:
            yield _finding(change, "holds pods back in another way", items, public=False)


def _bucket_acl(change: Change) -> Iterator[Finding]:
    # Amazon S3, "Canned ACL": what others than the owner may read.
    before, after = change.get("acl")
    if after != before and str(after).startswith(("public-", "authenticated-")):
        yield _finding(change, "lets others read a bucket", (Difference("acl", before, after),), public=True)


_FINDERS: dict[str, tuple[Callable[[Change], Iterator[Finding]], ...]] = {
    "aws_security_group": (_group,),
    "aws_default_security_group": (_group,),
    "aws_security_group_rule": (_group_rule,),
    "aws_vpc_security_group_ingress_rule": (_group_rule,),
    "aws_network_acl": (_acl,),
    "aws_default_network_acl": (_acl,),
    "aws_network_acl_rule": (_acl_rule,),
    "aws_route": (_route,),
    "aws_route_table": (_route,),
    "aws_default_route_table": (_route,),
    "aws_s3_bucket": (_bucket_acl,),
    "aws_eks_cluster": (_api_ranges,),
    "aws_eks_node_group": (_ssh,),
    "aws_ec2_managed_prefix_list": (_prefix_list,),
    "aws_ec2_managed_prefix_list_entry": (_prefix_list,),
    "aws_lambda_function_url": (_function_url,),
    "google_compute_firewall": (_firewall,),
    "azurerm_network_security_group": (_azure_rules,),
    "azurerm_network_security_rule": (_azure_rules,),
    "kubernetes_network_policy": (_network_policy,),
    "kubernetes_network_policy_v1": (_network_policy,),
}
