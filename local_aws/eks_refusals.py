"""Requests that ministack accepts, and EKS refuses for zones, versions, numbers of nodes and quotas.

Each function returns the code and the message of EKS's error, or None.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import moto.ec2
from ministack.core.responses import get_region
from ministack.services import ec2, eks, kms

Refusal = tuple[str, str] | None

INVALID = "InvalidParameterException"

# Amazon EKS, "View and manage Amazon EKS and Fargate service quotas".
MAX_NODE_GROUPS = 30
# Amazon EKS, "View Amazon EKS networking requirements for VPC and subnets".
ZONE_IDS_WITHOUT_EKS = {"use1-az3", "usw1-az2", "cac1-az3"}
# Amazon EKS, "Understand the Kubernetes version lifecycle on EKS": the last day of standard support. For the
# emulated EKS it is always 2026-11-26, so that tests do not depend on their day.
VERSIONS = {
    "1.33": ("2026-07-29", "EXTENDED_SUPPORT"),
    "1.34": ("2026-12-02", "STANDARD_SUPPORT"),
    "1.35": ("2027-03-27", "STANDARD_SUPPORT"),
    "1.36": ("2027-08-02", "STANDARD_SUPPORT"),
}


def refuse_cluster(body: dict[str, Any]) -> Refusal:
    """Refuse a new cluster in a zone without EKS, or with standard support of a version that has none."""
    for zone, zone_id in _read_zones(body["resourcesVpcConfig"]["subnetIds"]).items():
        if zone_id in ZONE_IDS_WITHOUT_EKS:
            return "UnsupportedAvailabilityZoneException", (
                f"Cannot create cluster '{body['name']}' because {zone}, the targeted availability zone, "
                "does not currently have sufficient capacity to support the cluster."
            )
    version, policy = body.get("version", ""), body.get("upgradePolicy", {})
    _, status = VERSIONS.get(version, ("", ""))
    if status == "EXTENDED_SUPPORT" and policy.get("supportType") == "STANDARD":
        return INVALID, f"Kubernetes {version} is in extended support: supportType must be EXTENDED"
    return None


def refuse_subnets(network: dict[str, Any], changed: dict[str, Any]) -> Refusal:
    """Refuse to move a control plane to other zones.

    Amazon EKS, "View Amazon EKS networking requirements for VPC and subnets": all subnets "must be in the
    same set of AZs as originally provided when you created the cluster".
    """
    before, after = (",".join(sorted(_read_zones(item["subnetIds"]))) for item in (network, changed))
    if before == after:
        return None
    return INVALID, (
        f"Provided subnets belong to the AZs '{after}'. But they should belong to the exact set of AZs "
        f"'{before}' in which subnets were provided during cluster creation."
    )


def refuse_node_group(cluster: str, body: dict[str, Any]) -> Refusal:
    """Refuse a node group of another version, without its types or its key, or one too many."""
    version = eks._clusters.get(cluster, {}).get("version")
    if body.get("version", version) != version:  # EKS API, CreateNodegroup
        return INVALID, f"Nodegroup version must be the cluster's, {version}"
    if sum(name.startswith(f"{cluster}/") for name in eks._nodegroups) >= MAX_NODE_GROUPS:
        message = f"The number of node groups of cluster {cluster} is at its limit of {MAX_NODE_GROUPS}"
        return "ResourceLimitExceededException", message
    if key := _find_locked_key(body.get("launchTemplate", {}).get("id")):
        # EKS takes the group, and it fails some minutes later.
        return "InvalidRequestException", f"Client.InvalidKMSKey.InvalidState: Auto Scaling may not use {key}"
    types = body["instanceTypes"]
    offered = {(item["InstanceType"], item["Location"]) for item in read_offerings()}
    for zone in _read_zones(body["subnets"]):
        if not any((name, zone) in offered for name in types):
            return "InvalidRequestException", (
                f"Your requested instance type ({types[0]}) is not supported in your requested Availability "
                f"Zone ({zone})."
            )
    return None


def _find_locked_key(template_id: str | None) -> str | None:
    """Return the key of a launch template's volumes, if Auto Scaling's role has no grant for it.

    Amazon EC2 Auto Scaling, "Required AWS KMS key policy for use with encrypted volumes".
    """
    versions = ec2._launch_templates.get(template_id, {}).get("Versions", [])
    mappings = versions[-1]["LaunchTemplateData"].get("BlockDeviceMappings", []) if versions else []
    keys = {mapping["Ebs"]["KmsKeyId"] for mapping in mappings if mapping.get("Ebs", {}).get("KmsKeyId")}
    granted = {
        grant["KeyId"]
        for grant in kms._grants.values()
        if grant["GranteePrincipal"].endswith("/AWSServiceRoleForAutoScaling")
    }
    return next(iter(keys - granted), None)


def refuse_scaling(scaling: dict[str, int]) -> Refusal:
    """Refuse numbers of nodes that do not fit together. EKS takes a lower desiredSize as it is.

    The messages: terraform-aws-modules/terraform-aws-eks issue 3306.
    """
    least, desired, most = (scaling[key] for key in ("minSize", "desiredSize", "maxSize"))
    if least > desired:
        return INVALID, f"Minimum capacity {least} can't be greater than desired size {desired}"
    if desired > most:
        return INVALID, f"desired capacity {desired} can't be greater than max size {most}"
    return None


def read_offerings() -> list[dict[str, str]]:
    """Return the instance types that each zone of the region offers, from moto's copy of EC2's answer."""
    folder = Path(moto.ec2.__file__).parent / "resources" / "instance_type_offerings" / "availability-zone"
    offerings: list[dict[str, str]] = json.loads(
        gzip.decompress((folder / f"{get_region()}.json.gz").read_bytes())
    )
    return offerings


def _read_zones(subnet_ids: list[str]) -> dict[str, str]:
    """Return the zones of subnets with their IDs."""
    subnets = [ec2._subnets[subnet_id] for subnet_id in subnet_ids if subnet_id in ec2._subnets]
    return {subnet["AvailabilityZone"]: subnet["AvailabilityZoneId"] for subnet in subnets}
