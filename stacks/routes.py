"""Default routes, and the NAT gateways to which those of a network lead."""

from collections.abc import Sequence

from cdktf_cdktf_provider_aws.data_aws_route_table import DataAwsRouteTable

EVERYWHERE = "0.0.0.0/0"


def find_nat_gateways(route_tables: Sequence[DataAwsRouteTable]) -> str:
    """Return the expression of a `for_each`: the NAT gateways of the tables' default routes, by their IDs."""
    routes = f"flatten([{', '.join(f'{table.fqn}.routes' for table in route_tables)}])"
    ids = f'[for route in {routes} : route.nat_gateway_id if route.cidr_block == "{EVERYWHERE}"]'
    return f"${{toset(compact({ids}))}}"
