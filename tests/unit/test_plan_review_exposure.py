"""What becomes reachable, from where."""

from typing import Any

import pytest

from plan_review.findings import Category, Finding
from tests.plan_documents import findings, resource

TCP: dict[str, Any] = {"protocol": "tcp", "from_port": 443, "to_port": 443}
IGW = {"gateway_id": "igw-1"}
CLOSED = dict.fromkeys(
    ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"), True
)


def api(*, public: bool, ranges: list[str] | None = None) -> dict[str, Any]:
    """Return an EKS cluster with its API's endpoint."""
    return {"vpc_config": [{"endpoint_public_access": public, "public_access_cidrs": ranges or []}]}


OPENINGS = [
    pytest.param("aws_security_group", {"ingress": []}, {"ingress": [TCP | {"cidr_blocks": ["0.0.0.0/0"]}]}),
    pytest.param("aws_security_group", {"ingress": []}, {"ingress": [TCP | {"ipv6_cidr_blocks": ["::/0"]}]}),
    pytest.param("aws_default_security_group", None, {"ingress": [TCP | {"cidr_blocks": ["8.8.8.8/32"]}]}),
    pytest.param("aws_security_group_rule", None, {"type": "ingress", **TCP, "cidr_blocks": ["0.0.0.0/0"]}),
    pytest.param(
        "aws_vpc_security_group_ingress_rule", None, {"ip_protocol": "-1", "cidr_ipv4": "0.0.0.0/0"}
    ),
    pytest.param("aws_vpc_security_group_ingress_rule", None, {"ip_protocol": "-1", "cidr_ipv6": "::/0"}),
    pytest.param(
        "aws_network_acl",
        {"ingress": []},
        {"ingress": [{"action": "allow", "protocol": "-1", "cidr_block": "0.0.0.0/0"}]},
    ),
    pytest.param(
        "aws_network_acl",
        {"ingress": [{"action": "deny", "protocol": "-1", "cidr_block": "0.0.0.0/0"}]},
        {"ingress": []},
    ),
    pytest.param(
        "aws_network_acl",
        {"ingress": [{"rule_no": 1, "action": "deny", "protocol": "-1", "cidr_block": "0.0.0.0/0"}]},
        {"ingress": [{"rule_no": 9, "action": "deny", "protocol": "-1", "cidr_block": "0.0.0.0/0"}]},
    ),
    pytest.param(
        "aws_network_acl_rule", None, {"rule_action": "allow", "egress": False, "cidr_block": "0.0.0.0/0"}
    ),
    pytest.param(
        "aws_network_acl_rule", {"rule_action": "deny", "egress": False, "cidr_block": "0.0.0.0/0"}, None
    ),
    pytest.param("aws_route", None, {"destination_cidr_block": "0.0.0.0/0", **IGW}),
    pytest.param("aws_route", None, {"destination_cidr_block": "0.0.0.0/1", **IGW}),
    pytest.param("aws_route_table", {"route": []}, {"route": [{"ipv6_cidr_block": "::/0", **IGW}]}),
    pytest.param("aws_eks_cluster", api(public=False), api(public=True)),
    pytest.param(
        "aws_eks_cluster",
        api(public=True, ranges=["8.8.8.8/32"]),
        api(public=True, ranges=["8.8.8.8/32", "9.9.9.9/32"]),
    ),
    pytest.param("aws_eks_node_group", None, {"remote_access": [{"ec2_ssh_key": "key"}]}),
    pytest.param("aws_s3_bucket_public_access_block", CLOSED, CLOSED | {"block_public_acls": False}),
    pytest.param("aws_s3_bucket_public_access_block", CLOSED, None),
    pytest.param("aws_s3_bucket", None, {"acl": "public-read"}),
    pytest.param("aws_s3_bucket", {"acl": "private"}, {"acl": "authenticated-read"}),
    pytest.param("aws_subnet", None, {"map_public_ip_on_launch": True}),
    pytest.param("aws_db_instance", {"publicly_accessible": False}, {"publicly_accessible": True}),
    pytest.param("aws_lb", None, {"internal": False}),
    pytest.param("aws_lb", None, {}),
    pytest.param(
        "aws_launch_template", None, {"network_interfaces": [{"associate_public_ip_address": True}]}
    ),
    pytest.param("aws_ec2_managed_prefix_list", {"entry": []}, {"entry": [{"cidr": "8.8.8.8/32"}]}),
    pytest.param("aws_ec2_managed_prefix_list_entry", None, {"cidr": "8.8.8.8/32"}),
    pytest.param("aws_lambda_function_url", None, {"authorization_type": "NONE"}),
]
HARMLESS = [
    pytest.param("aws_security_group_rule", None, {"type": "egress", **TCP, "cidr_blocks": ["0.0.0.0/0"]}),
    pytest.param("aws_security_group", {"ingress": [TCP | {"cidr_blocks": ["0.0.0.0/0"]}]}, {"ingress": []}),
    pytest.param(
        "aws_network_acl_rule", None, {"rule_action": "allow", "egress": True, "cidr_block": "::/0"}
    ),
    pytest.param("aws_network_acl_rule", None, {"rule_action": "deny", "cidr_block": "0.0.0.0/0"}),
    pytest.param("aws_route", None, {"destination_cidr_block": "0.0.0.0/0", "nat_gateway_id": "nat-1"}),
    pytest.param("aws_route", None, {"destination_cidr_block": "10.0.0.0/8", **IGW}),
    pytest.param("aws_eks_cluster", api(public=True), api(public=False)),
    pytest.param("aws_eks_cluster", None, api(public=False)),
    pytest.param("aws_s3_bucket_public_access_block", None, CLOSED),
    pytest.param("aws_s3_bucket", {"acl": "public-read"}, {"acl": "private"}),
    pytest.param("aws_s3_bucket", None, {"acl": "private"}),
    pytest.param("aws_lb", None, {"internal": True}),
    pytest.param("aws_lambda_function_url", None, {"authorization_type": "AWS_IAM"}),
]
WITHIN = [
    pytest.param("aws_security_group_rule", None, {"type": "ingress", **TCP, "cidr_blocks": ["10.0.0.0/8"]}),
    pytest.param("aws_vpc_security_group_ingress_rule", None, {"referenced_security_group_id": "sg-1"}),
    pytest.param("aws_security_group", {"ingress": []}, {"ingress": [TCP | {"self": True}]}),
    pytest.param(
        "aws_eks_node_group",
        None,
        {"remote_access": [{"ec2_ssh_key": "key", "source_security_group_ids": ["sg-1"]}]},
    ),
    pytest.param("aws_vpc_peering_connection", None, {"peer_vpc_id": "vpc-1"}),
    pytest.param("kubernetes_network_policy_v1", {"spec": [{"egress": []}]}, None),
    pytest.param("kubernetes_network_policy_v1", {"spec": [{"a": 1}]}, {"spec": [{"a": 2}]}),
]


