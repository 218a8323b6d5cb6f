"""What becomes reachable: from the internet, from other networks, or by the public."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from plan_review.findings import Danger, Finding
from plan_review.plan import Change
from plan_review.values import UNKNOWN, Difference, Sensitive

INTERNET = frozenset({"0.0.0.0/0", "::/0"})
# RFC 1918, "Address Allocation for Private Internets", RFC 6598 (shared) and RFC 4193 (unique local).
PRIVATE = tuple(
    ip_network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_S3_BLOCKS = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
_RULE_SOURCES = (
    *("cidr_blocks", "ipv6_cidr_blocks", "cidr_ipv4", "cidr_ipv6", "prefix_list_ids", "prefix_list_id"),
    *("security_groups", "source_security_group_id", "referenced_security_group_id", "self"),
)


@dataclass(frozen=True)
class _Flag:
    """A boolean attribute that opens something when it has one value.

    Attributes:
        path: Names of nested attributes; a nested block is a list of one.
        opens: The value that opens.
        default: What is so where the attribute is not set.
        text: What it opens, as the rest of a sentence that begins with the address.

    """

    path: tuple[str, ...]
    opens: bool
    default: bool
    text: str


_FLAGS: dict[str, tuple[_Flag, ...]] = {
    "aws_eks_cluster": (
        _Flag(
            ("vpc_config", "endpoint_public_access"),
            opens=True,
            default=True,
            text="has its Kubernetes API on the internet",
        ),
    ),
    "aws_s3_bucket_public_access_block": tuple(
        _Flag((name,), opens=False, default=False, text="lets a bucket be public") for name in _S3_BLOCKS
    ),
    "aws_s3_account_public_access_block": tuple(
        _Flag((name,), opens=False, default=False, text="lets buckets be public") for name in _S3_BLOCKS
    ),
    "aws_subnet": (
        _Flag(
            ("map_public_ip_on_launch",),
            opens=True,
            default=False,
            text="gives what starts in it a public address",
        ),
    ),
    "aws_instance": (
        _Flag(("associate_public_ip_address",), opens=True, default=False, text="has a public address"),
    ),
    "aws_db_instance": (
        _Flag(("publicly_accessible",), opens=True, default=False, text="has a public address"),
    ),
    "aws_rds_cluster_instance": (
        _Flag(("publicly_accessible",), opens=True, default=False, text="has a public address"),
    ),
    "aws_lb": (_Flag(("internal",), opens=False, default=False, text="takes connections from the internet"),),
}


def find(change: Change) -> Iterator[Finding]:
    """Yield a finding for each thing that a change opens."""
    if change.action in ("no-op", "read", "forget"):
        return
    yield from _flags(change)
    for finder in _FINDERS.get(change.type, ()):
        yield from finder(change)


def _flags(change: Change) -> Iterator[Finding]:
    if change.action == "delete":
        # Without its block a bucket may be public again.
        if change.type.endswith("public_access_block"):
            yield _finding(change, "no longer keeps the public out", (), public=True)
        return
    opened: dict[str, list[Difference]] = {}
    for flag in _FLAGS.get(change.type, ()):
        before = _at(change.before, flag.path, flag.default) if change.before else not flag.opens
        after = _at(change.after, flag.path, flag.default)
        if after == flag.opens and before != flag.opens:
            shown = _at(change.before, flag.path, None) if change.before else None
            opened.setdefault(flag.text, []).append(Difference(".".join(flag.path), shown, after))
    for text, items in opened.items():
        yield _finding(change, text, tuple(items), public=True)


def _at(value: Any, path: tuple[str, ...], default: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a nested attribute; the default where it, or a block around it, is not set."""
    for name in path:
        if isinstance(value, list):
            value = value[0] if value else None
        value = value.get(name) if isinstance(value, dict) else None
    return default if value is None or value is UNKNOWN else value


def _finding(change: Change, text: str, items: tuple[Difference, ...], *, public: bool) -> Finding:
    return Finding(
        Danger.OPENING, needs_approval=public, address=change.address, text=text, differences=items
    )


