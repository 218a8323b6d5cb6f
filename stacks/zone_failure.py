"""A warning of each plan: the failure of one zone would stop what `nat_gateways: one_per_zone` keeps going.

DNS, the autoscaler and the managers run on the first steady node group. If all its nodes are in the zone that
fails, no autoscaler runs that could add a node in another zone.
"""

from collections.abc import Sequence

from cdktf import Fn, Op, TerraformStack


def warn_of_steady_nodes_in_few_zones(
    stack: TerraformStack,
    *,
    entry: str,
    min_size: int,
    availability_zones: Sequence[str],
    subnet_ids: Sequence[str],
) -> None:
    """Let each plan warn if the steady node group `entry` has fewer nodes than there are zones.

    `subnet_ids` are the private subnets of the network, one for each zone.
    """
    zones = len(availability_zones)
    if min_size >= zones:
        return
    stack.add_override(
        "check.steady_nodes",
        {
            "assert": [
                {
                    # The settings have decided already. Terraform takes no condition without a reference.
                    "condition": Op.gte(min_size, Fn.length_of(subnet_ids)),
                    "error_message": f"cluster.node_groups.{entry}.min_size: {min_size}: with "
                    "network.nat_gateways: one_per_zone the other zones outlive the failure of one, but DNS, "
                    f"the autoscaler and the runner managers have {min_size} node(s) for {zones} zones. If "
                    "their zone fails, no job starts until you add a node in another one "
                    f'(docs/operations.md, "A zone fails"). Accepted: {zones} or more, one for each of '
                    f"{', '.join(availability_zones)}.",
                }
            ]
        },
    )
