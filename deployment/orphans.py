"""Find the AWS objects of an environment that are in no state, after a Terraform was killed.

Terraform writes a remote state at most every 20 seconds, and at its end. What a killed Terraform has created
since is in no state. The next run fails at an object with a fixed name (`AlreadyExists`), or makes a second.

Not here: alarms, rules and topics. AWS takes the same request for them twice (CloudWatch, PutMetricAlarm;
EventBridge, PutRule; SNS, CreateTopic), so the next run has them again. The same holds for policies, tags of
groups and the configurations of a bucket.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from deployment.aws import create_client, refuse_other_account
from stacks.backend import Backend, state_key
from stacks.errors import UserError
from stacks.settings import Settings


class OrphansError(UserError):
    """The objects can't be told from those of a Terraform that runs."""


@dataclass(frozen=True)
class AwsObject:
    """An AWS object with the tag of the environment.

    Attributes:
        type: Terraform's type.
        id: Terraform's ID, which `terraform import` takes.
        name: The name that people know it by; empty if it has none.
        commands: Arguments of the AWS CLI that delete it.

    """

    type: str
    id: str
    name: str
    commands: tuple[str, ...]


def show_orphans(settings: Settings, backend: Backend) -> None:
    """Print each object of the environment that is in no state, with the commands that delete it.

    Raises:
        OrphansError: If a state is locked.

    """
    refuse_other_account(settings.aws)
    orphans = find_orphans(settings, backend)
    for orphan in orphans:
        print(f"# {orphan.type} {orphan.id} {orphan.name}".rstrip())
        for command in orphan.commands:
            print(f"aws {command} --region {settings.aws.region}")
    tag = f"the tag environment={settings.environment}"
    if not orphans:
        print(f"Every AWS object with {tag} is in a state")
        return
    print(
        f"\n{len(orphans)} AWS object(s) with {tag} are in no state. Look at each before you delete it. "
        "If a state is missing or old, restore it instead: docs/operations.md"
    )


def find_orphans(settings: Settings, backend: Backend) -> list[AwsObject]:
    """Return the objects of an environment that are in no state, in an order in which they can be deleted.

    Raises:
        OrphansError: If a state is locked.

    """
    s3 = create_client("s3", settings.aws, region=backend.region)
    known = _read_known(s3, backend.bucket, settings.environment)
    return [found for found in find_objects(settings) if (found.type, found.id) not in known]


def _read_known(s3: Any, bucket: str, environment: str) -> set[tuple[str, str]]:
    """Return type and ID of each resource in the environment's states."""
    known = set()
    prefix = state_key(environment, "").removesuffix(".tfstate")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for key in (item["Key"] for item in page.get("Contents", [])):
            if key.endswith(".tflock"):
                raise OrphansError(
                    f"s3://{bucket}/{key}: a Terraform holds this lock, and what it has just created is in "
                    "no state yet. Wait for it. If it was killed, remove the lock: make unlock"
                )
            if key.endswith(".tfstate"):
                state = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
                known |= {
                    (item["type"], read_id(item["type"], instance["attributes"]))
                    for item in state.get("resources", [])
                    if item["mode"] == "managed"
                    for instance in item["instances"]
                }
    return known


def read_id(type_: str, attributes: dict[str, Any]) -> str:
    """Return the ID of a resource in a state, as `AwsObject` has it."""
    if type_ != "aws_route":
        return str(attributes["id"])
    names = ("destination_cidr_block", "destination_ipv6_cidr_block", "destination_prefix_list_id")
    destination = next(filter(None, map(attributes.get, names)))
    return f"{attributes['route_table_id']}_{destination}"


def find_objects(settings: Settings) -> Iterator[AwsObject]:
    """Yield each object with the environment's tag; what must be deleted first comes first."""
    clients: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in clients:
            clients[service] = create_client(service, settings.aws, region=settings.aws.region)
        return clients[service]

    tag = {"environment": settings.environment}
    yield from _find_eks_objects(client("eks"), tag)
    yield from _find_parts_of_route_tables(client("ec2"), tag)
    yield from _find_ec2_objects(client("ec2"), tag)
    names = (settings.resource_prefix, settings.cluster.name)
    for find in (_find_roles, _find_oidc_providers):
        yield from find(client("iam"), tag, names)
    yield from _find_log_groups(client("logs"), tag, names)
    yield from _find_keys(client("kms"), tag)
    yield from _find_buckets(client("s3"), tag, names)


def _list(client: Any, operation: str, items: str, **arguments: Any) -> Iterator[Any]:
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page[items]


