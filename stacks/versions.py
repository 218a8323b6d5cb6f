"""All tested versions that are not in `requirements.txt` and `package.json`.

They are the defaults of the settings below `versions`. `make newer-versions` says which are newer; the tests
show whether the new versions work together.
"""

TERRAFORM = ">= 1.11.0"  # write-only attributes need 1.11
TERRAFORM_REGISTRY = "registry.terraform.io"
AWS_PROVIDER = "5.100.0"  # the bindings in requirements.txt were generated from this version
AWS_PROVIDER_6 = "6.69.1"  # the newest that the stacks' arguments were compared with; a choice, not run here
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

# Setting → first version of the AWS provider that is known to take its argument: the changelog of 6.9.0 names
# deletion_protection; the others are in the schema of 6.69.1 and not in that of 6.25.0.
AWS_PROVIDER_6_SETTINGS = {
    "deletion_protection": "6.9.0",
    "scheduler_scoring": AWS_PROVIDER_6,
    "update_strategy": AWS_PROVIDER_6,
    "warm_pool": AWS_PROVIDER_6,
}
