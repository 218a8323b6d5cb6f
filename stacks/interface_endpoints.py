"""The interface endpoints of a VPC: private ways to AWS's services, without the NAT gateway.

Not here: the gateway endpoint of S3, which every network has (network.py).
"""

from collections.abc import Sequence

from cdktf import TerraformStack
from cdktf_cdktf_provider_aws.security_group import SecurityGroup, SecurityGroupIngress
from cdktf_cdktf_provider_aws.vpc_endpoint import VpcEndpoint

HTTPS = 443


def build_interface_endpoints(
    stack: TerraformStack,
    *,
    services: Sequence[str],
    region: str,
    vpc_id: str,
    vpc_cidr: str,
    subnet_ids: Sequence[str],
    resource_prefix: str,
) -> None:
    """Add an endpoint of each service to the subnets; the whole VPC reaches it over HTTPS."""
    name = f"{resource_prefix}-endpoints"
    group = SecurityGroup(
        stack,
        "endpoints_security_group",
        name=name,
        description="HTTPS from the VPC to interface endpoints",
        vpc_id=vpc_id,
        ingress=[
            SecurityGroupIngress(
                description="The VPC", protocol="tcp", from_port=HTTPS, to_port=HTTPS, cidr_blocks=[vpc_cidr]
            )
        ],
        tags={"Name": name},
    )
    for service in services:
        VpcEndpoint(
            stack,
            endpoint_id(service),
            vpc_id=vpc_id,
            service_name=f"com.amazonaws.{region}.{service}",
            vpc_endpoint_type="Interface",
            private_dns_enabled=True,  # programs find the endpoint under the service's public name
            subnet_ids=list(subnet_ids),
            security_group_ids=[group.id],
            tags={"Name": f"{resource_prefix}-{service}"},
        )


def endpoint_id(service: str) -> str:
    """Return the Terraform name of a service's endpoint."""
    return f"endpoint_{service.replace('.', '_')}"