def _find_eks_objects(eks: Any, tag: dict[str, str]) -> Iterator[AwsObject]:
    for cluster in _list(eks, "list_clusters", "clusters"):
        owner = f"--cluster-name {cluster}"
        kinds = (
            ("aws_eks_pod_identity_association", "pod_identity_association", "associationId", "associations"),
            ("aws_eks_node_group", "nodegroup", "nodegroupName", "nodegroups"),
            ("aws_eks_addon", "addon", "addonName", "addons"),
            ("aws_eks_access_entry", "access_entry", "principalArn", "accessEntries"),
        )
        for type_, kind, argument, items in kinds:
            plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
            for item in _list(eks, f"list_{plural}", items, clusterName=cluster):
                id_ = item[argument] if isinstance(item, dict) else item
                described = getattr(eks, f"describe_{kind}")(**{"clusterName": cluster, argument: id_})
                (record,) = (value for name, value in described.items() if name != "ResponseMetadata")
                if _has(record.get("tags", {}), tag):
                    option = {
                        "associationId": "association-id",
                        "nodegroupName": "nodegroup-name",
                        "addonName": "addon-name",
                        "principalArn": "principal-arn",
                    }[argument]
                    command = f"eks delete-{kind.replace('_', '-')} {owner} --{option} {id_}"
                    is_association = argument == "associationId"
                    yield AwsObject(type_, id_ if is_association else f"{cluster}:{id_}", "", (command,))
        if _has(eks.describe_cluster(name=cluster)["cluster"].get("tags", {}), tag):
            yield AwsObject("aws_eks_cluster", cluster, "", (f"eks delete-cluster --name {cluster}",))


@dataclass(frozen=True)
class _Ec2Kind:
    type: str
    operation: str
    items: str
    id: str
    delete: str  # `{id}` is the ID, and each other name a field of EC2's answer


_EC2_KINDS = (
    _Ec2Kind("aws_launch_template", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateId",
             "delete-launch-template --launch-template-id {id}"),
    _Ec2Kind("aws_nat_gateway", "describe_nat_gateways", "NatGateways", "NatGatewayId",
             "delete-nat-gateway --nat-gateway-id {id}"),
    _Ec2Kind("aws_vpc_endpoint", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId",
             "delete-vpc-endpoints --vpc-endpoint-ids {id}"),
    _Ec2Kind("aws_flow_log", "describe_flow_logs", "FlowLogs", "FlowLogId",
             "delete-flow-logs --flow-log-ids {id}"),
    _Ec2Kind("aws_eip", "describe_addresses", "Addresses", "AllocationId",
             "release-address --allocation-id {id}"),
    _Ec2Kind("aws_subnet", "describe_subnets", "Subnets", "SubnetId", "delete-subnet --subnet-id {id}"),
    _Ec2Kind("aws_route_table", "describe_route_tables", "RouteTables", "RouteTableId",
             "delete-route-table --route-table-id {id}"),
    _Ec2Kind("aws_security_group", "describe_security_groups", "SecurityGroups", "GroupId",
             "delete-security-group --group-id {id}"),
    _Ec2Kind("aws_internet_gateway", "describe_internet_gateways", "InternetGateways", "InternetGatewayId",
             "delete-internet-gateway --internet-gateway-id {id}"),
    _Ec2Kind("aws_vpc", "describe_vpcs", "Vpcs", "VpcId", "delete-vpc --vpc-id {id}"),
)  # fmt: skip


def _find_ec2_objects(ec2: Any, tag: dict[str, str]) -> Iterator[AwsObject]:
    wanted = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tag.items()]
    for kind in _EC2_KINDS:
        # Two operations of EC2 call their argument `Filter`.
        shape = ec2.meta.service_model.operation_model(
            ec2.meta.method_to_api_mapping[kind.operation]
        ).input_shape
        argument = "Filters" if "Filters" in shape.members else "Filter"
        answers = (
            ec2.get_paginator(kind.operation).paginate(**{argument: wanted})
            if ec2.can_paginate(kind.operation)
            else [getattr(ec2, kind.operation)(**{argument: wanted})]
        )
        for item in (item for answer in answers for item in answer[kind.items]):
            tags = {pair["Key"]: pair["Value"] for pair in item.get("Tags", [])}
            # A deleted NAT gateway is listed for an hour. A VPC's default group goes with the VPC.
            if (
                not _has(tags, tag)
                or item.get("State") in {"deleted", "deleting"}
                or item.get("GroupName") == "default"
            ):
                continue
            id_ = item[kind.id]
            commands = [
                f"ec2 detach-internet-gateway --internet-gateway-id {id_} --vpc-id {attached['VpcId']}"
                for attached in (item.get("Attachments", []) if kind.type == "aws_internet_gateway" else [])
            ]
            commands.append(f"ec2 {kind.delete.format(id=id_)}")
            yield AwsObject(
                kind.type, id_, tags.get("Name", item.get("LaunchTemplateName", "")), tuple(commands)
            )


