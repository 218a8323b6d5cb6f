"""The JSON of the network stack."""

from collections.abc import Callable
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

from tests.environments import Synthesized

ZONES = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]  # of the example environment
ROLES = {"public": "kubernetes.io/role/elb", "private": "kubernetes.io/role/internal-elb"}


def subnets(network: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the subnets of one kind by the reference that other resources use."""
    found = network["resource"]["aws_subnet"].items()
    return {f"${{aws_subnet.{name}.id}}": subnet for name, subnet in found if ROLES[kind] in subnet["tags"]}


def default_routes(network: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return each subnet's default route, by the subnet's availability zone."""
    resources = network["resource"]
    table = {
        item["subnet_id"]: item["route_table_id"]
        for item in resources["aws_route_table_association"].values()
    }
    route = {
        item["route_table_id"]: item
        for item in resources["aws_route"].values()
        if item["destination_cidr_block"] == "0.0.0.0/0"
    }
    return {subnet["availability_zone"]: route[table[id_]] for id_, subnet in subnets(network, kind).items()}


def test_the_vpc_has_the_configured_range(example: Synthesized) -> None:
    """`network.cidr` is the range of the VPC."""
    (vpc,) = example["network"]["resource"]["aws_vpc"].values()
    assert vpc["cidr_block"] == "10.0.0.0/16"


def test_the_vpc_answers_dns_as_the_private_endpoint_needs(example: Synthesized) -> None:
    """Nodes find the private endpoint of EKS only with DNS support and DNS host names."""
    (vpc,) = example["network"]["resource"]["aws_vpc"].values()
    assert vpc["enable_dns_support"] is True
    assert vpc["enable_dns_hostnames"] is True


def test_there_is_one_public_and_one_private_subnet_per_zone(example: Synthesized) -> None:
    """Each configured zone has one subnet of each kind, and there is no other subnet."""
    for kind in ROLES:
        zones = [subnet["availability_zone"] for subnet in subnets(example["network"], kind).values()]
        assert sorted(zones) == ZONES
    assert len(example["network"]["resource"]["aws_subnet"]) == 2 * len(ZONES)


def test_subnets_are_in_the_vpc_and_do_not_overlap(example: Synthesized) -> None:
    """Every subnet is a part of the VPC's range, and no two subnets share an address."""
    ranges = [
        IPv4Network(subnet["cidr_block"]) for subnet in example["network"]["resource"]["aws_subnet"].values()
    ]
    assert all(subnet.subnet_of(IPv4Network("10.0.0.0/16")) for subnet in ranges)
    assert not any(one.overlaps(other) for one, other in combinations(ranges, 2))


def test_a_full_range_has_no_overlap(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """Private subnets begin at the start of the range, public ones at its end."""
    full = {
        "network.cidr": "10.9.0.0/22",
        "network.availability_zones": ZONES[:2],
        "network.private_subnet_prefix_length": 24,
        "network.public_subnet_prefix_length": 24,
    }
    network = synthesize_changed(full)["network"]
    ranges = {IPv4Network(subnet["cidr_block"]) for subnet in network["resource"]["aws_subnet"].values()}
    assert ranges == set(IPv4Network("10.9.0.0/22").subnets(new_prefix=24))


def test_appending_a_zone_leaves_the_other_subnets_alone(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """With a third zone, the first two keep their subnets' addresses and ranges."""
    two = synthesize_changed({"network.availability_zones": ZONES[:2]})["network"]["resource"]["aws_subnet"]
    three = example["network"]["resource"]["aws_subnet"]
    assert len(two) == 4
    assert two.items() <= three.items()


def test_public_subnets_reach_the_internet_directly(example: Synthesized) -> None:
    """The default route of every public subnet is the internet gateway."""
    (gateway,) = example["network"]["resource"]["aws_internet_gateway"]
    routes = default_routes(example["network"], "public")
    assert sorted(routes) == ZONES
    assert {route["gateway_id"] for route in routes.values()} == {f"${{aws_internet_gateway.{gateway}.id}}"}


def test_private_subnets_share_a_single_nat_gateway(example: Synthesized) -> None:
    """`nat_gateways: single` creates one, the default route of every private subnet."""
    (gateway,) = example["network"]["resource"]["aws_nat_gateway"]
    routes = default_routes(example["network"], "private")
    assert sorted(routes) == ZONES
    assert {route["nat_gateway_id"] for route in routes.values()} == {f"${{aws_nat_gateway.{gateway}.id}}"}


def test_with_one_nat_gateway_per_zone_traffic_stays_in_its_zone(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """With `nat_gateways: one_per_zone` each private subnet uses the gateway of its own zone."""
    network = synthesize_changed({"network.nat_gateways": "one_per_zone"})["network"]
    gateways = network["resource"]["aws_nat_gateway"]
    public = subnets(network, "public")
    zone_of = {
        f"${{aws_nat_gateway.{name}.id}}": public[gateway["subnet_id"]]["availability_zone"]
        for name, gateway in gateways.items()
    }
    routes = default_routes(network, "private")
    assert sorted(zone_of.values()) == ZONES
    assert {zone: zone_of[route["nat_gateway_id"]] for zone, route in routes.items()} == {
        zone: zone for zone in ZONES
    }


def test_nat_gateways_are_in_public_subnets(example: Synthesized) -> None:
    """A NAT gateway in a private subnet could not reach the internet."""
    for gateway in example["network"]["resource"]["aws_nat_gateway"].values():
        assert gateway["subnet_id"] in subnets(example["network"], "public")


def test_more_nat_gateways_replace_no_route_table(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """From `single` to `one_per_zone` only routes change: tables and associations are the same."""
    many = synthesize_changed({"network.nat_gateways": "one_per_zone"})["network"]["resource"]
    for kind in ("aws_route_table", "aws_route_table_association", "aws_subnet"):
        assert many[kind] == example["network"]["resource"][kind]


def test_subnets_give_no_public_addresses(example: Synthesized) -> None:
    """No subnet gives instances public addresses."""
    for subnet in example["network"]["resource"]["aws_subnet"].values():
        assert not subnet.get("map_public_ip_on_launch", False)


def test_outputs_are_in_the_order_of_the_zones(example: Synthesized) -> None:
    """The first subnet and the first route table belong to the first zone, and so on."""
    outputs = example["network"]["output"]
    assert outputs["availability_zones"]["value"] == ZONES
    for kind in ROLES:
        found = subnets(example["network"], kind)
        published = outputs[f"{kind}_subnet_ids"]["value"]
        assert [found[id_]["availability_zone"] for id_ in published] == ZONES
    routes = default_routes(example["network"], "private")
    assert outputs["private_route_table_ids"]["value"] == [routes[zone]["route_table_id"] for zone in ZONES]


def test_load_balancers_find_their_subnets(example: Synthesized) -> None:
    """Public subnets have the tag for public load balancers, private ones the tag for internal ones."""
    for kind, role in ROLES.items():
        found = subnets(example["network"], kind)
        published = example["network"]["output"][f"{kind}_subnet_ids"]["value"]
        assert sorted(found) == sorted(published)
        assert {subnet["tags"][role] for subnet in found.values()} == {"1"}


def test_subnets_have_the_tag_of_the_cluster(example: Synthesized) -> None:
    """Controllers look for subnets with a tag of the cluster's name."""
    (cluster,) = example["cluster"]["resource"]["aws_eks_cluster"].values()
    for subnet in example["network"]["resource"]["aws_subnet"].values():
        assert subnet["tags"][f"kubernetes.io/cluster/{cluster['name']}"] == "shared"


def test_s3_is_reached_without_the_nat_gateway(example: Synthesized) -> None:
    """The gateway endpoint of S3 names every private route table."""
    (endpoint,) = example["network"]["resource"]["aws_vpc_endpoint"].values()
    private = {route["route_table_id"] for route in default_routes(example["network"], "private").values()}
    assert endpoint["vpc_endpoint_type"] == "Gateway"
    assert endpoint["service_name"].endswith(".s3")
    assert set(endpoint["route_table_ids"]) == private


def test_the_default_security_group_allows_nothing(example: Synthesized) -> None:
    """An instance without a security group of its own has no traffic."""
    (group,) = example["network"]["resource"]["aws_default_security_group"].values()
    assert "ingress" not in group
    assert "egress" not in group
