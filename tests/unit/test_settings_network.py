"""Settings of the VPC and its subnets: refused values, and accepted values at the limits."""

import pytest

from stacks.settings.load import load_settings
from tests.environments import Changes, Mistakes, WriteEnvironment

ZONES = [f"eu-central-1{letter}" for letter in "abcdefg"]


@pytest.mark.parametrize(
    ("cidr", "accepted"),
    [
        pytest.param("10.0.0.0/15", "must be a /16 to /28", id="too large"),
        pytest.param("10.0.0.0/29", "must be a /16 to /28", id="too small"),
        pytest.param("10.0.0.1/16", "first address and its prefix length: 10.0.0.0/16", id="host bits"),
        pytest.param("10.0.0.0", "as address/prefix length, such as 10.0.0.0/16", id="no length"),
        pytest.param("10.0.0.0/255.255.0.0", "as address/prefix length", id="netmask"),
        pytest.param("2001:db8::/32", "must be an IPv4 range", id="IPv6"),
        pytest.param("127.0.0.0/16", "must be a range that AWS accepts for a VPC", id="loopback"),
    ],
)
def test_a_range_that_aws_refuses_for_a_vpc_is_refused(mistakes: Mistakes, cidr: str, accepted: str) -> None:
    """The message names the intended range if it is clear."""
    (line,) = mistakes({"network.cidr": cidr})
    assert line.startswith(f'example.yaml: network.cidr: "{cidr}": ')
    assert accepted in line


def test_a_range_too_small_for_its_subnets_is_refused(mistakes: Mistakes) -> None:
    """The message has the number of addresses that exist and that are needed."""
    (line,) = mistakes({"network.cidr": "10.0.0.0/20"})
    assert line.startswith('example.yaml: network.cidr: "10.0.0.0/20": holds 4096 addresses')
    assert "3 private /19 and 3 public /24 subnets need 25344: accepted is a larger range" in line


def test_subnets_may_fill_the_range(write_environment: WriteEnvironment) -> None:
    """Two /18 and two /18 fill a /16 to its last address; none overlaps another."""
    network = load_settings(
        write_environment(
            {
                "network.availability_zones": ZONES[:2],
                "network.private_subnet_prefix_length": 18,
                "network.public_subnet_prefix_length": 18,
            }
        )
    ).network
    subnets = [make(zone) for zone in range(2) for make in (network.private_subnet, network.public_subnet)]
    assert sorted(map(str, subnets)) == ["10.0.0.0/18", "10.0.128.0/18", "10.0.192.0/18", "10.0.64.0/18"]


@pytest.mark.parametrize(
    ("zones", "path", "accepted"),
    [
        pytest.param(
            ZONES[:1], "", "must have 2 or more entries. Accepted: Two to six availability zones", id="one"
        ),
        pytest.param(
            ZONES, "", "must have 6 or fewer entries. Accepted: Two to six availability zones", id="seven"
        ),
        pytest.param([ZONES[0]] * 2, ".1", "must not be in the list twice", id="twice the same"),
        pytest.param(
            [ZONES[0], "eu-west-1a"], ".1", "a zone of the region, such as eu-central-1a", id="abroad"
        ),
        pytest.param(["eu-central-1", ZONES[0]], ".0", "must be a zone of the region", id="a region"),
        pytest.param(ZONES[0], "", "must be a list", id="no list"),
    ],
)
def test_zones_are_two_to_six_of_the_region(
    mistakes: Mistakes, zones: object, path: str, accepted: str
) -> None:
    """EKS needs two zones, and all zones are in the region of the environment."""
    (line,) = mistakes({"network.availability_zones": zones})
    assert line.startswith(f"example.yaml: network.availability_zones{path}: ")
    assert accepted in line


@pytest.mark.parametrize(
    ("region", "zones"), [("eu-centarl-1", ZONES[:2]), ("eu-central-1", ["us-east-1a", "us-east-1b"])]
)
def test_a_wrong_region_is_named_once(mistakes: Mistakes, region: str, zones: list[str]) -> None:
    """If no zone is in the region, the region is refused and not each of the zones."""
    (line,) = mistakes({"aws.region": region, "network.availability_zones": zones})
    assert line == (
        f'example.yaml: aws.region: "{region}": must be the region of network.availability_zones '
        f"({zones[0]}, {zones[1]}): change the region or the zones"
    )


@pytest.mark.parametrize("count", [2, 6])
def test_two_and_six_zones_pass(write_environment: WriteEnvironment, count: int) -> None:
    """The smallest and the largest number of zones are accepted."""
    changes: Changes = {
        "network.availability_zones": ZONES[:count],
        "network.private_subnet_prefix_length": 20,
    }
    assert len(load_settings(write_environment(changes)).network.availability_zones) == count


