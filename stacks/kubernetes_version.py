"""Checks of a cluster's Kubernetes version: one minor version at a time, and a warning about its age.

Not here: the versions that the settings accept (settings/).
"""

from cdktf import Precondition, TerraformLocal, TerraformStack
from cdktf_cdktf_provider_aws.data_aws_eks_cluster_versions import DataAwsEksClusterVersions

from stacks.running_cluster import RunningCluster


def upgrade_precondition(stack: TerraformStack, *, running: RunningCluster, version: str) -> Precondition:
    """Return the precondition that refuses every version but the running one and the next one.

    A new cluster may have any version. Amazon EKS, "Update existing cluster to new Kubernetes version":
    one minor version at a time.
    """
    minor = version.partition(".")[2]
    running_minor = TerraformLocal(
        stack,
        "running_minor_version",
        f'${{try(tonumber(split(".", {running.address}.version)[1]), {minor})}}',
    ).fqn
    return Precondition(
        condition=f"${{contains([0, 1], {minor} - {running_minor})}}",
        error_message=f"cluster.kubernetes_version: {version}: the cluster runs 1.${{{running_minor}}}. "
        f"Accepted: 1.${{{running_minor}}} or 1.${{{running_minor} + 1}}, since EKS upgrades one minor "
        "version at a time.",
    )


class SupportedVersion:
    """The support that EKS gives to a version on the day of the plan; synth reads no clock."""

    def __init__(self, stack: TerraformStack, version: str) -> None:
        """Let every plan ask EKS about the version."""
        versions = DataAwsEksClusterVersions(stack, "kubernetes_version", cluster_versions_only=[version])
        listed = f"{versions.fqn}.cluster_versions"
        found = f'[for item in {listed} : item if item.cluster_version == "{version}"][0]'
        self._versions = f"{listed}[*].cluster_version"
        self._stack = stack
        self._version = version
        self._is_standard = f'try({found}.version_status, "") != "EXTENDED_SUPPORT"'
        self._end = (
            f'${{try(formatdate("YYYY-MM-DD", {found}.end_of_standard_support_date), "an earlier day")}}'
        )

    def existence_precondition(self) -> Precondition:
        """Return the precondition that refuses a version that EKS does not have in this region."""
        return Precondition(
            condition=f'${{contains({self._versions}, "{self._version}")}}',
            error_message=f"cluster.kubernetes_version: {self._version}: EKS does not have it. Accepted: "
            f'${{join(", ", sort({self._versions}))}}.',
        )

    def creation_precondition(self, running: RunningCluster) -> Precondition:
        """Return the precondition that refuses a new cluster with support_type STANDARD.

        Amazon EKS, "Create an Amazon EKS cluster": a version in extended support can't be created with
        standard support.
        """
        return Precondition(
            condition=f"${{{running.exists} || {self._is_standard}}}",
            error_message=f"cluster.kubernetes_version: {self._version}: its standard support ended on "
            f"{self._end}, so EKS creates no cluster of it with support_type STANDARD. Accepted: a newer "
            "version, or cluster.support_type: EXTENDED, which costs more.",
        )

    def support_type_precondition(self, running: RunningCluster, support_type: str) -> Precondition:
        """Return the precondition that refuses another support_type for a cluster in extended support.

        Amazon EKS, "View current cluster upgrade policy": it can be changed only in standard support. An
        upgrade comes first, so the version of the settings counts.
        """
        present = f"{running.address}.upgrade_policy[0].support_type"
        is_kept = f'try({present} == "{support_type}", true)'
        return Precondition(
            condition=f"${{!{running.exists} || {self._is_standard} || {is_kept}}}",
            error_message=f"cluster.support_type: {support_type}: the standard support of {self._version} "
            f"ended on {self._end}, and EKS changes no support_type afterwards. Accepted: "
            f'${{try({present}, "")}}, which the cluster has, or an upgrade to a version in standard '
            "support.",
        )

    def warn_after_standard_support(self) -> None:
        """Let each plan warn while the version is in extended support."""
        warning = (
            f"cluster.kubernetes_version: EKS's standard support of {self._version} ended on {self._end}. "
            "AWS upgrades the control plane by itself (support_type STANDARD) or charges extra (EXTENDED): "
            "choose a newer version."
        )
        self._stack.add_override(
            "check.kubernetes_standard_support",
            {"assert": [{"condition": f"${{{self._is_standard}}}", "error_message": warning}]},
        )
