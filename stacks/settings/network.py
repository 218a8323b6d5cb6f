"""What may be said of the network stack."""

from ipaddress import IPv4Network
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from stacks.settings.model import Ipv4Range, SettingsModel, refuse, refuse_duplicates

# Amazon EC2 makes no VPC of these: this network, loopback, link-local, multicast and reserved.
_UNUSABLE_RANGES = [
    IPv4Network(block) for block in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
]

# Amazon EC2, "Resource IDs": eight hexadecimal digits until 2018, seventeen since.
VpcId = Annotated[str, Field(pattern=r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$")]
SubnetId = Annotated[str, Field(pattern=r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$")]


class ExistingNetworkSettings(SettingsModel):
    """A VPC to use instead of making one. It is only read; docs/operations.md says what it must have."""

    vpc_id: VpcId = Field(description="ID of the VPC, such as vpc-0123456789abcdef0.")
    private_subnet_ids: tuple[SubnetId, ...] = Field(
        description="IDs of the subnets for nodes and pods, such as subnet-0123456789abcdef0: one for each "
        "of `availability_zones`, in their order.",
    )
    public_subnet_ids: tuple[SubnetId, ...] = Field(
        default=(),
        description="IDs of the subnets for internet-facing load balancers, likewise; or none.",
    )

    @field_validator("private_subnet_ids")
    @classmethod
    def _subnets_are_distinct(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        refuse_duplicates(ids)
        return ids

    @field_validator("public_subnet_ids")
    @classmethod
    def _no_subnet_is_of_both_kinds(cls, ids: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        refuse_duplicates(ids)
        refuse(
            ((str(index),), subnet_id, "must not be one of private_subnet_ids")
            for index, subnet_id in enumerate(ids)
            if subnet_id in info.data.get("private_subnet_ids", ())
        )
        return ids


class NetworkSettings(SettingsModel):
    """The network stack: one VPC, a public and a private subnet per availability zone."""

    availability_zones: tuple[str, ...] = Field(
        description="Two to six zones of the region; EKS needs two. Append new ones at the end: "
        "no existing subnet moves then.",
        min_length=2,
        max_length=6,
    )
    private_subnet_prefix_length: int = Field(
        default=19,
        description="Prefix length, 16 to 28, of a private subnet, where nodes and pods live: one address "
        "each.",
        ge=16,
        le=28,
    )
    public_subnet_prefix_length: int = Field(
        default=24,
        description="Prefix length, 16 to 28, of a public subnet, where NAT gateways and load balancers "
        "live.",
        ge=16,
        le=28,
    )
    cidr: Ipv4Range = Field(
        default="10.0.0.0/16",  # type: ignore[assignment] # a text in the file, validated like one
        description="IPv4 range of the VPC, /16 to /28, large enough for all the subnets.",
    )
    nat_gateways: Literal["single", "one_per_zone"] = Field(
        default="single",
        description="single: one NAT gateway for all zones (cheaper). one_per_zone: a zone's failure "
        "leaves the others online.",
    )
    existing: ExistingNetworkSettings | None = Field(
        default=None,
        description="A VPC that is there already, to be used instead of making one. Beside it only "
        "`availability_zones` may be set.",
    )

    @field_validator("availability_zones")
    @classmethod
    def _zones_are_distinct(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        refuse_duplicates(zones)
        return zones

    @field_validator("cidr")
    @classmethod
    def _subnets_fit(cls, cidr: IPv4Network, info: ValidationInfo) -> IPv4Network:
        if not 16 <= cidr.prefixlen <= 28:  # noqa: PLR2004 - Amazon VPC, "VPC CIDR blocks"
            raise ValueError("must be a /16 to /28")
        if any(cidr.subnet_of(block) for block in _UNUSABLE_RANGES):
            raise ValueError("must be a range that AWS makes a VPC of, such as 10.0.0.0/16")
        lengths = [info.data.get(f"{kind}_subnet_prefix_length") for kind in ("private", "public")]
        zones = info.data.get("availability_zones")
        if zones and None not in lengths:
            needed = len(zones) * sum(2 ** (32 - length) for length in lengths if length)
            if needed > cidr.num_addresses:
                raise ValueError(
                    f"holds {cidr.num_addresses} addresses, but {len(zones)} private /{lengths[0]} and "
                    f"{len(zones)} public /{lengths[1]} subnets need {needed}: "
                    "accepted is a larger range, or longer subnet prefix lengths"
                )
        return cidr

    @field_validator("existing")
    @classmethod
    def _each_zone_has_a_subnet(
        cls, existing: ExistingNetworkSettings | None, info: ValidationInfo
    ) -> ExistingNetworkSettings | None:
        zones = info.data.get("availability_zones")
        if existing and zones:
            accepted = f"must be one subnet for each of the {len(zones)} availability_zones, in their order"
            lists = {
                "private_subnet_ids": (existing.private_subnet_ids, accepted),
                "public_subnet_ids": (existing.public_subnet_ids, f"{accepted}; or none"),
            }
            refuse(
                ((name,), list(ids), rule)
                for name, (ids, rule) in lists.items()
                if len(ids) != len(zones) and (ids or name == "private_subnet_ids")
            )
        return existing

    @model_validator(mode="after")
    def _an_existing_vpc_is_as_it_is(self) -> Self:
        if self.existing:
            refuse(
                (
                    (name,),
                    str(getattr(self, name)),
                    "must not be set beside `existing`: that VPC is used as it is",
                )
                for name in sorted(self.model_fields_set - {"existing", "availability_zones"})
            )
        return self

    def private_subnet(self, index: int) -> IPv4Network:
        """Return the private subnet of the zone at `index`: counted from the range's start."""
        size = 2 ** (32 - self.private_subnet_prefix_length)
        first = int(self.cidr.network_address) + index * size
        return IPv4Network((first, self.private_subnet_prefix_length))

    def public_subnet(self, index: int) -> IPv4Network:
        """Return the public subnet of the zone at `index`: counted from the range's end."""
        size = 2 ** (32 - self.public_subnet_prefix_length)
        first = int(self.cidr.broadcast_address) + 1 - (index + 1) * size
        return IPv4Network((first, self.public_subnet_prefix_length))
