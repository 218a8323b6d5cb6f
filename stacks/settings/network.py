"""Settings of the network stack."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from stacks.settings.addresses import RESERVED_RANGES, Ipv4Range
from stacks.settings.log_retention import RETENTION_RULE, RetentionDays
from stacks.settings.model import Mistake, SettingsModel, find_duplicates, refuse

# Amazon EC2, "Resource IDs": eight hexadecimal digits until 2018, seventeen since.
VpcId = Annotated[str, Field(pattern=r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$")]
SubnetId = Annotated[str, Field(pattern=r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$")]

# Amazon S3, "General purpose bucket naming rules".
BucketArn = Annotated[
    str,
    Field(pattern=r"^arn:aws(-[a-z-]+)?:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]*)?$"),
]

# Services that nodes, the CNI, the autoscaler and EKS Pod Identity call; then those that others often need.
_EndpointOfNodes = Literal["ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "autoscaling", "sts"]
_OtherEndpoint = Literal["logs", "monitoring", "kms", "secretsmanager", "ssm", "ssmmessages", "ec2messages"]
ENDPOINTS_OF_NODES: tuple[str, ...] = get_args(_EndpointOfNodes)
EndpointService = Literal[_EndpointOfNodes, _OtherEndpoint]


class ExistingNetworkSettings(SettingsModel):
    """An existing VPC, used instead of a new one and never changed.

    docs/operations.md lists its requirements.
    """

    vpc_id: VpcId = Field(description="ID of the VPC, such as vpc-0123456789abcdef0.")
    private_subnet_ids: tuple[SubnetId, ...] = Field(
        description="IDs of the subnets for nodes and pods, such as subnet-0123456789abcdef0: one for each "
        "of `availability_zones`, in their order.",
    )
    public_subnet_ids: tuple[SubnetId, ...] = Field(
        default=(),
        description="IDs of the subnets for internet-facing load balancers: one for each of "
        "`availability_zones`, in their order; or none.",
    )

    @field_validator("private_subnet_ids", "public_subnet_ids")
    @classmethod
    def _refuse_duplicates(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        refuse(find_duplicates(ids))
        return ids

    @model_validator(mode="after")
    def _refuse_subnets_of_both_kinds(self) -> Self:
        refuse(
            (("public_subnet_ids", str(index)), subnet_id, "must not be one of private_subnet_ids")
            for index, subnet_id in enumerate(self.public_subnet_ids)
            if subnet_id in self.private_subnet_ids
        )
        return self


class FlowLogsSettings(SettingsModel):
    """VPC flow logs: the connections of every network interface in the VPC, nodes and pods among them."""

    traffic: Literal["ALL", "ACCEPT", "REJECT"] = Field(
        default="ALL", description="Which connections are recorded: ALL, or only those with this outcome."
    )
    retention_days: RetentionDays = Field(
        default=30, description=f"Days that CloudWatch keeps the flow logs: {RETENTION_RULE}."
    )
    bucket_arn: BucketArn | None = Field(
        default=None,
        description="ARN of an existing S3 bucket, or of a folder in it, such as "
        "arn:aws:s3:::example-flow-logs/cicd/: the flow logs go there instead of to CloudWatch. The bucket "
        "decides how long they are kept.",
    )

    @model_validator(mode="after")
    def _refuse_retention_of_a_bucket(self) -> Self:
        if self.bucket_arn and "retention_days" in self.model_fields_set:
            accepted = "must not be set beside bucket_arn: the bucket's own lifecycle decides"
            refuse([(("retention_days",), self.retention_days, accepted)])
        return self


class NetworkSettings(SettingsModel):
    """The network stack: one VPC, a public and a private subnet per availability zone."""

    availability_zones: tuple[str, ...] = Field(
        description="Two to six availability zones of the region; EKS needs two. Append new ones at the "
        "end, and remove none: the control plane stays in the zones with which it was created, and nodes use "
        "all of them.",
        min_length=2,
        max_length=6,
    )
    private_subnet_prefix_length: int = Field(
        default=19,
        description="Prefix length, 16 to 28, of a private subnet. Each pod takes one of its addresses, "
        "and a node holds 30, 60 or more of them from its start.",
        ge=16,
        le=28,
    )
    public_subnet_prefix_length: int = Field(
        default=24,
        description="Prefix length, 16 to 28, of a public subnet, for NAT gateways and load balancers.",
        ge=16,
        le=28,
    )
    cidr: Ipv4Range = Field(
        default="10.0.0.0/16",  # type: ignore[assignment] # a string in the file, validated like one
        description="IPv4 range of the VPC, /16 to /28, large enough for all the subnets.",
    )
    nat_gateways: Literal["single", "one_per_zone"] = Field(
        default="single",
        description="single: one NAT gateway for all zones, which costs less. one_per_zone: if a zone fails, "
        "the other zones keep their way to the internet; a plan then warns if the steady node group has "
        "fewer nodes than there are zones.",
    )
    flow_logs: FlowLogsSettings | None = Field(
        default=None,
        description="VPC flow logs; {} for those with the defaults. Without the key nothing is recorded.",
    )
    interface_endpoints: tuple[EndpointService, ...] = Field(
        default=(),
        description="AWS services with an interface endpoint in each private subnet, which costs by the "
        f"hour and zone. Nodes call {', '.join(ENDPOINTS_OF_NODES)}; the rest of these is for others: "
        f"{', '.join(get_args(_OtherEndpoint))}.",
    )
    existing: ExistingNetworkSettings | None = Field(
        default=None,
        description="An existing VPC, used instead of a new one. Of the other settings of the network only "
        "`availability_zones` may be set then.",
    )

    @field_validator("availability_zones", "interface_endpoints")
    @classmethod
    def _refuse_duplicates(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        refuse(find_duplicates(entries))
        return entries

    @field_validator("cidr")
    @classmethod
    def _require_range_of_a_vpc(cls, cidr: IPv4Network) -> IPv4Network:
        if not 16 <= cidr.prefixlen <= 28:  # noqa: PLR2004 - Amazon VPC, "VPC CIDR blocks"
            raise ValueError("must be a /16 to /28")
        if any(cidr.subnet_of(block) for block in RESERVED_RANGES):
            raise ValueError("must be a range that AWS accepts for a VPC, such as 10.0.0.0/16")
        return cidr

    @model_validator(mode="after")
    def _require_subnets_that_fit(self) -> Self:
        refuse(self._find_existing_mistakes(self.existing) if self.existing else self._find_range_mistakes())
        return self

    def _find_range_mistakes(self) -> Iterator[Mistake]:
        zones = len(self.availability_zones)
        private, public = self.private_subnet_prefix_length, self.public_subnet_prefix_length
        needed = zones * (2 ** (32 - private) + 2 ** (32 - public))
        if needed > self.cidr.num_addresses:
            accepted = (
                f"holds {self.cidr.num_addresses} addresses, but {zones} private /{private} and {zones} "
                f"public /{public} subnets need {needed}: accepted is a larger range, or longer subnet "
                "prefix lengths"
            )
            yield ("cidr",), str(self.cidr), accepted

    def _find_existing_mistakes(self, existing: ExistingNetworkSettings) -> Iterator[Mistake]:
        for name in sorted(self.model_fields_set - {"existing", "availability_zones"}):
            accepted = "must not be set beside `existing`: the project does not change that VPC"
            yield (name,), str(getattr(self, name)), accepted
        zones = len(self.availability_zones)
        accepted = f"must be one subnet for each of the {zones} availability_zones, in their order"
        if len(existing.private_subnet_ids) != zones:
            yield ("existing", "private_subnet_ids"), list(existing.private_subnet_ids), accepted
        if len(existing.public_subnet_ids) not in (0, zones):
            yield ("existing", "public_subnet_ids"), list(existing.public_subnet_ids), f"{accepted}; or none"

    def private_subnet(self, index: int) -> IPv4Network:
        """Return the private subnet of the zone at `index`, counted from the start of the VPC's range."""
        size = 2 ** (32 - self.private_subnet_prefix_length)
        first = int(self.cidr.network_address) + index * size
        return IPv4Network((first, self.private_subnet_prefix_length))

    def public_subnet(self, index: int) -> IPv4Network:
        """Return the public subnet of the zone at `index`, counted from the end of the VPC's range."""
        size = 2 ** (32 - self.public_subnet_prefix_length)
        first = int(self.cidr.broadcast_address) + 1 - (index + 1) * size
        return IPv4Network((first, self.public_subnet_prefix_length))
