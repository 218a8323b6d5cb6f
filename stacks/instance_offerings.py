"""The instance types that each availability zone offers, asked from AWS by every plan.

EKS creates no node group in a zone that offers none of its types ("Your requested instance type … is not
supported in your requested Availability Zone"). Without this check it says so after the cluster is deployed.
"""

import json
from collections.abc import Collection, Sequence

from cdktf import Precondition, TerraformLocal, TerraformStack
from cdktf_cdktf_provider_aws.data_aws_ec2_instance_type_offerings import (
    DataAwsEc2InstanceTypeOfferings,
    DataAwsEc2InstanceTypeOfferingsFilter,
)


class InstanceOfferings:
    """The offered types of each zone, as a Terraform local."""

    def __init__(self, stack: TerraformStack, types: Collection[str]) -> None:
        """Read which zones offer these types, and add `local.offered_instance_types` to `stack`."""
        found = DataAwsEc2InstanceTypeOfferings(
            stack,
            "instance_type_offerings",
            location_type="availability-zone",
            filter=[DataAwsEc2InstanceTypeOfferingsFilter(name="instance-type", values=sorted(types))],
        ).fqn
        by_zone = f"{{for index, zone in {found}.locations : zone => {found}.instance_types[index]...}}"
        self._local = TerraformLocal(stack, "offered_instance_types", f"${{{by_zone}}}").fqn

    def require(self, entry: str, types: Sequence[str], zones: Sequence[str]) -> list[Precondition]:
        """Return the preconditions of a node group: each of its zones offers one of its types."""
        return [
            Precondition(
                condition=f"${{length(setintersection({json.dumps(types)}, {self._offered_in(zone)})) > 0}}",
                error_message=f"cluster.node_groups.{entry}.instance_types: {', '.join(types)}: {zone} "
                "offers none. Accepted: in every zone of network.availability_zones one of the types.",
            )
            for zone in zones
        ]

    def _offered_in(self, zone: str) -> str:
        return f'lookup({self._local}, "{zone}", [])'