def openings(kind: str, before: Any, after: Any, **more: Any) -> list[Finding]:
    """Return what a change opens."""
    configured = {f"{kind}.this": more.pop("configured")} if "configured" in more else None
    plan = {"configured": configured} if configured else {}
    return findings(Category.EXPOSURE, resource(kind, before, after, **more), **plan)


@pytest.mark.parametrize(("kind", "before", "after"), OPENINGS)
def test_an_opening_to_the_public_needs_an_approval(kind: str, before: Any, after: Any) -> None:
    """Whatever lets in addresses outside of private networks needs an approval."""
    assert any(found.needs_approval for found in openings(kind, before, after))


@pytest.mark.parametrize(("kind", "before", "after"), WITHIN)
def test_an_opening_within_private_networks_is_shown(kind: str, before: Any, after: Any) -> None:
    """What lets in from a private network, another group or another pod is shown, without an approval."""
    assert [found.needs_approval for found in openings(kind, before, after)] == [False]


@pytest.mark.parametrize(("kind", "before", "after"), HARMLESS)
def test_what_opens_nothing_is_no_finding(kind: str, before: Any, after: Any) -> None:
    """Ways out, denials, closings and private things open nothing."""
    assert not openings(kind, before, after)


def test_a_rule_is_told_in_words() -> None:
    """A reader sees protocol, ports and source; what the public may use comes first."""
    rules: list[dict[str, Any]] = [
        {**TCP, "cidr_blocks": ["10.0.0.0/8"]},
        {**TCP, "to_port": 444, "cidr_blocks": ["8.8.8.8/32"]},
    ]
    (found,) = openings("aws_security_group", {"ingress": []}, {"ingress": rules})
    assert [item.after for item in found.differences] == [
        "tcp 443-444 from 8.8.8.8/32",
        "tcp 443 from 10.0.0.0/8",
    ]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"ip_protocol": "-1"}, "all traffic from"),
        ({"ip_protocol": "tcp", "from_port": 22, "to_port": 22}, "tcp 22 from"),
        ({"ip_protocol": "udp", "from_port": 0, "to_port": 9}, "udp 0-9 from"),
        ({"ip_protocol": "icmpv6"}, "icmpv6 from"),
    ],
)
def test_protocol_and_ports_are_told_in_words(rule: dict[str, Any], words: str) -> None:
    """As in the arguments of `aws_vpc_security_group_ingress_rule`."""
    (found,) = openings("aws_vpc_security_group_ingress_rule", None, {"cidr_ipv4": "10.0.0.0/8", **rule})
    assert [item.after for item in found.differences] == [f"{words} 10.0.0.0/8"]


