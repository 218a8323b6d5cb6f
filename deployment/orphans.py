"""Find the AWS objects of an environment that are in no state, after a Terraform was killed.

Terraform writes a remote state at most every 20 seconds, and at its end. An object that a killed Terraform
has created since is in no state. The next run fails at one with a fixed name (`AlreadyExists`), or makes a
second.

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
from deployment.states import refuse_damaged_states
from stacks import STACKS
from stacks.backend import Backend, state_key
from stacks.settings import Settings


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
        LockError: If a state is locked: then Terraform may still be creating them.
        StateError: If a state is lost or damaged: then live objects would look like these.

    """
    refuse_other_account(settings.aws)
    refuse_damaged_states(settings, backend)
    orphans = find_orphans(settings, backend)
    tag = f"the tag environment={settings.environment}"
    if not orphans:
        print(f"Every AWS object with {tag} is in a state")
        return
    print(
        f"{len(orphans)} AWS object(s) with {tag} are in no state. Look at each before you delete it. "
        "If one is in use, a state is missing or old. Restore it instead: docs/operations.md\n"
    )
    aws = ".venv/bin/python -m local_aws run aws" if settings.aws.is_local else "aws"
    for orphan in orphans:
        print(f"# {orphan.type} {orphan.id} {orphan.name}".rstrip())
        for command in orphan.commands:
            print(f"{aws} {command} --region {settings.aws.region}")


def find_orphans(settings: Settings, backend: Backend) -> list[AwsObject]:
    """Return the objects of an environment that are in no state, in an order in which they can be deleted."""
    s3 = create_client("s3", settings.aws, region=backend.region)
    known = _read_known(s3, backend.bucket, settings.environment)
    return [found for found in find_objects(settings) if (found.type, found.id) not in known]


def _read_known(s3: Any, bucket: str, environment: str) -> set[tuple[str, str]]:
    """Return type and ID of each resource in the environment's states."""
    known = set()
    for stack in STACKS:
        try:
            content = s3.get_object(Bucket=bucket, Key=state_key(environment, stack))["Body"].read()
        except s3.exceptions.NoSuchKey:
            continue
        known |= {
            (item["type"], read_id(item["type"], instance["attributes"]))
            for item in json.loads(content)["resources"] or ()
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
    """Yield each object with the environment's tag, in an order in which they can be deleted.

    Other projects may use the same tag. So an object also has a name of this environment, or is in its VPC or
    in its cluster.
    """
    clients: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in clients:
            clients[service] = create_client(service, settings.aws, region=settings.aws.region)
        return clients[service]

    tag = {"environment": settings.environment}
    cluster, prefix = settings.cluster.name, f"{settings.resource_prefix}-"
    described = _describe_cluster(client("eks"), cluster)
    if described:
        yield from _find_eks_objects(client("eks"), tag, described)
    found = _find_ec2_items(client("ec2"), tag, prefix, cluster)
    yield from _find_parts_of_route_tables(found)
    yield from _find_ec2_objects(found)
    yield from _find_roles(client("iam"), tag, prefix)
    if described:
        yield from _find_oidc_providers(client("iam"), tag, described)
    yield from _find_log_groups(client("logs"), tag, (f"/{settings.resource_prefix}/", f"/{cluster}/"))
    # A key has no name, but a description: those of stacks/cluster.py and alarms.py.
    yield from _find_keys(client("kms"), tag, (f"EKS cluster {cluster}", f" {prefix}alarms"))
    yield from _find_buckets(client("s3"), tag, prefix)


def _list(client: Any, operation: str, items: str, **arguments: Any) -> Iterator[Any]:
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page[items]


def _describe_cluster(eks: Any, name: str) -> Any:
    """Return EKS's description of the cluster; None if there is none of this name."""
    try:
        return eks.describe_cluster(name=name)["cluster"]
    except eks.exceptions.ResourceNotFoundException:
        return None


def _find_eks_objects(eks: Any, tag: dict[str, str], described: Any) -> Iterator[AwsObject]:
    cluster = described["name"]
    owner = f"--cluster-name {cluster}"
    kinds = (
        ("aws_eks_pod_identity_association", "pod_identity_association", "association-id", "associations"),
        ("aws_eks_node_group", "nodegroup", "nodegroup-name", "nodegroups"),
        ("aws_eks_addon", "addon", "addon-name", "addons"),
        ("aws_eks_access_entry", "access_entry", "principal-arn", "accessEntries"),
    )
    for type_, kind, option, items in kinds:
        plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
        first, last = option.split("-")
        argument = f"{first}{last.title()}"
        for item in _list(eks, f"list_{plural}", items, clusterName=cluster):
            id_ = item[argument] if isinstance(item, dict) else item
            answer = getattr(eks, f"describe_{kind}")(**{"clusterName": cluster, argument: id_})
            (record,) = (value for name, value in answer.items() if name != "ResponseMetadata")
            if _has(record.get("tags", {}), tag):
                command = f"eks delete-{kind.replace('_', '-')} {owner} --{option} {id_}"
                is_association = option == "association-id"
                yield AwsObject(type_, id_ if is_association else f"{cluster}:{id_}", "", (command,))
    if _has(described.get("tags", {}), tag):
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


def _find_ec2_items(ec2: Any, tag: dict[str, str], prefix: str, cluster: str) -> dict[str, list[Any]]:
    """Return EC2's descriptions of the environment's objects, also of deleted ones, by Terraform's type."""
    wanted = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tag.items()]
    found = {}
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
        found[kind.type] = [
            item
            for answer in answers
            for item in answer[kind.items]
            if _has(_read_tags(item.get("Tags", [])), tag) and _read_name(item).startswith(prefix)
        ]
    # network.py gives its VPC this tag. Somebody else's VPC may have the tag `environment` and a like name.
    own = {
        vpc["VpcId"]
        for vpc in found["aws_vpc"]
        if f"kubernetes.io/cluster/{cluster}" in _read_tags(vpc["Tags"])
    }
    return {type_: [item for item in items if _find_vpcs(item) <= own] for type_, items in found.items()}


