"""Resources that become reachable."""

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


PUBLIC = [
    pytest.param("aws_security_group", {"ingress": []}, {"ingress": [TCP | {"cidr_blocks": ["0.0.0.0/0"]}]}),
    pytest.param("aws_security_group", {"ingress": []}, {"ingress": [TCP | {"ipv6_cidr_blocks": ["::/0"]}]}),
    pytest.param("aws_default_security_group", None, {"ingress": [TCP | {"cidr_blocks": ["8.8.8.8/32"]}]}),
    pytest.param("aws_security_group_rule", None, {"type": "ingress", **TCP, "cidr_blocks": ["0.0.0.0/0"]}),
    pytest.param("kubernetes_network_policy_v1", {"spec": [{"egress": []}]}, None),
    pytest.param("kubernetes_service_v1", None, {"spec": [{"type": "LoadBalancer"}]}),
    pytest.param("aws_ami_launch_permission", None, {"group": "all"}),
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
NO_EXPOSURE = [
    pytest.param("aws_security_group_rule", None, {"type": "egress", **TCP, "cidr_blocks": ["10.0.0.0/8"]}),
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
PRIVATE = [
    pytest.param("aws_security_group_rule", None, {"type": "ingress", **TCP, "cidr_blocks": ["10.0.0.0/8"]}),
    pytest.param("aws_vpc_security_group_ingress_rule", None, {"referenced_security_group_id": "sg-1"}),
    pytest.param("aws_security_group", {"ingress": []}, {"ingress": [TCP | {"self": True}]}),
    pytest.param(
        "aws_eks_node_group",
        None,
        {"remote_access": [{"ec2_ssh_key": "key", "source_security_group_ids": ["sg-1"]}]},
    ),
    pytest.param("aws_vpc_peering_connection", None, {"peer_vpc_id": "vpc-1"}),
    pytest.param("kubernetes_network_policy_v1", {"spec": [{"a": 1}]}, {"spec": [{"a": 2}]}),
]


def exposures(kind: str, before: Any, after: Any, **more: Any) -> list[Finding]:
    """Return the findings of exposure of a change."""
    configured = {f"{kind}.this": more.pop("configured")} if "configured" in more else None
    plan = {"configured": configured} if configured else {}
    return findings(Category.EXPOSURE, resource(kind, before, after, **more), **plan)


@pytest.mark.parametrize(("kind", "before", "after"), PUBLIC)
def test_exposure_to_the_public_needs_an_approval(kind: str, before: Any, after: Any) -> None:
    """A source outside of private networks needs an approval."""
    assert any(found.needs_approval for found in exposures(kind, before, after))


@pytest.mark.parametrize(("kind", "before", "after"), PRIVATE)
def test_exposure_within_private_networks_is_shown(kind: str, before: Any, after: Any) -> None:
    """Sources in private networks, security groups and pods are shown, and need no approval."""
    assert [found.needs_approval for found in exposures(kind, before, after)] == [False]


@pytest.mark.parametrize(("kind", "before", "after"), NO_EXPOSURE)
def test_changes_without_exposure_are_no_finding(kind: str, before: Any, after: Any) -> None:
    """Outbound and deny rules, removed rules and private resources expose nothing."""
    assert not exposures(kind, before, after)


ALL = {"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"]}


@pytest.mark.parametrize(
    ("before", "after", "is_wider"),
    [
        (ALL, TCP | {"cidr_blocks": ["0.0.0.0/0"]}, False),
        (ALL, TCP | {"ipv6_cidr_blocks": ["::/0"]}, True),
        (TCP | {"cidr_blocks": ["8.0.0.0/8"]}, TCP | {"cidr_blocks": ["8.8.0.0/16"]}, False),
        (TCP | {"cidr_blocks": ["8.8.0.0/16"]}, TCP | {"cidr_blocks": ["8.0.0.0/8"]}, True),
        (TCP | {"to_port": 450, "cidr_blocks": ["8.8.8.8/32"]}, TCP | {"cidr_blocks": ["8.8.8.8/32"]}, False),
        (TCP | {"cidr_blocks": ["8.8.8.8/32"]}, TCP | {"to_port": 450, "cidr_blocks": ["8.8.8.8/32"]}, True),
        (
            TCP | {"cidr_blocks": ["8.0.0.0/8"]},
            TCP | {"protocol": "udp", "cidr_blocks": ["8.8.8.8/32"]},
            True,
        ),
    ],
)
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_rule_within_an_old_one_is_no_exposure(
    direction: str,
    before: dict[str, Any],
    after: dict[str, Any],
    is_wider: bool,  # noqa: FBT001
) -> None:
    """Fewer ports or addresses than before are no finding, and more are."""
    found = exposures("aws_security_group", {direction: [before]}, {direction: [after]})
    assert bool(found) is is_wider


def test_an_internal_load_balancer_is_no_exposure() -> None:
    """Its annotation says so (AWS Load Balancer Controller, "Network Load Balancer")."""
    name = "service.beta.kubernetes.io/aws-load-balancer-scheme"
    state = {"spec": [{"type": "LoadBalancer"}], "metadata": [{"annotations": {name: "internal"}}]}
    assert not exposures("kubernetes_service_v1", None, state)


def test_a_rule_is_described_in_words() -> None:
    """A reviewer sees protocol, ports and source; public sources come first."""
    rules: list[dict[str, Any]] = [
        {**TCP, "cidr_blocks": ["10.0.0.0/8"]},
        {**TCP, "to_port": 444, "cidr_blocks": ["8.8.8.8/32"]},
    ]
    (found,) = exposures("aws_security_group", {"ingress": []}, {"ingress": rules})
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
def test_protocol_and_ports_are_described_in_words(rule: dict[str, Any], words: str) -> None:
    """The arguments are those of `aws_vpc_security_group_ingress_rule`."""
    (found,) = exposures("aws_vpc_security_group_ingress_rule", None, {"cidr_ipv4": "10.0.0.0/8", **rule})
    assert [item.after for item in found.differences] == [f"{words} 10.0.0.0/8"]


def test_unchanged_rules_are_not_shown() -> None:
    """The finding shows the new rule of a group, and not its old ones."""
    old = TCP | {"cidr_blocks": ["8.8.8.8/32"]}
    new = TCP | {"cidr_blocks": ["9.9.9.9/32"]}
    (found,) = exposures("aws_security_group", {"ingress": [old]}, {"ingress": [new, old]})
    assert [item.after for item in found.differences] == ["tcp 443 from 9.9.9.9/32"]


@pytest.mark.parametrize("marks", [{"unknown": {"ingress": True}}, {"after_sensitive": {"ingress": True}}])
def test_unknown_and_sensitive_rules_need_an_approval(marks: dict[str, Any]) -> None:
    """Rules that a reviewer can't see may let in anybody."""
    after = {} if "unknown" in marks else {"ingress": [TCP | {"cidr_blocks": ["0.0.0.0/0"]}]}
    (found,) = exposures("aws_security_group", {"ingress": []}, after, **marks)
    assert found.needs_approval


def test_an_unknown_source_needs_an_approval() -> None:
    """An unknown address may be a public one."""
    (found,) = exposures(
        "aws_vpc_security_group_ingress_rule", None, {"ip_protocol": "tcp"}, unknown={"cidr_ipv4": True}
    )
    assert found.needs_approval


@pytest.mark.parametrize("kind", ["aws_security_group", "aws_network_acl"])
def test_a_new_group_without_rules_is_no_finding(kind: str) -> None:
    """A plan marks the rules of a new group as unknown if the configuration sets none."""
    assert not exposures(kind, None, {}, unknown={"ingress": True}, configured={"name": {}})
    assert exposures(kind, None, {}, unknown={"ingress": True}, configured={"ingress": {}})


def test_unknown_rules_of_an_existing_group_need_an_approval() -> None:
    """A dynamic block may set them, and the configuration in a plan does not show it."""
    (found,) = exposures(
        "aws_security_group", {"ingress": []}, {}, unknown={"ingress": True}, configured={"name": {}}
    )
    assert found.needs_approval


def test_computed_attributes_of_a_rule_are_no_source() -> None:
    """The provider computes `source_security_group_id` of a rule and `gateway_id` of a route."""
    rule = {"type": "ingress", **TCP, "cidr_blocks": ["10.0.0.0/8"]}
    (found,) = exposures(
        "aws_security_group_rule",
        None,
        rule,
        unknown={"source_security_group_id": True},
        configured={key: {} for key in rule},
    )
    assert not found.needs_approval
    route = {"destination_cidr_block": "0.0.0.0/0", "nat_gateway_id": "nat-1"}
    assert not exposures(
        "aws_route", None, route, unknown={"gateway_id": True}, configured={key: {} for key in route}
    )


def test_a_route_through_a_new_gateway_needs_an_approval() -> None:
    """The ID of a new internet gateway is unknown."""
    (found,) = exposures(
        "aws_route", None, {"destination_cidr_block": "0.0.0.0/0"}, unknown={"gateway_id": True}
    )
    assert found.needs_approval


def test_an_unknown_public_address_needs_an_approval() -> None:
    """An unknown value that the configuration sets may expose; an unset attribute does not."""
    flag = {"publicly_accessible": True}
    (found,) = exposures("aws_db_instance", None, {}, unknown=flag, configured={"publicly_accessible": {}})
    assert found.needs_approval
    assert not exposures("aws_db_instance", None, {}, unknown=flag, configured={"engine": {}})


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("aws_security_group", {"egress": [TCP | {"cidr_blocks": ["0.0.0.0/0"]}]}),
        ("aws_default_security_group", {"egress": [TCP | {"ipv6_cidr_blocks": ["::/0"]}]}),
        ("aws_security_group_rule", {"type": "egress", **TCP, "cidr_blocks": ["0.0.0.0/0"]}),
        (
            "aws_vpc_security_group_egress_rule",
            {"ip_protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_ipv4": "0.0.0.0/0"},
        ),
    ],
)
def test_traffic_to_the_internet_is_shown(kind: str, state: dict[str, Any]) -> None:
    """A new group or rule that lets out to the internet is usual, so it needs no approval."""
    (found,) = exposures(kind, None, state)
    assert not found.needs_approval
    assert found.text == "lets out to the internet"
    assert found.differences[0].after.startswith("tcp 443 to ")


def test_an_existing_group_that_lets_out_to_the_internet_needs_an_approval() -> None:
    """A group that limited its traffic no longer does; a new private destination is no finding."""
    private, public = ({"egress": [TCP | {"cidr_blocks": [cidr]}]} for cidr in ("10.0.0.0/8", "0.0.0.0/0"))
    (found,) = exposures("aws_security_group", private, public)
    assert found.needs_approval
    assert not exposures("aws_security_group", {"egress": []}, private)
    assert not exposures("aws_security_group", public, private)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("aws_security_group_rule", {"type": "egress", **TCP, "cidr_blocks": ["0.0.0.0/0"]}),
        ("aws_vpc_security_group_egress_rule", {"ip_protocol": "-1", "cidr_ipv4": "0.0.0.0/0"}),
    ],
)
def test_a_new_outbound_rule_of_an_old_group_needs_an_approval(kind: str, rule: dict[str, Any]) -> None:
    """A group with an ID exists already; the ID of a group of the same plan is unknown."""
    (old,) = exposures(kind, None, rule | {"security_group_id": "sg-1"})
    assert old.needs_approval
    change = resource(kind, None, rule, unknown={"security_group_id": True})
    (new,) = findings(Category.EXPOSURE, change)
    assert not new.needs_approval
