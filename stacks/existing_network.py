"""The network stack of an environment that uses an existing VPC.

Intent: the stack reads the VPC from AWS and publishes the same outputs as network.py. A plan refuses a VPC
in which a cluster can't work. The stack creates, changes and destroys nothing.
Not here: creating a VPC (network.py).
"""

from collections.abc import Mapping, Sequence
from typing import get_args

from cdktf import Postcondition, Precondition, TerraformResourceLifecycle, Token
from cdktf_cdktf_provider_aws.data_aws_nat_gateway import DataAwsNatGateway
from cdktf_cdktf_provider_aws.data_aws_route_table import DataAwsRouteTable, DataAwsRouteTableFilter
from cdktf_cdktf_provider_aws.data_aws_route_tables import DataAwsRouteTables, DataAwsRouteTablesFilter
from cdktf_cdktf_provider_aws.data_aws_subnet import DataAwsSubnet
from cdktf_cdktf_provider_aws.data_aws_subnets import DataAwsSubnets, DataAwsSubnetsFilter
from cdktf_cdktf_provider_aws.data_aws_vpc import DataAwsVpc
from constructs import Construct

from stacks.eks_zones import is_zone_without_eks, refuse_zone
from stacks.environment import Environment
from stacks.environment_stack import EnvironmentStack
from stacks.interface_endpoints import endpoint_id
from stacks.network import NetworkOutputs
from stacks.routes import EVERYWHERE, find_nat_gateways
from stacks.settings.network import EndpointService, ExistingNetworkSettings
from stacks.state import publish_outputs

# Resources of network.py. An environment that created its VPC may later name it as an existing one; without
# `removed` blocks Terraform would then plan to destroy these resources.
NETWORK_RESOURCES = (
    "aws_vpc.vpc",
    "aws_default_security_group.default_security_group",
    "aws_internet_gateway.internet_gateway",
    "aws_route_table.public_route_table",
    "aws_route.internet_route",
    "aws_vpc_endpoint.s3_endpoint",
    "aws_flow_log.flow_log",
    "aws_cloudwatch_log_group.flow_logs",
    "aws_iam_role.flow_logs_role",
    "aws_iam_role_policy.flow_logs_role_policy",
    "aws_security_group.endpoints_security_group",
    *(f"aws_vpc_endpoint.{endpoint_id(service)}" for service in get_args(EndpointService)),
)
# Amazon EKS, "View Amazon EKS networking requirements for VPC and subnets": 6 are needed, 16 recommended.
FREE_ADDRESSES = 16

ZONE_RESOURCES = (
    "aws_subnet.public_subnet",
    "aws_route_table_association.public_route_table_association",
    "aws_eip.nat_address",
    "aws_nat_gateway.nat_gateway",
    "aws_subnet.private_subnet",
    "aws_route_table.private_route_table",
    "aws_route.nat_route",
    "aws_route_table_association.private_route_table_association",
)


