"""The vCPU quotas of EC2, compared by every plan with what the node groups may use.

An instance above its quota does not start: a node group then fails to be created (VcpuLimitExceeded), or its
jobs wait. Each account has the quotas once for each region. A new account's may be too small for one node:
5 vCPU of the standard families, 0 of the others (Amazon EC2, "Amazon EC2 instance type quotas").
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cdktf import TerraformLocal, TerraformStack
from cdktf_cdktf_provider_aws.data_aws_servicequotas_service_quota import DataAwsServicequotasServiceQuota

from stacks.settings.node_groups import NodeGroupSettings


class QuotaClass(NamedTuple):
    """Instance families with a quota of their own: its codes, one for each way to pay.

    The names and codes: Amazon EC2, "Amazon EC2 instance type quotas" and "Spot Instance quotas".
    """

    key: str
    name: str
    on_demand: str
    spot: str | None  # EC2 has no Spot Instances of these families
    usage: str | None = None  # dimension Class of AWS/Usage; CloudWatch has no metric of the other families


STANDARD = QuotaClass(
    "standard", "Standard (A, C, D, H, I, M, R, T, Z) instances", "L-1216C47A", "L-34B43A08", "Standard"
)
_GRAPHICS = QuotaClass("g_and_vt", "G and VT instances", "L-DB2E81BA", "L-3819A6DF", "G")
_P = QuotaClass("p", "P instances", "L-417A185B", "L-7212CCBC", "P")
# By the beginning of an instance type (Amazon EC2, "Instance type naming conventions"). The longest one
# counts: dl2q is of DL and not of D, gr6 of G.
QUOTA_CLASSES: dict[str, QuotaClass | None] = {
    **dict.fromkeys(("a", "c", "d", "h", "i", "m", "r", "t", "z"), STANDARD),
    **dict.fromkeys(("g", "vt"), _GRAPHICS),
    "dl": QuotaClass("dl", "DL instances", "L-6E869C2A", "L-85EED4F7"),
    "f": QuotaClass("f", "F instances", "L-74FC7D96", "L-88CF9481", "F"),
    "hpc": QuotaClass("hpc", "HPC instances", "L-F7808C92", None),
    "inf": QuotaClass("inf", "Inf instances", "L-1945791B", "L-B5D1601B", "Inf"),
    "mac": None,  # they run on Dedicated Hosts, whose quotas count hosts
    "p": _P,
    "trn": QuotaClass("trn", "Trn instances", "L-2C3B7624", "L-6B0D517C"),
    "u": QuotaClass("high_memory", "High Memory instances", "L-43DA4232", None),
    "x": QuotaClass("x", "X instances", "L-7295265B", "L-E3A00192", "X"),
}
# On-Demand all P instances share one quota. The Spot quotas divide them, and none names a later one than P5.
SPOT_CLASSES = QUOTA_CLASSES | {
    **dict.fromkeys(("p2", "p3", "p4"), _P._replace(name="P4, P3 and P2 instances")),
    "p5": QuotaClass("p5", "P5 instances", "L-417A185B", "L-C4BD4855"),
    "p": None,
}


def find_quota_class(instance_type: str, capacity_type: str) -> QuotaClass | None:
    """Return the class of an instance type; None for a family that is newer than the table."""
    classes = SPOT_CLASSES if capacity_type == "SPOT" else QUOTA_CLASSES
    match = re.match("[a-z]+[0-9]*", instance_type)
    family = match.group() if match else ""
    beginnings = (family[:length] for length in range(len(family), 0, -1))
    return next((classes[name] for name in beginnings if name in classes), None)


def warn_above_quotas(
    stack: TerraformStack,
    settings: Mapping[str, NodeGroupSettings],
    *,
    instance_types: Mapping[str, str],
    zones: int,
    region: str,
) -> None:
    """Let each plan warn if the node groups' max_size together need more vCPUs than a quota has.

    Args:
        stack: Scope of the data sources and checks.
        settings: The node groups of the settings, by name.
        instance_types: Address of the data source of each instance type.
        zones: Number of availability zones.
        region: The region, for the command that asks AWS for more.

    """
    # Amazon EKS, "Understand each phase of node updates": a group gets up to two more nodes for each of its
    # zones. One group for each zone comes to the same.
    update_nodes = 2 * zones
    needs: dict[tuple[QuotaClass, str], dict[str, tuple[str, int]]] = {}
    for entry, group in settings.items():
        by_class: dict[QuotaClass, list[str]] = {}
        for name in group.instance_types:
            if (quota := find_quota_class(name, group.capacity_type)) is not None:
                by_class.setdefault(quota, []).append(f"{instance_types[name]}.default_vcpus")
        for quota, vcpus in by_class.items():
            entries = needs.setdefault((quota, group.capacity_type), {})
            entries[entry] = (f"max({', '.join(vcpus)})", group.max_size)
    for (quota, capacity_type), entries in needs.items():
        amounts = {
            "most": " + ".join(f"{most} * {vcpus}" for vcpus, most in entries.values()),
            "update": " + ".join(f"{update_nodes} * {vcpus}" for vcpus, _ in entries.values()),
        }
        _warn_above_quota(stack, quota, capacity_type, entries=list(entries), amounts=amounts, region=region)


def _warn_above_quota(
    stack: TerraformStack,
    quota: QuotaClass,
    capacity_type: str,
    *,
    entries: Sequence[str],
    amounts: Mapping[str, str],
    region: str,
) -> None:
    is_spot = capacity_type == "SPOT"
    code = quota.spot if is_spot else quota.on_demand
    if code is None:
        return
    key = f"{capacity_type.lower()}_{quota.key}"
    found = DataAwsServicequotasServiceQuota(
        stack, f"vcpu_quota_{key}", service_code="ec2", quota_code=code
    ).fqn
    local = TerraformLocal(
        stack, f"vcpus_{key}", {name: f"${{{amount}}}" for name, amount in amounts.items()}
    ).fqn
    what = f"{'Spot' if is_spot else 'On-Demand'} {quota.name}"
    message = (
        f"cluster.node_groups: max_size of {', '.join(entries)}: these nodes may use ${{{local}.most}} vCPU "
        f"together, and the account's quota of {what} in {region} is ${{{found}.value}} vCPU. Nodes above "
        "it do not start (VcpuLimitExceeded). Other instances of the account count, too. A rolling update "
        f"adds up to ${{{local}.update}} vCPU while it runs. Lower max_size, or ask for a higher quota: "
        f"aws service-quotas request-service-quota-increase --region {region} --service-code ec2 "
        f"--quota-code {code} --desired-value ${{{local}.most}}"
    )
    stack.add_override(
        f"check.vcpu_quota_{key}",
        {"assert": [{"condition": f"${{{local}.most <= {found}.value}}", "error_message": message}]},
    )
