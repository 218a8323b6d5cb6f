"""The network stack: one VPC over the availability zones of the settings.

Intent: private subnets are for nodes and pods, public ones for NAT gateways and load balancers.
Not here: security groups of nodes (EKS creates its own in the cluster stack); an existing VPC
(existing_network.py).
"""

from dataclasses import dataclass

from cdktf import TerraformResourceLifecycle
from cdktf_cdktf_provider_aws.data_aws_availability_zones import DataAwsAvailabilityZones
from cdktf_cdktf_provider_aws.default_security_group import DefaultSecurityGroup
from cdktf_cdktf_provider_aws.eip import Eip
from cdktf_cdktf_provider_aws.internet_gateway import InternetGateway
from cdktf_cdktf_provider_aws.nat_gateway import NatGateway
from cdktf_cdktf_provider_aws.route import Route
from cdktf_cdktf_provider_aws.route_table import RouteTable
from cdktf_cdktf_provider_aws.route_table_association import RouteTableAssociation
from cdktf_cdktf_provider_aws.subnet import Subnet
from cdktf_cdktf_provider_aws.vpc import Vpc
from cdktf_cdktf_provider_aws.vpc_endpoint import VpcEndpoint
from constructs import Construct

from stacks.eks_zones import require_zone
from stacks.environment import Environment
from stacks.environment_stack import EnvironmentStack
from stacks.flow_logs import build_flow_logs
from stacks.interface_endpoints import build_interface_endpoints
from stacks.routes import EVERYWHERE
from stacks.settings.network import NetworkSettings
from stacks.state import output, publish_outputs


@dataclass(frozen=True)
class NetworkOutputs:
    """The outputs of the network stack."""

    vpc_id: str = output("ID of the VPC.")
    vpc_cidr: str = output("IPv4 range of the VPC.")
    availability_zones: list[str] = output("Availability zones, in the order of the subnet lists.")
    private_subnet_ids: list[str] = output("IDs of the private subnets, one per zone: nodes and pods.")
    public_subnet_ids: list[str] = output("IDs of the public subnets, one per zone: load balancers.")
    private_route_table_ids: list[str] = output("IDs of the private subnets' route tables, one per zone.")
    nat_public_ips: list[str] = output(
        "Addresses from which nodes and pods reach the internet: those of the NAT gateways in the private "
        "route tables; none if an existing VPC has another way out."
    )


