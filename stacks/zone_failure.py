"""A warning of each plan: the failure of one zone would stop what `nat_gateways: one_per_zone` keeps going.

DNS, the autoscaler and the managers run on the first steady node group. If all its nodes are in the zone that
fails, nobody is left to add a node in another one.
"""

from collections.abc import Collection, Sequence

from cdktf import TerraformStack
from cdktf_cdktf_provider_aws.eks_node_group import EksNodeGroup


def warn_of_steady_nodes_in_few_zones(
    stack: TerraformStack,
    *,
    entry: str,
    min_size: int,
    groups: Collection[EksNodeGroup],
    availability_zones: Sequence[str],
) -> None:
    """Let each plan warn while the steady node group `entry` has fewer nodes than there are zones.

    `groups` are its node groups in EKS. With several, the first zones have the nodes of the minimum.
    """
    zones = len(availability_zones)
    sizes = ", ".join(f"{group.fqn}.scaling_config[0].min_size" for group in groups)
    stack.add_override(
        "check.steady_nodes",
        {
            "assert": [
                {
                    "condition": f"${{sum([{sizes}]) >= {zones}}}",
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
