"""Warnings about add-ons that an upgrade of Kubernetes leaves behind.

EKS keeps an add-on at its version until somebody changes it. Its upgrade checks may refuse a Kubernetes
version that an add-on does not fit (EKS API, UpdateClusterVersion: "readiness checks").
Not here: the versions themselves (settings/cluster.py).
"""

import json
from collections.abc import Sequence

from cdktf import TerraformLocal, TerraformStack
from cdktf_cdktf_provider_aws.data_aws_eks_addon import DataAwsEksAddon
from cdktf_cdktf_provider_aws.data_aws_eks_addon_version import DataAwsEksAddonVersion
from cdktf_cdktf_provider_aws.eks_addon import EksAddon

from stacks.running_cluster import RunningCluster

_EACH_NAME = "${each.key}"


def warn_before_upgrade(
    stack: TerraformStack, *, running: RunningCluster, cluster_name: str, version: str, addons: Sequence[str]
) -> None:
    """Let a plan that upgrades the cluster name the add-ons that should be updated in a deployment before.

    A plan that does not upgrade reads and says nothing.

    Args:
        stack: Scope of the data sources and the check.
        running: The cluster as it is.
        cluster_name: Its name.
        version: The Kubernetes version of the settings.
        addons: Names of the add-ons whose versions are made for several Kubernetes versions.

    """
    running_version = f"{running.address}.version"
    names = f'${{toset(try({running_version} != "{version}", false) ? {json.dumps(list(addons))} : [])}}'
    deployed = DataAwsEksAddon(stack, "deployed_addon", cluster_name=cluster_name, addon_name=_EACH_NAME)
    wanted = DataAwsEksAddonVersion(stack, "default_addon", addon_name=_EACH_NAME, kubernetes_version=version)
    newest = DataAwsEksAddonVersion(
        stack,
        "newest_addon_before_upgrade",
        addon_name=_EACH_NAME,
        kubernetes_version=f"${{{running_version}}}",
        most_recent=True,
    )
    for read in (deployed, wanted, newest):
        read.add_override("for_each", names)
    # EKS's default for the new version, or the newest that the present one offers if that is older.
    default, most = f"{wanted.fqn}[name].version", f"{newest.fqn}[name].version"
    fits_both = f"{_rank(default)} <= {_rank(most)} ? {default} : {most}"
    is_old = f"{_rank('addon.addon_version')} < min({_rank(default)}, {_rank(most)})"
    old = TerraformLocal(
        stack,
        "addons_to_update_first",
        f"${{{{for name, addon in {deployed.fqn} : name => {fits_both} if {is_old}}}}}",
    ).fqn
    versions = f'${{join(", ", [for name, version in {old} : "${{name}}: ${{version}}"])}}'
    message = (
        f"cluster.kubernetes_version: {version}: add-ons are older than EKS's default for it, and EKS may "
        "refuse the upgrade. Deploy newer ones first, with the present kubernetes_version. "
        f"cluster.addon_versions: {{{versions}}}. vpc-cni moves by one minor version in a deployment. "
        "docs/operations.md (Upgrade) has the steps."
    )
    stack.add_override(
        "check.addons_before_upgrade",
        {"assert": [{"condition": f"${{length({old}) == 0}}", "error_message": message}]},
    )


def warn_of_old_kube_proxy(stack: TerraformStack, *, kube_proxy: EksAddon, version: str, region: str) -> None:
    """Let each plan warn of a kube-proxy that an upgrade has left behind.

    It has the minor version of a Kubernetes version. Kubernetes, "Version Skew Policy": it is not newer than
    the API server, and at most three minor versions older.
    """
    addon_version = f"{kube_proxy.fqn}.addon_version"
    minor = version.partition(".")[2]
    message = (
        f"cluster.addon_versions.kube-proxy: ${{{addon_version}}}: older than cluster.kubernetes_version, "
        f"{version}. Set the version that this command prints: aws eks describe-addon-versions "
        f"--region {region} --addon-name kube-proxy --kubernetes-version {version} "
        '--query "addons[].addonVersions[?compatibilities[0].defaultVersion].addonVersion" --output text'
    )
    condition = f'${{try(tonumber(split(".", {addon_version})[1]), {minor}) >= {minor}}}'
    stack.add_override(
        "check.kube_proxy_version", {"assert": [{"condition": condition, "error_message": message}]}
    )


def _rank(version: str) -> str:
    """Return the expression that turns a version, such as v1.20.4-eksbuild.2, into a number to compare."""
    return f'tonumber(join("", [for part in regexall("[0-9]+", {version}) : format("%06d", part)]))'