def _is_public(source: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether a source may be outside of private networks; what is not known may be."""
    try:
        network = ip_network(str(source), strict=False)
    except ValueError:
        return source is UNKNOWN or isinstance(source, Sensitive)
    return not any(
        network.version == block.version and network.subnet_of(block)  # type: ignore[arg-type] # same version
        for block in PRIVATE
    )


def _newly_in(change: Change, before: set[Any], after: set[Any], path: str, text: str) -> Iterator[Finding]:
    new = sorted(after - before, key=str)
    if new:
        public = any(_is_public(rule[-1] if isinstance(rule, tuple) else rule) for rule in new)
        shown = (" ".join(map(str, rule)) if isinstance(rule, tuple) else rule for rule in new)
        yield _finding(change, text, tuple(Difference(path, None, rule) for rule in shown), public=public)


def _sources(rule: dict[str, Any]) -> Iterator[Any]:
    for name in _RULE_SOURCES:
        value = rule.get(name)
        if name == "self":
            value = "itself" if value is True else None
        yield from value if isinstance(value, list) else [value] if value not in (None, "") else []


def _ports(rule: dict[str, Any]) -> str:
    protocol = rule.get("protocol", rule.get("ip_protocol"))
    first, last = rule.get("from_port"), rule.get("to_port")
    if str(protocol) == "-1" or first is None:
        return "all traffic from" if str(protocol) == "-1" else f"{protocol} from"
    return f"{protocol} {first} from" if first == last else f"{protocol} {first}-{last} from"


def _rules(rules: Any) -> set[tuple[str, Any]]:  # noqa: ANN401 - JSON
    if not isinstance(rules, list):
        return {("anything from", UNKNOWN)} if rules is UNKNOWN else set()
    return {
        (_ports(rule), source) if isinstance(rule, dict) else ("anything from", UNKNOWN)
        for rule in rules
        for source in (_sources(rule) if isinstance(rule, dict) else [UNKNOWN])
    }


def _group(change: Change) -> Iterator[Finding]:
    before, after = change.get("ingress")
    # A new group's rules are unknown where the configuration names none: it has none.
    if change.action == "create" and after is UNKNOWN:
        return
    yield from _newly_in(change, _rules(before), _rules(after), "ingress", "lets in")


def _group_rule(change: Change) -> Iterator[Finding]:
    def ingress(state: dict[str, Any] | None) -> list[dict[str, Any]]:
        return [state] if state and state.get("type", "ingress") == "ingress" else []

    yield from _newly_in(
        change, _rules(ingress(change.before)), _rules(ingress(change.after)), "ingress", "lets in"
    )


def _acl(change: Change) -> Iterator[Finding]:
    def allowed(state: dict[str, Any] | None) -> set[tuple[str, Any]]:
        state = state or {}
        one = [state] if "rule_action" in state and not state.get("egress") else []
        return {
            (_ports(rule), source)
            for rule in [*(state.get("ingress") or []), *one]
            if isinstance(rule, dict) and rule.get("action", rule.get("rule_action")) == "allow"
            for source in (rule.get("cidr_block"), rule.get("ipv6_cidr_block"))
            if source
        }

    yield from _newly_in(change, allowed(change.before), allowed(change.after), "ingress", "lets in")


def _route(change: Change) -> Iterator[Finding]:
    def ways(state: dict[str, Any] | None) -> set[str]:
        state = state or {}
        routes = state["route"] if isinstance(state.get("route"), list) else [state]
        return {
            str(destination)
            for route in routes
            if isinstance(route, dict)
            for destination in (
                route.get("destination_cidr_block", route.get("cidr_block")),
                route.get("destination_ipv6_cidr_block", route.get("ipv6_cidr_block")),
            )
            # Through an internet gateway, or through one that is only just being made.
            if destination in INTERNET
            and (route.get("gateway_id") is UNKNOWN or str(route.get("gateway_id") or "").startswith("igw-"))
            and not route.get("nat_gateway_id")
        }

    for destination in sorted(ways(change.after) - ways(change.before)):
        yield _finding(
            change,
            "joins subnets with the internet",
            (Difference("destination", None, destination),),
            public=True,
        )


def _api_ranges(change: Change) -> Iterator[Finding]:
    def ranges(state: dict[str, Any] | None) -> set[Any]:
        if not state or not _at(state, ("vpc_config", "endpoint_public_access"), default=True):
            return set()
        given = _at(state, ("vpc_config", "public_access_cidrs"), None)
        return set(given) if given else set(INTERNET & {"0.0.0.0/0"})

    yield from _newly_in(
        change,
        ranges(change.before),
        ranges(change.after),
        "vpc_config.public_access_cidrs",
        "lets in to the Kubernetes API",
    )


def _network_policy(change: Change) -> Iterator[Finding]:
    if change.action == "delete":
        yield _finding(change, "no longer holds pods back", (), public=False)
    elif change.action == "update":
        items = tuple(item for item in change.differences if item.path.startswith("spec"))
        if items:
            yield _finding(change, "holds pods back in another way", items, public=False)


_FINDERS: dict[str, tuple[Callable[[Change], Iterator[Finding]], ...]] = {
    "aws_security_group": (_group,),
    "aws_default_security_group": (_group,),
    "aws_security_group_rule": (_group_rule,),
    "aws_vpc_security_group_ingress_rule": (_group_rule,),
    "aws_network_acl": (_acl,),
    "aws_default_network_acl": (_acl,),
    "aws_network_acl_rule": (_acl,),
    "aws_route": (_route,),
    "aws_route_table": (_route,),
    "aws_default_route_table": (_route,),
    "aws_eks_cluster": (_api_ranges,),
    "kubernetes_network_policy": (_network_policy,),
    "kubernetes_network_policy_v1": (_network_policy,),
}
