"""Requests that ministack accepts, and EKS refuses for zones, versions, add-ons, numbers of nodes and quotas.

Each function returns the code and the message of EKS's error, or None.
"""

import functools
import gzip
import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ec2, eks, kms

from local_aws import eks_offers, service_quotas

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


def refuse_upgrade_policy(cluster: dict[str, Any], body: dict[str, Any]) -> Refusal:
    """Refuse another support type in extended support (Amazon EKS, "View current cluster upgrade policy")."""
    _, status = VERSIONS.get(cluster["version"], ("", ""))
    before, after = (item.get("upgradePolicy", {}).get("supportType") for item in (cluster, body))
    if status == "EXTENDED_SUPPORT" and after not in (None, before):
        return INVALID, f"Kubernetes {cluster['version']} is in extended support: supportType can't change"
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


def refuse_upgrade(cluster: str, body: dict[str, Any]) -> Refusal:
    """Refuse another Kubernetes version than the next one, and an upgrade that node groups or add-ons stop.

    EKS API, UpdateClusterVersion. The messages: terraform-provider-aws issue 42031 has the one about add-ons,
    public reports that about the versions.
    """
    version, wanted = eks._clusters[cluster]["version"], body["version"]
    if _minor(wanted) != _minor(version) + 1:
        return INVALID, f"Unsupported Kubernetes minor version update from {version} to {wanted}"
    groups = [item for name, item in eks._nodegroups.items() if name.startswith(f"{cluster}/")]
    if any(group["version"] != version for group in groups):
        return INVALID, f"Nodegroups of cluster {cluster} must have its version, {version}, before an upgrade"
    addons = [item for name, item in eks._addons.items() if name.startswith(f"{cluster}/")]
    fit = all(eks_offers.fits(addon["addonName"], addon["addonVersion"], wanted) for addon in addons)
    if not fit and not body.get("force"):
        return "InvalidStateException", (
            "Upgrade readiness issues detected. Call the EKS ListInsights API to view upgrade blocking "
            "issues detected by EKS. Pass the force flag to override upgrade readiness errors and proceed "
            "with upgrade."
        )
    return None


def refuse_addon(cluster: str, name: str, version: str | None) -> Refusal:
    """Refuse a version of an add-on that does not fit the cluster, and a jump of the VPC CNI.

    The messages: awsdocs/amazon-eks-user-guide pull request 1170, terraform-aws-modules/terraform-aws-eks
    issue 2749.
    """
    if version is None or cluster not in eks._clusters:
        return None
    if not eks_offers.fits(name, version, eks._clusters[cluster]["version"]):
        return INVALID, "Addon version specified is not supported"
    present = eks._addons.get(f"{cluster}/{name}", {}).get("addonVersion")
    if name == "vpc-cni" and present and abs(_minor(version) - _minor(present)) > 1:
        return INVALID, "Updating VPC-CNI can only go up or down 1 minor version at a time"
    return None


def refuse_node_group_update(cluster: str, group: dict[str, Any], body: dict[str, Any]) -> Refusal:
    """Refuse nodes newer than the control plane, and the way back to an older version or release.

    EKS API, UpdateNodegroupVersion: "You cannot roll back a node group to an earlier Kubernetes version or
    AMI version." Kubernetes, "Version Skew Policy": a kubelet is not newer than the API server.
    """
    newest, present, wanted = eks._clusters[cluster]["version"], group["version"], body["version"]
    if not _minor(present) <= _minor(wanted) <= _minor(newest):
        return INVALID, f"Nodegroup version {wanted} must be from {present}, which it has, to {newest}"
    return _refuse_release(body.get("releaseVersion"), wanted, group["releaseVersion"])


def _refuse_release(release: str | None, version: str, present: str) -> Refusal:
    if release is None:
        return None
    if not release.startswith(f"{version}."):
        return INVALID, f"Requested release version {release} is not valid for kubernetes version {version}."
    if eks_offers.numbers(release) < eks_offers.numbers(present):
        return INVALID, f"Requested release version {release} is older than the nodegroup's, {present}"
    return None


def refuse_node_group(cluster: str, body: dict[str, Any]) -> Refusal:
    """Refuse a node group of another version, without its types or its key, or one too many."""
    version = eks._clusters.get(cluster, {}).get("version")
    if body.get("version", version) != version:  # EKS API, CreateNodegroup
        return INVALID, f"Nodegroup version must be the cluster's, {version}"
    if refusal := _refuse_release(body["releaseVersion"], version, present=""):
        return refusal
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
    return _refuse_above_quota(body)


def _refuse_above_quota(body: dict[str, Any]) -> Refusal:
    """Refuse the nodes of a new group that would be above a vCPU quota, beside all nodes that run.

    EKS takes the group, and its creation fails some minutes later. A group that grows later does not fail:
    its nodes above the quota never start.
    """
    name, capacity_type = body["instanceTypes"][0], body.get("capacityType", "ON_DEMAND")
    nodes = body.get("scalingConfig", {}).get("desiredSize", 0)
    quota = service_quotas.find_quota(name, capacity_type)
    if nodes == 0 or quota is None:
        return None
    running = [
        (group["instanceTypes"][0], group["scalingConfig"]["desiredSize"])
        for group in eks._nodegroups.values()
        if service_quotas.find_quota(group["instanceTypes"][0], group["capacityType"]) == quota
    ]
    vcpus = {key: facts["VCpuInfo"]["DefaultVCpus"] for key, facts in read_instance_types().items()}
    if sum(count * vcpus[key] for key, count in [(name, nodes), *running]) <= quota[1]:
        return None
    return "InvalidRequestException", (
        "AsgInstanceLaunchFailures: Could not launch instances. VcpuLimitExceeded - You have "
        f"requested more vCPU capacity than your current vCPU limit of {quota[1]:.0f} allows for the "
        f"instance bucket that the specified instance type belongs to ({quota[0]})."
    )


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


@functools.cache
def read_instance_types() -> dict[str, Any]:
    """Return EC2's facts about instance types by name, from moto's copy of its answer."""
    facts: dict[str, Any] = _read_copy_of_moto("instance_types")
    return facts


def read_offerings() -> list[dict[str, str]]:
    """Return the instance types that each zone of the region offers, from moto's copy of EC2's answer."""
    copy = f"instance_type_offerings/availability-zone/{get_region()}"
    offerings: list[dict[str, str]] = _read_copy_of_moto(copy)
    return offerings


def _read_copy_of_moto(name: str) -> Any:
    # `import moto.ec2` would take longer than all other imports of the emulator together.
    file = distribution("moto").locate_file(f"moto/ec2/resources/{name}.json.gz")
    return json.loads(gzip.decompress(Path(str(file)).read_bytes()))


def _read_zones(subnet_ids: list[str]) -> dict[str, str]:
    """Return the zones of subnets with their IDs."""
    subnets = [ec2._subnets[subnet_id] for subnet_id in subnet_ids if subnet_id in ec2._subnets]
    return {subnet["AvailabilityZone"]: subnet["AvailabilityZoneId"] for subnet in subnets}


def _minor(version: str) -> int:
    """Return 35 of 1.35, 1.35.2-20260520 or v1.35.3-eksbuild.21."""
    return eks_offers.numbers(version)[1]