@pytest.mark.parametrize("kind", ["private", "public"])
@pytest.mark.parametrize(
    ("length", "accepted"), [(15, "at least 16"), (29, "at most 28"), ("19", "an integer")]
)
def test_a_subnet_length_below_16_or_above_28_is_refused(
    mistakes: Mistakes, kind: str, length: object, accepted: str
) -> None:
    """AWS has no other subnets."""
    (line,) = mistakes({f"network.{kind}_subnet_prefix_length": length})
    assert line.startswith(f"example.yaml: network.{kind}_subnet_prefix_length: ")
    assert f"must be {accepted}. Accepted: Prefix length, 16 to 28" in line


def test_a_network_without_nat_gateways_is_refused(mistakes: Mistakes) -> None:
    """Nodes without a NAT gateway could not join the cluster."""
    (line,) = mistakes({"network.nat_gateways": "none"})
    assert line.startswith("example.yaml: network.nat_gateways: \"none\": must be 'single' or 'one_per_zone'")


VPC = "vpc-0123456789abcdef0"
PRIVATE = [f"subnet-0a0000000000000{number:02}" for number in range(3)]
PUBLIC = [f"subnet-0b0000000000000{number:02}" for number in range(3)]


def existing(**changes: object) -> Changes:
    """Return changes with which the example environment uses an existing VPC."""
    settings = {"vpc_id": VPC, "private_subnet_ids": PRIVATE, "public_subnet_ids": PUBLIC, **changes}
    return {"network": {"availability_zones": ZONES[:3], "existing": settings}}


@pytest.mark.parametrize("public", [PUBLIC, []], ids=["with public subnets", "without"])
def test_an_existing_vpc_needs_its_id_and_private_subnets(
    write_environment: WriteEnvironment, public: list[str]
) -> None:
    """The VPC and one private subnet per zone are enough; public subnets are optional."""
    found = load_settings(write_environment(existing(public_subnet_ids=public))).network.existing
    assert found
    assert (found.vpc_id, [*found.private_subnet_ids], [*found.public_subnet_ids]) == (VPC, PRIVATE, public)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cidr", "10.0.0.0/16"),
        ("nat_gateways", "single"),
        ("private_subnet_prefix_length", 19),
        ("public_subnet_prefix_length", 24),
    ],
)
def test_settings_of_a_new_vpc_are_refused_beside_an_existing_one(
    mistakes: Mistakes, key: str, value: object
) -> None:
    """No setting is ignored without a message, not even one with its default value."""
    changes = existing()
    changes["network"][key] = value
    (line,) = mistakes(changes)
    assert line.startswith(f"example.yaml: network.{key}: ")
    assert line.endswith("must not be set beside `existing`: the project does not change that VPC")


@pytest.mark.parametrize(
    ("key", "value", "path", "accepted"),
    [
        ("vpc_id", "vpc-1", "", "ID of the VPC, such as vpc-0123456789abcdef0"),
        ("vpc_id", PRIVATE[0], "", "ID of the VPC, such as vpc-0123456789abcdef0"),
        ("private_subnet_ids", [*PRIVATE[:2], VPC], ".2", "one for each of `availability_zones`"),
        ("private_subnet_ids", [*PRIVATE[:2], "subnet-1"], ".2", "one for each of `availability_zones`"),
        ("private_subnet_ids", PRIVATE[:2], "", "must be one subnet for each of the 3 availability_zones"),
        ("private_subnet_ids", [], "", "must be one subnet for each of the 3 availability_zones"),
        ("private_subnet_ids", [*PRIVATE[:2], PRIVATE[0]], ".2", "must not be in the list twice"),
        (
            "public_subnet_ids",
            PUBLIC[:1],
            "",
            "for each of the 3 availability_zones, in their order; or none",
        ),
        ("public_subnet_ids", [*PUBLIC[:2], PUBLIC[0]], ".2", "must not be in the list twice"),
        ("public_subnet_ids", [*PUBLIC[:2], PRIVATE[0]], ".2", "must not be one of private_subnet_ids"),
    ],
)
def test_existing_subnets_that_do_not_match_the_zones_are_refused(
    mistakes: Mistakes, key: str, value: object, path: str, accepted: str
) -> None:
    """The message has the place of a malformed ID, a missing subnet, or a duplicate."""
    (line,) = mistakes(existing(**{key: value}))
    assert line.startswith(f"example.yaml: network.existing.{key}{path}: ")
    assert accepted in line
