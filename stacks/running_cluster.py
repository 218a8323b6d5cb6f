"""The cluster as AWS has it when Terraform plans, read without the cluster's own resource.

In a plan the attributes of the resource are already the new ones. The preconditions compare with these.
"""

from cdktf import TerraformStack
from cdktf_cdktf_provider_aws.data_aws_eks_cluster import DataAwsEksCluster
from cdktf_cdktf_provider_aws.data_aws_eks_clusters import DataAwsEksClusters


class RunningCluster:
    """The running cluster of a name.

    Attributes:
        exists: The expression that is true if there is one.
        address: The data source with its attributes. Without a cluster, an expression that reads one fails.

    """

    def __init__(self, stack: TerraformStack, name: str) -> None:
        """Let every plan ask AWS whether the cluster exists, and read it then."""
        clusters = DataAwsEksClusters(stack, "clusters")
        cluster = DataAwsEksCluster(stack, "running_cluster", name=name)
        self.exists = f'contains({clusters.fqn}.names, "{name}")'
        cluster.add_override("count", f"${{{self.exists} ? 1 : 0}}")
        self.address = f"{cluster.fqn}[0]"