def _read_name(item: Any) -> str:
    return item.get("LaunchTemplateName") or _read_tags(item.get("Tags", [])).get("Name", "")


def _find_vpcs(item: Any) -> set[str]:
    """Return the VPC of an object of EC2; none for an address, a launch template, a gateway on its own."""
    places = (item, *item.get("Attachments", []))
    return {place[key] for place in places for key in ("VpcId", "ResourceId") if key in place}


def _find_ec2_objects(found: dict[str, list[Any]]) -> Iterator[AwsObject]:
    for kind in _EC2_KINDS:
        for item in found[kind.type]:
            # A deleted NAT gateway is listed for an hour. A VPC's default group goes with the VPC.
            if item.get("State") in {"deleted", "deleting"} or item.get("GroupName") == "default":
                continue
            id_ = item[kind.id]
            commands = [
                f"ec2 detach-internet-gateway --internet-gateway-id {id_} --vpc-id {attached['VpcId']}"
                for attached in (item.get("Attachments", []) if kind.type == "aws_internet_gateway" else [])
            ]
            commands.append(f"ec2 {kind.delete.format(id=id_)}")
            yield AwsObject(kind.type, id_, _read_name(item), tuple(commands))


def _find_parts_of_route_tables(found: dict[str, list[Any]]) -> Iterator[AwsObject]:
    """Yield routes and associations. They have no tags, but EC2 refuses to make one a second time.

    Others may add their own to our tables, such as a route to a peering connection.
    """
    subnets = {item["SubnetId"] for item in found["aws_subnet"]}
    gateways = {item["InternetGatewayId"] for item in found["aws_internet_gateway"]}
    gateways |= {item["NatGatewayId"] for item in found["aws_nat_gateway"]}
    for table in found["aws_route_table"]:
        id_ = table["RouteTableId"]
        for item in table["Associations"]:
            if item.get("SubnetId") in subnets:
                association = item["RouteTableAssociationId"]
                command = f"ec2 disassociate-route-table --association-id {association}"
                yield AwsObject("aws_route_table_association", association, item["SubnetId"], (command,))
        for route in table["Routes"]:
            destination = route.get("DestinationCidrBlock")
            target = route.get("GatewayId") or route.get("NatGatewayId")
            if destination and route.get("Origin") == "CreateRoute" and target in gateways:
                command = f"ec2 delete-route --route-table-id {id_} --destination-cidr-block {destination}"
                yield AwsObject("aws_route", f"{id_}_{destination}", "", (command,))


def _find_roles(iam: Any, tag: dict[str, str], prefix: str) -> Iterator[AwsObject]:
    for name in (item["RoleName"] for item in _list(iam, "list_roles", "Roles")):
        if not name.startswith(prefix) or not _has(
            _read_tags(iam.list_role_tags(RoleName=name)["Tags"]), tag
        ):
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


def _find_oidc_providers(iam: Any, tag: dict[str, str], described: Any) -> Iterator[AwsObject]:
    issuer = described.get("identity", {}).get("oidc", {}).get("issuer", "")  # none while EKS creates it
    for arn in (item["Arn"] for item in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]):
        if arn.rpartition("/")[2] != issuer.rpartition("/")[2]:
            continue
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


def _find_keys(kms: Any, tag: dict[str, str], descriptions: tuple[str, ...]) -> Iterator[AwsObject]:
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
        if not _has(tags, tag) or not key["Description"].endswith(descriptions):
            continue
        for alias in (item["AliasName"] for item in _list(kms, "list_aliases", "Aliases", KeyId=id_)):
            yield AwsObject("aws_kms_alias", alias, "", (f"kms delete-alias --alias-name {alias}",))
        yield AwsObject("aws_kms_key", id_, "", (f"kms schedule-key-deletion --key-id {id_}",))


def _find_buckets(s3: Any, tag: dict[str, str], prefix: str) -> Iterator[AwsObject]:
    for name in (item["Name"] for item in s3.list_buckets()["Buckets"] if item["Name"].startswith(prefix)):
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