class ExistingNetworkStack(EnvironmentStack):
    """A VPC and its subnets, read and checked."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: Environment,
        availability_zones: Sequence[str],
        settings: ExistingNetworkSettings,
    ) -> None:
        """Read the network that `settings` names; its subnets are in the order of `availability_zones`."""
        super().__init__(scope, id_, environment=environment)
        self._settings = settings
        # The letter of a zone is part of the ids of its data sources, as in network.py.
        self._zones = {zone[-1]: zone for zone in availability_zones}

        self._subnets_of_vpc = DataAwsSubnets(
            self, "subnets", filter=[DataAwsSubnetsFilter(name="vpc-id", values=[settings.vpc_id])]
        )
        self._vpc = self._read_vpc(environment.aws.region)
        private_subnets = self._read_subnets("private", settings.private_subnet_ids)
        public_subnets = self._read_subnets("public", settings.public_subnet_ids)
        self._warn_of_full_subnets(private_subnets)
        route_tables = self._read_route_tables(private_subnets)
        self._forget_network_resources()

        publish_outputs(
            self,
            NetworkOutputs(
                vpc_id=self._vpc.id,
                vpc_cidr=self._vpc.cidr_block,
                availability_zones=list(availability_zones),
                private_subnet_ids=[subnet.id for subnet in private_subnets.values()],
                public_subnet_ids=[subnet.id for subnet in public_subnets.values()],
                private_route_table_ids=[table.route_table_id for table in route_tables],
                nat_public_ips=self._read_nat_addresses(route_tables),
            ),
        )

    def _read_vpc(self, region: str) -> DataAwsVpc:
        vpc_id = self._settings.vpc_id
        vpc_exists = Precondition(
            condition=f"${{length({self._subnets_of_vpc.fqn}.ids) > 0}}",
            error_message=f"network.existing.vpc_id: {vpc_id} is not a VPC with subnets in {region} of this "
            "account. Accepted: the ID of a VPC that has subnets there.",
        )
        # Amazon EKS, "Cluster API server endpoint": only the VPC's DNS knows the private endpoint.
        dns_is_on = Postcondition(
            condition="${self.enable_dns_support && self.enable_dns_hostnames}",
            error_message=f"network.existing.vpc_id: {vpc_id} lacks DNS resolution or DNS hostnames, so "
            "nodes would not find the cluster. Accepted: a VPC with both switched on.",
        )
        return DataAwsVpc(
            self,
            "vpc",
            id=vpc_id,
            lifecycle=TerraformResourceLifecycle(precondition=[vpc_exists], postcondition=[dns_is_on]),
        )

    def _read_subnets(self, kind: str, ids: Sequence[str]) -> dict[str, DataAwsSubnet]:
        subnets = {}
        for index, (subnet_id, (key, zone)) in enumerate(zip(ids, self._zones.items(), strict=False)):
            subject = f"network.existing.{kind}_subnet_ids.{index}: {subnet_id}"
            is_in_vpc = Precondition(
                condition=f'${{contains({self._subnets_of_vpc.fqn}.ids, "{subnet_id}")}}',
                error_message=f"{subject} is not a subnet of {self._settings.vpc_id}. Accepted: a subnet "
                f"of the VPC, in {zone}.",
            )
            checks = [
                Postcondition(
                    condition=f'${{self.availability_zone == "{zone}"}}',
                    error_message=f"{subject} is in ${{self.availability_zone}}. Accepted: a subnet in "
                    f"{zone}, which has this place in network.availability_zones.",
                ),
                Postcondition(
                    condition=f"${{!{is_zone_without_eks('self.availability_zone_id')}}}",
                    error_message=refuse_zone(index, zone),
                ),
            ]
            if kind == "private":
                checks.append(
                    Postcondition(
                        condition="${!self.map_public_ip_on_launch}",
                        error_message=f"{subject} gives instances public addresses. Accepted: a private "
                        "subnet, since the internet must not reach nodes.",
                    )
                )
            subnets[key] = DataAwsSubnet(
                self,
                f"{kind}_subnet_{key}",
                id=subnet_id,
                lifecycle=TerraformResourceLifecycle(precondition=[is_in_vpc], postcondition=checks),
            )
        return subnets

    def _warn_of_full_subnets(self, subnets: Mapping[str, DataAwsSubnet]) -> None:
        """Let each plan warn of a subnet that is nearly full.

        It is a check, not a postcondition: many running jobs must stop no plan.
        """
        for index, (key, subnet) in enumerate(subnets.items()):
            free = f"{subnet.fqn}.available_ip_address_count"
            warning = (
                f"network.existing.private_subnet_ids.{index}: ${{{free}}} addresses are free in "
                f"${{{subnet.fqn}.id}}. EKS recommends {FREE_ADDRESSES} for itself, and a node takes 30 "
                "or more at its start: use a larger subnet, or set cluster.minimum_ip_target and "
                'cluster.warm_ip_target (docs/operations.md, "Few addresses").'
            )
            self.add_override(
                f"check.free_addresses_{key}",
                {"assert": [{"condition": f"${{{free} >= {FREE_ADDRESSES}}}", "error_message": warning}]},
            )

    def _read_route_tables(self, subnets: Mapping[str, DataAwsSubnet]) -> list[DataAwsRouteTable]:
        """Return the route table of each subnet: its own one, or the main table of the VPC."""
        main = DataAwsRouteTable(
            self,
            "main_route_table",
            vpc_id=self._vpc.id,
            filter=[DataAwsRouteTableFilter(name="association.main", values=["true"])],
        )
        tables = []
        for index, (key, subnet) in enumerate(subnets.items()):
            associated = DataAwsRouteTables(
                self,
                f"private_route_tables_{key}",
                filter=[DataAwsRouteTablesFilter(name="association.subnet-id", values=[subnet.id])],
            )
            leads_to_gateway = f'route.cidr_block == "{EVERYWHERE}" && startswith(route.gateway_id, "igw-")'
            has_no_public_route = Postcondition(
                condition=f"${{!anytrue([for route in self.routes : {leads_to_gateway}])}}",
                error_message=f"network.existing.private_subnet_ids.{index}: the route table of "
                f"{self._settings.private_subnet_ids[index]} leads to an internet gateway, which "
                "nodes without public addresses can't use. Accepted: a private subnet.",
            )
            tables.append(
                DataAwsRouteTable(
                    self,
                    f"private_route_table_{key}",
                    route_table_id=f"${{try({associated.fqn}.ids[0], {main.fqn}.route_table_id)}}",
                    lifecycle=TerraformResourceLifecycle(postcondition=[has_no_public_route]),
                )
            )
        return tables

    def _read_nat_addresses(self, route_tables: Sequence[DataAwsRouteTable]) -> list[str]:
        """Return the public addresses of the NAT gateways in the route tables."""
        gateway = DataAwsNatGateway(self, "nat_gateway", id="${each.value}")
        gateway.add_override("for_each", find_nat_gateways(route_tables))
        # A private NAT gateway has no public address.
        addresses = f'[for gateway in {gateway.fqn} : gateway.public_ip if gateway.public_ip != ""]'
        return Token.as_list(f"${{{addresses}}}")

    def _forget_network_resources(self) -> None:
        per_zone = [f"{address}_{key}" for key in self._zones for address in ZONE_RESOURCES]
        # cdktf 0.21 has no class for `removed`.
        self.add_override(
            "removed",
            [
                {"from": address, "lifecycle": {"destroy": False}}
                for address in (*NETWORK_RESOURCES, *per_zone)
            ],
        )
