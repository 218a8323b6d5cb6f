"""Write plan_review/refusals/api_limits.json: the limits of AWS's APIs, from botocore's models.

`ARGUMENTS` has the arguments that the AWS provider sends on as they are. An argument that the provider
changes is not here: it would be a false alarm. Nor is an enumeration: AWS extends them, and the provider
refuses unknown values itself. Instance types are an exception, since the provider takes any text for one.
"""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore
import botocore.loaders

FILE = Path(__file__).parents[1] / "plan_review" / "refusals" / "api_limits.json"

# By type: the API's operation, and the arguments with their members where the names differ.
ARGUMENTS: dict[str, tuple[str, str]] = {
    "aws_acm_certificate": ("acm.RequestCertificate", "domain_name tags"),
    "aws_autoscaling_group": ("autoscaling.CreateAutoScalingGroup", "name=AutoScalingGroupName"),
    "aws_autoscaling_lifecycle_hook": (
        "autoscaling.PutLifecycleHook",
        "name=LifecycleHookName notification_metadata",
    ),
    "aws_backup_vault": ("backup.CreateBackupVault", "name=BackupVaultName"),
    "aws_cloudwatch_event_rule": (
        "events.PutRule",
        "name description schedule_expression event_pattern tags",
    ),
    "aws_cloudwatch_log_group": ("logs.CreateLogGroup", "name=logGroupName kms_key_id tags"),
    "aws_cloudwatch_log_metric_filter": (
        "logs.PutMetricFilter",
        "name=filterName log_group_name pattern=filterPattern",
    ),
    "aws_cloudwatch_log_subscription_filter": (
        "logs.PutSubscriptionFilter",
        "name=filterName filter_pattern",
    ),
    "aws_cloudwatch_metric_alarm": (
        "cloudwatch.PutMetricAlarm",
        (
            "alarm_name alarm_description ok_actions alarm_actions insufficient_data_actions metric_name "
            "namespace period evaluation_periods datapoints_to_alarm tags"
        ),
    ),
    "aws_codebuild_project": ("codebuild.CreateProject", "name description tags"),
    "aws_dynamodb_table": ("dynamodb.CreateTable", "name=TableName tags"),
    "aws_ecr_repository": ("ecr.CreateRepository", "name=repositoryName"),
    "aws_ecs_cluster": ("ecs.CreateCluster", "tags"),
    "aws_ecs_service": ("ecs.CreateService", "tags"),
    "aws_eks_access_entry": ("eks.CreateAccessEntry", "tags"),
    "aws_eks_addon": ("eks.CreateAddon", "cluster_name service_account_role_arn tags"),
    "aws_eks_cluster": ("eks.CreateCluster", "name tags"),
    "aws_eks_fargate_profile": ("eks.CreateFargateProfile", "tags"),
    "aws_eks_node_group": (
        "eks.CreateNodegroup",
        (
            "labels tags taint.key=taints.key taint.value=taints.value scaling_config.min_size "
            "scaling_config.max_size scaling_config.desired_size update_config.max_unavailable "
            "update_config.max_unavailable_percentage"
        ),
    ),
    "aws_eks_pod_identity_association": ("eks.CreatePodIdentityAssociation", "tags"),
    "aws_iam_group": ("iam.CreateGroup", "name=GroupName path"),
    "aws_iam_instance_profile": ("iam.CreateInstanceProfile", "name=InstanceProfileName path tags"),
    "aws_iam_openid_connect_provider": (
        "iam.CreateOpenIDConnectProvider",
        "client_id_list=ClientIDList tags",
    ),
    "aws_iam_policy": ("iam.CreatePolicy", "name=PolicyName path description tags"),
    "aws_iam_role": (
        "iam.CreateRole",
        "name=RoleName path description max_session_duration permissions_boundary tags",
    ),
    "aws_iam_role_policy": ("iam.PutRolePolicy", "name=PolicyName"),
    "aws_iam_role_policy_attachment": ("iam.AttachRolePolicy", "role=RoleName policy_arn"),
    "aws_iam_user": ("iam.CreateUser", "name=UserName path permissions_boundary tags"),
    "aws_kinesis_stream": ("kinesis.CreateStream", "name=StreamName"),
    "aws_kms_alias": ("kms.CreateAlias", "name=AliasName"),
    "aws_kms_key": ("kms.CreateKey", "description policy tags"),
    "aws_lambda_function": (
        "lambda.CreateFunction",
        "function_name handler description timeout layers role tags",
    ),
    "aws_lambda_permission": ("lambda.AddPermission", "statement_id action principal source_arn"),
    "aws_lb_target_group": ("elbv2.CreateTargetGroup", "port"),
    "aws_secretsmanager_secret": ("secretsmanager.CreateSecret", "name description"),
    "aws_sfn_state_machine": ("stepfunctions.CreateStateMachine", "name definition"),
    "aws_ssm_parameter": ("ssm.PutParameter", "name description allowed_pattern"),
    "aws_wafv2_web_acl": ("wafv2.CreateWebACL", "name"),
}
# Classes of characters that Python's `re` does not know. The replacements take more, never less.
_CLASSES = {r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": r"\s"}


def build() -> dict[str, Any]:
    """Return the document that the review reads."""
    limits = {kind: _list_limits(operation, names.split()) for kind, (operation, names) in ARGUMENTS.items()}
    types = [name.partition(".") for name in _read_model("ec2")["shapes"]["InstanceType"]["enum"]]
    return {
        "source": f"botocore {botocore.__version__}",
        "limits": {kind: found for kind, found in limits.items() if found},
        "instance_sizes": {
            family: " ".join(sorted(size for other, _, size in types if other == family))
            for family in sorted({family for family, _, _ in types})
        },
    }


@functools.cache
def _read_model(service: str) -> Any:
    return botocore.loaders.Loader().load_service_model(service, "service-2")


def _list_limits(operation: str, names: list[str]) -> list[dict[str, Any]]:
    service, _, name = operation.partition(".")
    model = _read_model(service)
    shape = model["operations"][name]["input"]["shape"]
    return [
        {"path": path, "api": f"{service}:{name}"} | limit
        for path, _, member in (item.partition("=") for item in names)
        for limit in _list_of_shape(model["shapes"], _find_shape(model["shapes"], shape, member or path))
    ]


def _find_shape(shapes: dict[str, Any], shape: str, path: str) -> str:
    """Return the shape of a member by its path; names may be written as Terraform writes them."""
    for name in path.split("."):
        if shapes[shape]["type"] == "list":
            shape = shapes[shape]["member"]["shape"]
        members = shapes[shape]["members"]
        wanted = name.replace("_", "").lower()
        (shape,) = [member["shape"] for key, member in members.items() if key.lower() == wanted]
    return shape


def _list_of_shape(shapes: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the limits of a shape, and of its keys, values and elements."""
    shape = shapes[name]
    yield from _read_limits("", shape)
    if shape["type"] == "map":
        yield from _read_limits("key", shapes[shape["key"]["shape"]])
        yield from _read_limits("value", shapes[shape["value"]["shape"]])
    elif shape["type"] == "list":
        element = shapes[shape["member"]["shape"]]
        if element["type"] != "structure":
            yield from _read_limits("element", element)
        for part in ("Key", "Value"):  # the elements of a list of tags
            member = element.get("members", {}).get(part, element.get("members", {}).get(part.lower()))
            if member:
                yield from _read_limits(part.lower(), shapes[member["shape"]])


def _read_limits(part: str, shape: dict[str, Any]) -> Iterator[dict[str, Any]]:
    found = {key: shape[key] for key in ("min", "max") if shape.get(key)}
    if shape["type"] in ("list", "map"):
        found.pop("min", None)  # the provider sends no empty list
    pattern = _translate(shape.get("pattern"))
    if pattern:
        found["pattern"] = pattern
    if found:
        yield {"part": part} | found


def _translate(pattern: str | None) -> str | None:
    """Return a pattern of Java for Python, with Java's ASCII classes; None if Python can't read it."""
    if pattern is None or re.search(r"\\u[dD][89a-fA-F]", pattern):  # no halves of characters
        return None
    written = pattern
    for java, python in _CLASSES.items():
        written = written.replace(java, python)
    # A \w that was \p{L} is any letter.
    written = written if written != pattern else f"(?a){pattern}"
    try:
        re.compile(written)
    except re.error:
        return None
    return written


def main() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(build(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