def test_rules_that_stay_are_not_shown() -> None:
    """A group's new rule is shown, not those that it had."""
    old = TCP | {"cidr_blocks": ["8.8.8.8/32"]}
    new = TCP | {"cidr_blocks": ["9.9.9.9/32"]}
    (found,) = openings("aws_security_group", {"ingress": [old]}, {"ingress": [new, old]})
    assert [item.after for item in found.differences] == ["tcp 443 from 9.9.9.9/32"]


@pytest.mark.parametrize("marks", [{"unknown": {"ingress": True}}, {"after_sensitive": {"ingress": True}}])
def test_rules_that_nobody_can_see_need_an_approval(marks: dict[str, Any]) -> None:
    """Rules that are unknown or sensitive may let in anybody."""
    after = {} if "unknown" in marks else {"ingress": [TCP | {"cidr_blocks": ["0.0.0.0/0"]}]}
    (found,) = openings("aws_security_group", {"ingress": []}, after, **marks)
    assert found.needs_approval


def test_a_source_that_only_the_apply_will_tell_needs_an_approval() -> None:
    """An unknown address may be a public one."""
    (found,) = openings(
        "aws_vpc_security_group_ingress_rule", None, {"ip_protocol": "tcp"}, unknown={"cidr_ipv4": True}
    )
    assert found.needs_approval


@pytest.mark.parametrize("kind", ["aws_security_group", "aws_network_acl"])
def test_a_new_group_without_rules_opens_nothing(kind: str) -> None:
    """A plan calls the rules of a new group unknown where the configuration names none."""
    assert not openings(kind, None, {}, unknown={"ingress": True}, configured={"name": {}})
    assert openings(kind, None, {}, unknown={"ingress": True}, configured={"ingress": {}})


def test_unknown_rules_of_a_group_that_is_there_need_an_approval() -> None:
    """They come from a dynamic block, which a plan's configuration does not tell."""
    (found,) = openings(
        "aws_security_group", {"ingress": []}, {}, unknown={"ingress": True}, configured={"name": {}}
    )
    assert found.needs_approval


def test_what_the_provider_computes_of_a_rule_is_no_source() -> None:
    """`source_security_group_id` of a new rule, and `gateway_id` of a new route to a NAT gateway."""
    rule = {"type": "ingress", **TCP, "cidr_blocks": ["10.0.0.0/8"]}
    (found,) = openings(
        "aws_security_group_rule",
        None,
        rule,
        unknown={"source_security_group_id": True},
        configured={key: {} for key in rule},
    )
    assert not found.needs_approval
    route = {"destination_cidr_block": "0.0.0.0/0", "nat_gateway_id": "nat-1"}
    assert not openings(
        "aws_route", None, route, unknown={"gateway_id": True}, configured={key: {} for key in route}
    )


def test_a_route_through_a_gateway_that_is_being_made_joins_the_internet() -> None:
    """A new internet gateway's id is not known yet."""
    (found,) = openings(
        "aws_route", None, {"destination_cidr_block": "0.0.0.0/0"}, unknown={"gateway_id": True}
    )
    assert found.needs_approval


def test_a_public_address_that_only_the_apply_will_tell_needs_an_approval() -> None:
    """What the configuration sets to something unknown may open; what it leaves alone does not."""
    flag = {"publicly_accessible": True}
    (found,) = openings("aws_db_instance", None, {}, unknown=flag, configured={"publicly_accessible": {}})
    assert found.needs_approval
    assert not openings("aws_db_instance", None, {}, unknown=flag, configured={"engine": {}})
