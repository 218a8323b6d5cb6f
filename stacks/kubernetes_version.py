"""Checks of a cluster's Kubernetes version: one minor version at a time, and a warning about its age.

Not here: the versions that the settings accept (settings/cluster.py, versions.py).
"""

from cdktf import Precondition, TerraformLocal, TerraformStack
from cdktf_cdktf_provider_aws.data_aws_eks_cluster import DataAwsEksCluster
from cdktf_cdktf_provider_aws.data_aws_eks_clusters import DataAwsEksClusters
from cdktf_cdktf_provider_aws.eks_cluster import EksCluster

from stacks.versions import EKS_STANDARD_SUPPORT_ENDS


def upgrade_precondition(stack: TerraformStack, *, cluster_name: str, version: str) -> Precondition:
    """Return the precondition that refuses every version but the running one and the next one.

    A new cluster may have any version. Amazon EKS, "Update existing cluster to new Kubernetes version":
    one minor version at a time.
    """
    minor = version.partition(".")[2]
    # Terraform asks AWS, since the cluster's own attribute in the plan is already the new version.
    clusters = DataAwsEksClusters(stack, "clusters")
    cluster = DataAwsEksCluster(stack, "running_cluster", name=cluster_name)
    exists = f'contains({clusters.fqn}.names, "{cluster_name}")'
    cluster.add_override("count", f"${{{exists} ? 1 : 0}}")
    running = TerraformLocal(
        stack,
        "running_minor_version",
        f'${{try(tonumber(split(".", {cluster.fqn}[0].version)[1]), {minor})}}',
    ).fqn
    return Precondition(
        condition=f"${{contains([0, 1], {minor} - {running})}}",
        error_message=f"cluster.kubernetes_version: {version}: the cluster runs 1.${{{running}}}. "
        f"Accepted: 1.${{{running}}} or 1.${{{running} + 1}}, since EKS upgrades one minor version at a "
        "time.",
    )


def warn_after_standard_support(stack: TerraformStack, *, cluster: EksCluster, version: str) -> None:
    """Let each plan warn after the version's last day of standard support; synth reads no clock."""
    end = EKS_STANDARD_SUPPORT_ENDS.get(version)
    if end is None:
        return
    warning = (
        f"cluster.kubernetes_version: EKS's standard support of {version} ended on {end}. AWS upgrades "
        "the control plane by itself (support_type STANDARD) or charges extra (EXTENDED): choose a newer "
        "version."
    )
    # Terraform requires that a check refers to an object of the configuration.
    is_changed = f'{cluster.fqn}.version != "{version}"'
    condition = f'${{{is_changed} || timecmp(plantimestamp(), "{end}T23:59:59Z") <= 0}}'
    stack.add_override(
        "check.kubernetes_standard_support",
        {"assert": [{"condition": condition, "error_message": warning}]},
    )
