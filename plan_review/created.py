"""The few attributes that a reviewer wants to see of a created resource."""

from plan_review.chart_values import read_keys
from plan_review.plan import Change
from plan_review.values import Difference, get_nested, is_empty, is_unknown
from plan_review.versions import IMAGE_KEYS
from plan_review.workloads import JOB_KEYS

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "aws_autoscaling_group": ("min_size", "max_size"),
    "aws_cloudwatch_log_group": ("name", "retention_in_days"),
    "aws_db_instance": ("engine", "engine_version", "instance_class", "allocated_storage"),
    "aws_ebs_volume": ("availability_zone", "type", "size"),
    "aws_eks_addon": ("addon_name", "addon_version"),
    "aws_eks_cluster": ("name", "version"),
    "aws_eks_node_group": (
        *("instance_types", "capacity_type", "ami_type", "disk_size", "taint"),
        *("scaling_config.min_size", "scaling_config.max_size"),
    ),
    "aws_instance": ("instance_type", "ami", "subnet_id"),
    "aws_lambda_function": ("runtime", "memory_size"),
    "aws_launch_template": (
        *("instance_type", "image_id", "block_device_mappings.ebs.volume_size"),
        "block_device_mappings.ebs.volume_type",
    ),
    "aws_lb": ("load_balancer_type", "internal"),
    "aws_route": ("destination_cidr_block", "gateway_id", "nat_gateway_id"),
    "aws_s3_bucket": ("bucket",),
    "aws_ssm_parameter": ("name", "type"),
    "aws_subnet": ("cidr_block", "availability_zone"),
    "aws_vpc": ("cidr_block",),
    "aws_vpc_endpoint": ("service_name",),
    "helm_release": ("chart", "version", "namespace"),
    "kubernetes_limit_range_v1": ("spec.limit",),
    "kubernetes_namespace_v1": ("metadata.name",),
    "kubernetes_pod_disruption_budget_v1": ("spec.max_unavailable", "spec.min_available"),
    "kubernetes_resource_quota_v1": ("spec.hard",),
}


def list_attributes(change: Change) -> list[Difference]:
    """Return the attributes of a created resource that its type's reviewers look for."""
    found = [
        Difference(path, None, value)
        for path in ATTRIBUTES.get(change.type, ())
        if not is_empty(value := get_nested(change.after, path)) and not is_unknown(value)
    ]
    if change.type == "helm_release":
        found += [
            Difference(f"values: {path}", None, value)
            for path, (key, value) in read_keys(change.get("values")[1]).items()
            if key in JOB_KEYS | IMAGE_KEYS and not is_empty(value)
        ]
    return found
