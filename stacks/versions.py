"""All tested versions that are not in `requirements.txt` and `package.json`.

They are the defaults of the settings below `versions`. `make newer-versions` says which are newer; the tests
show whether the new versions work together.
"""

TERRAFORM = ">= 1.11.0"  # write-only attributes need 1.11
TERRAFORM_REGISTRY = "registry.terraform.io"
AWS_PROVIDER = "5.100.0"  # the bindings in requirements.txt were generated from this version
HELM_PROVIDER = "3.1.2"
KUBERNETES_PROVIDER = "3.2.1"

GITLAB_RUNNER_REPOSITORY = "https://charts.gitlab.io"
GITLAB_RUNNER_CHART = "0.86.0"  # GitLab Runner 18.9.0
CLUSTER_AUTOSCALER_REPOSITORY = "https://kubernetes.github.io/autoscaler"
CLUSTER_AUTOSCALER_CHART = "9.59.0"

# Kubernetes version → newest patch of the autoscaler with the same minor version, which "Cluster
# Autoscaler: Releases" requires. Each has a tag cluster-autoscaler-<version> in kubernetes/autoscaler. There
# is no fallback: for a version that is missing here, the settings must name an image.
CLUSTER_AUTOSCALER_IMAGE_TAGS = {
    "1.33": "v1.33.6",
    "1.34": "v1.34.5",
    "1.35": "v1.35.2",
    "1.36": "v1.36.1",
}
