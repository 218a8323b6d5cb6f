"""Settings of the versions of charts, providers and the cluster autoscaler.

Not here: the tested versions (stacks/versions.py); the Kubernetes version (cluster.py).
"""

from typing import Annotated

from pydantic import Field, field_validator

from stacks.settings.model import SettingsModel
from stacks.versions import (
    AWS_PROVIDER,
    AWS_PROVIDER_6,
    CLUSTER_AUTOSCALER_CHART,
    CLUSTER_AUTOSCALER_IMAGE_TAGS,
    GITLAB_RUNNER_CHART,
    HELM_PROVIDER,
    KUBERNETES_PROVIDER,
)

# Semantic Versioning 2.0.0, without build metadata: helm and Terraform ignore it.
_NUMBERS = r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
_PRERELEASE = r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
Version = Annotated[str, Field(pattern=rf"^{_NUMBERS}{_PRERELEASE}$")]
ImageTag = Annotated[str, Field(pattern=rf"^v{_NUMBERS}{_PRERELEASE}$")]

PROVIDERS = ("aws_provider", "helm_provider", "kubernetes_provider")
_KUBERNETES_PROVIDER_WITH_DATA_WO = [2, 36]


class VersionSettings(SettingsModel):
    """Versions of charts, providers and the autoscaler's image; each default is the tested version."""

    gitlab_runner_chart: Version = Field(
        default=GITLAB_RUNNER_CHART,
        description=f"Version of the chart gitlab-runner, such as {GITLAB_RUNNER_CHART}: three numbers, no "
        "range. Each chart brings one version of GitLab Runner.",
    )
    cluster_autoscaler_chart: Version = Field(
        default=CLUSTER_AUTOSCALER_CHART,
        description=f"Version of the chart cluster-autoscaler, such as {CLUSTER_AUTOSCALER_CHART}: three "
        "numbers, no range.",
    )
    cluster_autoscaler_image_tag: ImageTag | None = Field(
        default=None,
        description="Tag of the cluster autoscaler's image, such as v1.35.2, with the minor version of "
        "cluster.kubernetes_version. Without it the tested tag of that version, which exists for "
        f"{', '.join(CLUSTER_AUTOSCALER_IMAGE_TAGS)}.",
    )
    aws_provider: Version = Field(
        default=AWS_PROVIDER,
        description=f"Version of the Terraform provider hashicorp/aws, such as {AWS_PROVIDER} or "
        f"{AWS_PROVIDER_6}: three numbers, no range; 5.x or 6.x. Some settings need 6.x.",
    )
    helm_provider: Version = Field(
        default=HELM_PROVIDER,
        description=f"Version of the Terraform provider hashicorp/helm, such as {HELM_PROVIDER}: three "
        "numbers, no range.",
    )
    kubernetes_provider: Version = Field(
        default=KUBERNETES_PROVIDER,
        description=f"Version of the Terraform provider hashicorp/kubernetes, such as {KUBERNETES_PROVIDER}: "
        "three numbers, no range; 2.36.0 or newer, with Terraform 1.12 or newer 3.2.1 or newer.",
    )

    @field_validator("aws_provider")
    @classmethod
    def _require_known_major_version(cls, version: str) -> str:
        if version.partition(".")[0] not in ("5", "6"):
            raise ValueError(
                "must be a 5.x or 6.x version: the stacks were compared with no other major version"
            )
        return version

    @field_validator("kubernetes_provider")
    @classmethod
    def _require_write_only_data(cls, version: str) -> str:
        # Changelog of the kubernetes provider, 2.36.0.
        if _read_numbers(version) < _KUBERNETES_PROVIDER_WITH_DATA_WO:
            raise ValueError(
                "must be 2.36.0 or newer: older ones lack the write-only `data_wo`, which keeps the "
                "runner's token out of the state"
            )
        return version

    def has_older_aws_provider_than(self, version: str) -> bool:
        """Say whether the AWS provider is older than a release."""
        return _read_numbers(self.aws_provider) < _read_numbers(version)

    def choose_autoscaler_image_tag(self, kubernetes_version: str) -> str:
        """Return the tag of the autoscaler's image for a Kubernetes version."""
        return self.cluster_autoscaler_image_tag or CLUSTER_AUTOSCALER_IMAGE_TAGS[kubernetes_version]

    def find_untested(self, kubernetes_version: str) -> dict[str, tuple[str, list[str]]]:
        """Return each untested version by the path of its setting, with the tested versions."""
        tested = {
            f"versions.{name}": [field.default]
            for name, field in type(self).model_fields.items()
            if field.default is not None
        }
        chosen = {path: getattr(self, path.removeprefix("versions.")) for path in tested}
        chosen["cluster.kubernetes_version"] = kubernetes_version
        tested["cluster.kubernetes_version"] = list(CLUSTER_AUTOSCALER_IMAGE_TAGS)
        # Without a tested tag, the warning about the Kubernetes version says it all.
        if self.cluster_autoscaler_image_tag and kubernetes_version in CLUSTER_AUTOSCALER_IMAGE_TAGS:
            chosen["versions.cluster_autoscaler_image_tag"] = self.cluster_autoscaler_image_tag
            tested["versions.cluster_autoscaler_image_tag"] = [
                CLUSTER_AUTOSCALER_IMAGE_TAGS[kubernetes_version]
            ]
        return {
            path: (version, tested[path]) for path, version in chosen.items() if version not in tested[path]
        }


def _read_numbers(version: str) -> list[int]:
    return [int(number) for number in version.partition("-")[0].split(".")]
