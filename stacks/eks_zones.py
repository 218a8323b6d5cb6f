"""Availability zones that this account does not have, or that EKS does not take: refused by the plan."""

import json

from cdktf import Precondition

# Amazon EKS, "View Amazon EKS networking requirements for VPC and subnets": IDs of zones that EKS does not
# take. The letter of such a zone differs from account to account.
ZONE_IDS_WITHOUT_EKS = ("use1-az3", "usw1-az2", "cac1-az3")


def require_zone(zones: str, index: int, zone: str) -> list[Precondition]:
    """Return the preconditions of a subnet in a zone of the settings.

    Args:
        zones: Address of the data source that lists the zones of the account.
        index: The zone's place in the settings.
        zone: Its name.

    """
    zone_id = f'{zones}.zone_ids[index({zones}.names, "{zone}")]'
    return [
        Precondition(
            condition=f'${{contains({zones}.names, "{zone}")}}',
            error_message=f"network.availability_zones.{index}: {zone}: AWS has no such zone for this "
            f'account. Accepted: ${{join(", ", {zones}.names)}}.',
        ),
        Precondition(
            condition=f"${{!try({is_zone_without_eks(zone_id)}, false)}}",
            error_message=refuse_zone(index, zone),
        ),
    ]


def is_zone_without_eks(zone_id: str) -> str:
    """Return the expression that is true if EKS does not take the zone of this ID."""
    return f"contains({json.dumps(ZONE_IDS_WITHOUT_EKS)}, {zone_id})"


def refuse_zone(index: int, zone: str) -> str:
    """Return the message about a zone that EKS does not take."""
    return (
        f"network.availability_zones.{index}: {zone}: EKS does not take this zone (its ID is one of "
        f"{', '.join(ZONE_IDS_WITHOUT_EKS)}). Accepted: other zones of the region."
    )
