"""Versions that the emulated EKS offers for each Kubernetes version: add-ons and AMIs.

A small part of AWS's own answers, as users recorded them in public repositories between March and October
2026 (DescribeAddonVersions; the public parameters under /aws/service/eks/optimized-ami). Tests do not depend
on their day. Where nobody recorded the limits of an add-on's version, and for a version that is not listed
here, every Kubernetes version counts as fitting.
"""

import re
from collections.abc import Sequence
from typing import Any

# Add-on → version → the oldest and the newest minor version of Kubernetes that it fits.
_NEWEST = 36
_ADDONS = {  # from the newest version on
    "coredns": {
        "v1.14.3-eksbuild.14": (35, _NEWEST),
        "v1.13.2-eksbuild.21": (33, _NEWEST),
        "v1.12.4-eksbuild.29": (33, _NEWEST),
        "v1.11.3-eksbuild.1": (33, 34),
    },
    "vpc-cni": {
        "v1.23.0-eksbuild.1": (33, _NEWEST),
        "v1.22.4-eksbuild.3": (33, _NEWEST),
        "v1.18.3-eksbuild.1": (33, 34),
    },
    "eks-pod-identity-agent": {
        "v1.4.0-eksbuild.1": (33, _NEWEST),
        "v1.3.10-eksbuild.3": (33, _NEWEST),
    },
    "eks-node-monitoring-agent": {
        "v1.6.0-eksbuild.1": (33, _NEWEST),
        "v1.5.2-eksbuild.1": (33, _NEWEST),
    },
    # A kube-proxy also fits the three minor versions after its own.
    "kube-proxy": {
        "v1.36.0-eksbuild.17": (36, 39),
        "v1.35.3-eksbuild.21": (35, 38),
        "v1.34.6-eksbuild.21": (34, 37),
        "v1.33.10-eksbuild.21": (33, 36),
    },
}
_DEFAULTS = {
    "1.33": ("v1.12.4-eksbuild.29", "v1.33.10-eksbuild.21"),
    "1.34": ("v1.12.4-eksbuild.29", "v1.34.6-eksbuild.21"),
    "1.35": ("v1.13.2-eksbuild.21", "v1.35.3-eksbuild.21"),
    "1.36": ("v1.14.3-eksbuild.14", "v1.36.0-eksbuild.17"),
}
# Amazon Linux 2023, x86 and ARM.
_AMI_RELEASES = {
    "1.33": "1.33.13-20260923",
    "1.34": "1.34.9-20260810",
    "1.35": "1.35.7-20260911",
    "1.36": "1.36.4-20260923",
}


def find_default_addon(name: str, kubernetes_version: str) -> str:
    """Return the version that a new add-on gets; an empty text if nobody has recorded it."""
    defaults = {
        "vpc-cni": "v1.22.4-eksbuild.3",
        "eks-pod-identity-agent": "v1.3.10-eksbuild.3",
        "eks-node-monitoring-agent": "v1.6.0-eksbuild.1",
    }
    if kubernetes_version in _DEFAULTS:
        defaults |= dict(zip(("coredns", "kube-proxy"), _DEFAULTS[kubernetes_version], strict=True))
    return defaults.get(name, "")


def fits(name: str, version: str, kubernetes_version: str) -> bool:
    """Return whether an add-on of this version is offered for a Kubernetes version."""
    oldest, newest = _ADDONS.get(name, {}).get(version, (0, 99))
    return oldest <= int(kubernetes_version.partition(".")[2]) <= newest


def describe_addons(names: Sequence[str], kubernetes_versions: Sequence[str]) -> list[dict[str, Any]]:
    """Return the versions of add-ons, in the form of DescribeAddonVersions; empty lists ask for all."""
    addons = []
    for name in names or _ADDONS:
        versions = []
        for version in _ADDONS.get(name, {}):
            fitting = [
                {
                    "clusterVersion": kubernetes_version,
                    "platformVersions": ["*"],
                    "defaultVersion": version == find_default_addon(name, kubernetes_version),
                }
                for kubernetes_version in kubernetes_versions or _AMI_RELEASES
                if fits(name, version, kubernetes_version)
            ]
            if fitting:
                versions.append({"addonVersion": version, "compatibilities": fitting})
        addons.append({"addonName": name, "addonVersions": versions})
    return addons


def newest_release(kubernetes_version: str, *, present: str = "") -> str:
    """Return the newest AMI release for a Kubernetes version, or a newer one that a node group has."""
    newest = _AMI_RELEASES.get(kubernetes_version, f"{kubernetes_version}.0-20260901")
    return max(newest, present, key=numbers)


def numbers(version: str) -> list[int]:
    """Return the numbers in a version, such as 1.35.7-20260911, to compare it with others."""
    return [int(number) for number in re.findall(r"\d+", version)]


def public_parameters() -> dict[str, str]:
    """Return the public parameters with the newest AMI releases, by name.

    Amazon EKS, "Retrieve recommended Amazon Linux AMI IDs".
    """
    return {
        f"/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/{architecture}/standard/recommended/"
        "release_version": release
        for version, release in _AMI_RELEASES.items()
        for architecture in ("x86_64", "arm64")
    }