def _find_parts_of_route_tables(ec2: Any, tag: dict[str, str]) -> Iterator[AwsObject]:
    """Yield routes and associations. They have no tags, but EC2 refuses to make one a second time."""
    wanted = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tag.items()]
    for table in _list(ec2, "describe_route_tables", "RouteTables", Filters=wanted):
        id_ = table["RouteTableId"]
        for item in table["Associations"]:
            if "SubnetId" in item:
                association = item["RouteTableAssociationId"]
                command = f"ec2 disassociate-route-table --association-id {association}"
                yield AwsObject("aws_route_table_association", association, item["SubnetId"], (command,))
        for route in table["Routes"]:
            destination = route.get("DestinationCidrBlock")
            # The routes of the VPC itself and of its endpoints are no resources.
            if not destination or route.get("GatewayId", "").startswith(("local", "vpce-")):
                continue
            command = f"ec2 delete-route --route-table-id {id_} --destination-cidr-block {destination}"
            yield AwsObject("aws_route", f"{id_}_{destination}", "", (command,))


def _find_roles(iam: Any, tag: dict[str, str], names: tuple[str, ...]) -> Iterator[AwsObject]:
    for name in (item["RoleName"] for item in _list(iam, "list_roles", "Roles")):
        if not name.startswith(names) or not _has(_read_tags(iam.list_role_tags(RoleName=name)["Tags"]), tag):
            continue
        attached = [
            f"iam detach-role-policy --role-name {name} --policy-arn {item['PolicyArn']}"
            for item in _list(iam, "list_attached_role_policies", "AttachedPolicies", RoleName=name)
        ]
        inline = [
            f"iam delete-role-policy --role-name {name} --policy-name {policy}"
            for policy in _list(iam, "list_role_policies", "PolicyNames", RoleName=name)
        ]
        delete = f"iam delete-role --role-name {name}"
        yield AwsObject("aws_iam_role", name, "", (*attached, *inline, delete))


def _find_oidc_providers(iam: Any, tag: dict[str, str], _names: tuple[str, ...]) -> Iterator[AwsObject]:
    for arn in (item["Arn"] for item in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]):
        tags = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
        if _has(_read_tags(tags), tag):
            delete = f"iam delete-open-id-connect-provider --open-id-connect-provider-arn {arn}"
            yield AwsObject("aws_iam_openid_connect_provider", arn, "", (delete,))


def _find_log_groups(logs: Any, tag: dict[str, str], names: tuple[str, ...]) -> Iterator[AwsObject]:
    for group in _list(logs, "describe_log_groups", "logGroups"):
        name, arn = group["logGroupName"], group["arn"].removesuffix(":*")
        if any(part in name for part in names) and _has(
            logs.list_tags_for_resource(resourceArn=arn)["tags"], tag
        ):
            delete = f"logs delete-log-group --log-group-name {name}"
            yield AwsObject("aws_cloudwatch_log_group", name, "", (delete,))


def _find_keys(kms: Any, tag: dict[str, str]) -> Iterator[AwsObject]:
    for id_ in (item["KeyId"] for item in _list(kms, "list_keys", "Keys")):
        try:
            key = kms.describe_key(KeyId=id_)["KeyMetadata"]
            tags = {item["TagKey"]: item["TagValue"] for item in kms.list_resource_tags(KeyId=id_)["Tags"]}
        except ClientError as error:
            if error.response["Error"]["Code"] == "AccessDeniedException":
                continue  # a key of AWS, or of somebody else: its own policy refuses
            raise
        if key["KeyState"] == "PendingDeletion":
            continue
        if not _has(tags, tag):
            continue
        for alias in (item["AliasName"] for item in _list(kms, "list_aliases", "Aliases", KeyId=id_)):
            yield AwsObject("aws_kms_alias", alias, "", (f"kms delete-alias --alias-name {alias}",))
        yield AwsObject("aws_kms_key", id_, "", (f"kms schedule-key-deletion --key-id {id_}",))


def _find_buckets(s3: Any, tag: dict[str, str], names: tuple[str, ...]) -> Iterator[AwsObject]:
    for name in (item["Name"] for item in s3.list_buckets()["Buckets"] if item["Name"].startswith(names)):
        try:
            tags = s3.get_bucket_tagging(Bucket=name)["TagSet"]
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchTagSet", "NoSuchBucket", "AccessDenied"}:
                continue  # it is not ours
            raise
        if _has(_read_tags(tags), tag):
            yield AwsObject("aws_s3_bucket", name, "", (f"s3api delete-bucket --bucket {name}",))


def _read_tags(pairs: list[dict[str, str]]) -> dict[str, str]:
    return {pair["Key"]: pair["Value"] for pair in pairs}


def _has(tags: dict[str, str], wanted: dict[str, str]) -> bool:
    return wanted.items() <= tags.items()
