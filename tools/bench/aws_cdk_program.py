"""An AWS CDK program with as many resources as the synthesized JSON of this project: synths.py runs it.

It reads the JSON from the folder in its argument, and writes CloudFormation templates to CDK_OUTDIR.
Each Terraform resource becomes one CloudFormation resource of the same kind by its L1 class, with the same
values. Where CloudFormation has no such resource, such as the tag of an Auto Scaling group or a Kubernetes
namespace, it becomes a `CfnResource` of a custom type that has all values of Terraform's. The AWS CDK has no
data sources, providers and outputs of this form: they are left out.
Not here: anything that can be deployed. The program exists to be measured.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2, aws_eks, aws_iam, aws_kms, aws_logs, aws_s3
from constructs import Construct

Values = Mapping[str, Any]


def _tags(values: Values) -> list[cdk.CfnTag]:
    return [cdk.CfnTag(key=key, value=value) for key, value in values.get("tags", {}).items()]


def _vpc(scope: Construct, id_: str, values: Values) -> None:
    aws_ec2.CfnVPC(
        scope,
        id_,
        cidr_block=values["cidr_block"],
        enable_dns_hostnames=values.get("enable_dns_hostnames"),
        enable_dns_support=values.get("enable_dns_support"),
        tags=_tags(values),
    )


def _subnet(scope: Construct, id_: str, values: Values) -> None:
    aws_ec2.CfnSubnet(
        scope,
        id_,
        vpc_id=values["vpc_id"],
        availability_zone=values["availability_zone"],
        cidr_block=values["cidr_block"],
        map_public_ip_on_launch=values.get("map_public_ip_on_launch"),
        tags=_tags(values),
    )


def _internet_gateway(scope: Construct, id_: str, values: Values) -> None:
    aws_ec2.CfnInternetGateway(scope, id_, tags=_tags(values))


def _eip(scope: Construct, id_: str, values: Values) -> None:
    aws_ec2.CfnEIP(scope, id_, domain=values["domain"], tags=_tags(values))


def _nat_gateway(scope: Construct, id_: str, values: Values) -> None:
    aws_ec2.CfnNatGateway(
        scope, id_, subnet_id=values["subnet_id"], allocation_id=values["allocation_id"], tags=_tags(values)
    )


def _route_table(scope: Construct, id_: str, values: Values) -> None:
    aws_ec2.CfnRouteTable(scope, id_, vpc_id=values["vpc_id"], tags=_tags(values))


def _route(scope: Construct, id_: str, values: Values) -> None:
    aws_ec2.CfnRoute(
        scope,
        id_,
        route_table_id=values["route_table_id"],
        destination_cidr_block=values["destination_cidr_block"],
        gateway_id=values.get("gateway_id"),
        nat_gateway_id=values.get("nat_gateway_id"),
    )


def _route_table_association(scope: Construct, id_: str, values: Values) -> None:
    aws_ec2.CfnSubnetRouteTableAssociation(
        scope, id_, route_table_id=values["route_table_id"], subnet_id=values["subnet_id"]
    )


def _vpc_endpoint(scope: Construct, id_: str, values: Values) -> None:
    aws_ec2.CfnVPCEndpoint(
        scope,
        id_,
        vpc_id=values["vpc_id"],
        service_name=values["service_name"],
        vpc_endpoint_type=values["vpc_endpoint_type"],
        route_table_ids=[str(each) for each in values["route_table_ids"]],
    )


def _role(scope: Construct, id_: str, values: Values) -> None:
    aws_iam.CfnRole(
        scope,
        id_,
        role_name=values["name"],
        assume_role_policy_document=json.loads(values["assume_role_policy"]),
    )


def _role_policy(scope: Construct, id_: str, values: Values) -> None:
    aws_iam.CfnRolePolicy(
        scope,
        id_,
        policy_name=values["name"],
        role_name=values["role"],
        policy_document=json.loads(values["policy"]),
    )


def _log_group(scope: Construct, id_: str, values: Values) -> None:
    aws_logs.CfnLogGroup(
        scope, id_, log_group_name=values["name"], retention_in_days=values["retention_in_days"]
    )


def _key(scope: Construct, id_: str, values: Values) -> None:
    aws_kms.CfnKey(
        scope,
        id_,
        description=values["description"],
        enable_key_rotation=values["enable_key_rotation"],
        key_policy=json.loads(values.get("policy", "{}")),
    )


def _alias(scope: Construct, id_: str, values: Values) -> None:
    aws_kms.CfnAlias(scope, id_, alias_name=values["name"], target_key_id=values["target_key_id"])


def _cluster(scope: Construct, id_: str, values: Values) -> None:
    network = values["vpc_config"]
    aws_eks.CfnCluster(
        scope,
        id_,
        name=values["name"],
        version=values["version"],
        role_arn=values["role_arn"],
        resources_vpc_config=aws_eks.CfnCluster.ResourcesVpcConfigProperty(
            subnet_ids=["subnet"],
            endpoint_private_access=network["endpoint_private_access"],
            endpoint_public_access=network["endpoint_public_access"],
            public_access_cidrs=network.get("public_access_cidrs"),
        ),
        access_config=aws_eks.CfnCluster.AccessConfigProperty(
            authentication_mode=values["access_config"]["authentication_mode"]
        ),
        encryption_config=[
            aws_eks.CfnCluster.EncryptionConfigProperty(
                provider=aws_eks.CfnCluster.ProviderProperty(
                    key_arn=values["encryption_config"]["provider"]["key_arn"]
                ),
                resources=["secrets"],
            )
        ],
    )


def _addon(scope: Construct, id_: str, values: Values) -> None:
    aws_eks.CfnAddon(
        scope,
        id_,
        addon_name=values["addon_name"],
        cluster_name=values["cluster_name"],
        addon_version=values.get("addon_version"),
        configuration_values=values.get("configuration_values"),
        resolve_conflicts=values.get("resolve_conflicts_on_update"),
    )


def _access_entry(scope: Construct, id_: str, values: Values) -> None:
    aws_eks.CfnAccessEntry(
        scope, id_, cluster_name=values["cluster_name"], principal_arn=values["principal_arn"]
    )


def _pod_identity(scope: Construct, id_: str, values: Values) -> None:
    aws_eks.CfnPodIdentityAssociation(
        scope,
        id_,
        cluster_name=values["cluster_name"],
        namespace=values["namespace"],
        role_arn=values["role_arn"],
        service_account=values["service_account"],
    )


def _node_group(scope: Construct, id_: str, values: Values) -> None:
    scaling = values["scaling_config"]
    aws_eks.CfnNodegroup(
        scope,
        id_,
        cluster_name=values["cluster_name"],
        nodegroup_name=values["node_group_name"],
        node_role=values["node_role_arn"],
        subnets=[str(each) for each in values["subnet_ids"]],
        version=values["version"],
        ami_type=values["ami_type"],
        capacity_type=values["capacity_type"],
        instance_types=values["instance_types"],
        labels=values["labels"],
        scaling_config=aws_eks.CfnNodegroup.ScalingConfigProperty(
            min_size=scaling["min_size"], max_size=scaling["max_size"], desired_size=scaling["desired_size"]
        ),
        update_config=aws_eks.CfnNodegroup.UpdateConfigProperty(max_unavailable=1),
        launch_template=aws_eks.CfnNodegroup.LaunchTemplateSpecificationProperty(
            id=values["launch_template"]["id"], version=values["launch_template"]["version"]
        ),
    )


def _launch_template(scope: Construct, id_: str, values: Values) -> None:
    template = aws_ec2.CfnLaunchTemplate
    metadata = values["metadata_options"]
    template(
        scope,
        id_,
        launch_template_name=values["name"],
        launch_template_data=template.LaunchTemplateDataProperty(
            metadata_options=template.MetadataOptionsProperty(
                http_endpoint=metadata["http_endpoint"],
                http_tokens=metadata["http_tokens"],
                http_put_response_hop_limit=metadata["http_put_response_hop_limit"],
            ),
            block_device_mappings=[
                template.BlockDeviceMappingProperty(
                    device_name=device["device_name"],
                    ebs=template.EbsProperty(
                        volume_type=device["ebs"]["volume_type"],
                        volume_size=device["ebs"]["volume_size"],
                        encrypted=True,
                        delete_on_termination=True,
                    ),
                )
                for device in values["block_device_mappings"]
            ],
            tag_specifications=[
                template.TagSpecificationProperty(resource_type=each["resource_type"], tags=_tags(each))
                for each in values["tag_specifications"]
            ],
        ),
    )


def _bucket(scope: Construct, id_: str, values: Values) -> None:
    aws_s3.CfnBucket(scope, id_, bucket_name=values["bucket"])


def _bucket_policy(scope: Construct, id_: str, values: Values) -> None:
    aws_s3.CfnBucketPolicy(scope, id_, bucket=values["bucket"], policy_document=json.loads(values["policy"]))


L1: dict[str, Callable[[Construct, str, Values], None]] = {
    "aws_vpc": _vpc,
    "aws_subnet": _subnet,
    "aws_internet_gateway": _internet_gateway,
    "aws_eip": _eip,
    "aws_nat_gateway": _nat_gateway,
    "aws_route_table": _route_table,
    "aws_route": _route,
    "aws_route_table_association": _route_table_association,
    "aws_vpc_endpoint": _vpc_endpoint,
    "aws_iam_role": _role,
    "aws_iam_role_policy": _role_policy,
    "aws_cloudwatch_log_group": _log_group,
    "aws_kms_key": _key,
    "aws_kms_alias": _alias,
    "aws_eks_cluster": _cluster,
    "aws_eks_addon": _addon,
    "aws_eks_access_entry": _access_entry,
    "aws_eks_pod_identity_association": _pod_identity,
    "aws_eks_node_group": _node_group,
    "aws_launch_template": _launch_template,
    "aws_s3_bucket": _bucket,
    "aws_s3_bucket_policy": _bucket_policy,
}


def main() -> None:
    """Write the templates, one stack for each file of JSON."""
    synthesized = Path(sys.argv[1])
    # Terraform's references are no names that CloudFormation knows; a synth of ours has no such check either.
    app = cdk.App(outdir=os.environ["CDK_OUTDIR"], builtin_cloud_formation_validation=False)
    for file in sorted(synthesized.glob("*.json")):
        stack = cdk.Stack(app, file.stem)
        for kind, entries in json.loads(file.read_text(encoding="utf-8"))["resource"].items():
            for name, values in entries.items():
                id_ = f"{kind}-{name}"
                if kind in L1:
                    L1[kind](stack, id_, values)
                else:
                    properties = {key: value for key, value in values.items() if key != "//"}
                    cdk.CfnResource(
                        stack, id_, type=f"Custom::{kind.replace('_', '-')}", properties=properties
                    )
    app.synth()


if __name__ == "__main__":
    main()