class NetworkStack(EnvironmentStack):
    """VPC, subnets, routes to the internet."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: Environment,
        settings: NetworkSettings,
        cluster_name: str,
    ) -> None:
        """Build the network; `cluster_name` is only for the tags that lead controllers to subnets."""
        super().__init__(scope, id_, environment=environment)
        self._environment = environment
        self._settings = settings
        self._cluster_tag = {f"kubernetes.io/cluster/{cluster_name}": "shared"}
        # The letter of a zone is part of the ids of its resources.
        self._zones = {zone[-1]: zone for zone in settings.availability_zones}

        self._vpc = self._build_vpc()
        self._internet_gateway = InternetGateway(
            self, "internet_gateway", vpc_id=self._vpc.id, tags=self._name_tag("internet")
        )
        self._public_subnets = self._build_public_subnets()
        self._nat_addresses: list[Eip] = []
        self._nat_gateways = self._build_nat_gateways()
        self._private_subnets = self._build_private_subnets()
        self._private_route_tables = self._build_private_route_tables()
        self._build_s3_endpoint()
        if settings.flow_logs:
            build_flow_logs(
                self,
                vpc_id=self._vpc.id,
                resource_prefix=environment.resource_prefix,
                settings=settings.flow_logs,
            )
        if settings.interface_endpoints:
            build_interface_endpoints(
                self,
                services=settings.interface_endpoints,
                region=environment.aws.region,
                vpc_id=self._vpc.id,
                vpc_cidr=self._vpc.cidr_block,
                subnet_ids=[subnet.id for subnet in self._private_subnets.values()],
                resource_prefix=environment.resource_prefix,
            )

        publish_outputs(
            self,
            NetworkOutputs(
                vpc_id=self._vpc.id,
                vpc_cidr=self._vpc.cidr_block,
                availability_zones=list(settings.availability_zones),
                private_subnet_ids=[subnet.id for subnet in self._private_subnets.values()],
                public_subnet_ids=[subnet.id for subnet in self._public_subnets.values()],
                private_route_table_ids=[table.id for table in self._private_route_tables.values()],
                nat_public_ips=[address.public_ip for address in self._nat_addresses],
            ),
        )

    def _name_tag(self, name: str) -> dict[str, str]:
        return {"Name": f"{self._environment.resource_prefix}-{name}"}

    def _build_vpc(self) -> Vpc:
        vpc = Vpc(
            self,
            "vpc",
            cidr_block=str(self._settings.cidr),
            enable_dns_support=True,
            enable_dns_hostnames=True,  # EKS's private endpoint needs both
            tags=self._name_tag("vpc") | self._cluster_tag,
        )
        # Adopted without rules: an instance without a security group of its own has no traffic.
        DefaultSecurityGroup(self, "default_security_group", vpc_id=vpc.id, tags=self._name_tag("unused"))
        return vpc

    def _build_public_subnets(self) -> dict[str, Subnet]:
        table = RouteTable(self, "public_route_table", vpc_id=self._vpc.id, tags=self._name_tag("public"))
        Route(
            self,
            "internet_route",
            route_table_id=table.id,
            destination_cidr_block=EVERYWHERE,
            gateway_id=self._internet_gateway.id,
        )
        subnets = {}
        for index, (key, zone) in enumerate(self._zones.items()):
            subnets[key] = Subnet(
                self,
                f"public_subnet_{key}",
                vpc_id=self._vpc.id,
                availability_zone=zone,
                cidr_block=str(self._settings.public_subnet(index)),
                tags=self._name_tag(f"public-{key}") | self._cluster_tag | {"kubernetes.io/role/elb": "1"},
            )
            RouteTableAssociation(
                self,
                f"public_route_table_association_{key}",
                subnet_id=subnets[key].id,
                route_table_id=table.id,
            )
        return subnets

    def _build_nat_gateways(self) -> dict[str, NatGateway]:
        keys = list(self._zones)
        gateways: dict[str, NatGateway] = {}
        for key in keys if self._settings.nat_gateways == "one_per_zone" else keys[:1]:
            address = Eip(self, f"nat_address_{key}", domain="vpc", tags=self._name_tag(f"nat-{key}"))
            self._nat_addresses.append(address)
            gateways[key] = NatGateway(
                self,
                f"nat_gateway_{key}",
                allocation_id=address.id,
                subnet_id=self._public_subnets[key].id,
                tags=self._name_tag(f"nat-{key}"),
                depends_on=[self._internet_gateway],  # AWS requires the internet gateway first
            )
        return gateways

    def _build_private_subnets(self) -> dict[str, Subnet]:
        # Also zones that are not `available`, so that the failure of a zone stops no plan.
        zones = DataAwsAvailabilityZones(self, "zones").fqn
        return {
            key: Subnet(
                self,
                f"private_subnet_{key}",
                vpc_id=self._vpc.id,
                availability_zone=zone,
                cidr_block=str(self._settings.private_subnet(index)),
                tags=self._name_tag(f"private-{key}")
                | self._cluster_tag
                | {"kubernetes.io/role/internal-elb": "1"},
                lifecycle=TerraformResourceLifecycle(precondition=require_zone(zones, index, zone)),
            )
            for index, (key, zone) in enumerate(self._zones.items())
        }

    def _build_private_route_tables(self) -> dict[str, RouteTable]:
        # One per zone even with a single NAT gateway, so that a change to one_per_zone replaces no table.
        first_gateway = next(iter(self._nat_gateways.values()))
        tables = {}
        for key, subnet in self._private_subnets.items():
            tables[key] = RouteTable(
                self,
                f"private_route_table_{key}",
                vpc_id=self._vpc.id,
                tags=self._name_tag(f"private-{key}"),
            )
            Route(
                self,
                f"nat_route_{key}",
                route_table_id=tables[key].id,
                destination_cidr_block=EVERYWHERE,
                nat_gateway_id=self._nat_gateways.get(key, first_gateway).id,
            )
            RouteTableAssociation(
                self,
                f"private_route_table_association_{key}",
                subnet_id=subnet.id,
                route_table_id=tables[key].id,
            )
        return tables

    def _build_s3_endpoint(self) -> None:
        # The endpoint is free of charge; image layers and job caches then cost no NAT gateway traffic.
        VpcEndpoint(
            self,
            "s3_endpoint",
            vpc_id=self._vpc.id,
            service_name=f"com.amazonaws.{self._environment.aws.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in self._private_route_tables.values()],
            tags=self._name_tag("s3"),
        )
