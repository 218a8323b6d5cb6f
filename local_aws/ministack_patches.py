"""Patches for ministack 1.5.33: with them a second plan is empty, changes can be applied, and EKS refuses.

They add to EKS: fields in the description of a new cluster or node group, the calls that change one in
place, tags that are set later, the versions of Kubernetes, of add-ons and of AMIs (eks_offers.py), late
logs, and Auto Scaling groups (node_groups_on_ec2.py). They refuse what EKS refuses (eks_limits.py,
eks_refusals.py). They add to ECR its cache rules (ecr_cache_rules.py), and to EC2 what ec2_answers.py says,
the sizes and the zones of instance types (from moto's copies of EC2's answers), the addresses of NAT
gateways, and the filter of DescribeRouteTables by ID. They add to Auto Scaling: the filters of
DescribeTags, and to CloudWatch the descriptions of alarms (alarm_descriptions.py). They add to IAM the
condition keys of conditional writes, and the tags of Auto Scaling groups (group_permissions.py). They add
Service Quotas (service_quotas.py), client tokens (client_tokens.py), and to SSM the encryption of a
SecureString. Delete a patch when ministack no longer needs it.
"""

import base64
import datetime as dt
import http
import json
import os
import re
import uuid
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions
from ministack.services import autoscaling, cloudwatch_logs, ec2, eks, ssm

from local_aws import (
    alarm_descriptions,
    client_tokens,
    ec2_answers,
    ecr_cache_rules,
    eks_limits,
    eks_offers,
    eks_refusals,
    group_permissions,
    node_groups_on_ec2,
    service_quotas,
)

Response = tuple[int, dict[str, str], bytes]

CLUSTER_ECHOES = ("upgradePolicy",)
NODE_GROUP_ECHOES = ("launchTemplate", "nodeRepairConfig", "updateConfig")

_KMS_OVERHEAD = 120  # bytes, about: key, nonce and checksum

_CLUSTER = r"/clusters/(?P<cluster>[\w-]+)"
_NODE_GROUP = rf"{_CLUSTER}/node-groups/(?P<node_group>[\w-]+)"


def apply() -> None:
    """Replace functions of ministack; call this once, before it serves."""
    create_cluster, create_node_group = eks._create_cluster, eks._create_nodegroup
    handle = eks._handle_request_sync

    def create_cluster_and_echo(body: dict[str, Any], *arguments: Any) -> Response:
        if refusal := eks_refusals.refuse_cluster(body):
            return _refuse(*refusal)
        response: Response = create_cluster(body, *arguments)
        _echo(eks._clusters.get(body.get("name")), body, CLUSTER_ECHOES)
        return response

    def create_node_group_and_echo(cluster: str, body: dict[str, Any]) -> Response:
        version = eks._clusters.get(cluster, {}).get("version", "")
        body = {"releaseVersion": eks_offers.newest_release(version)} | body
        if refusal := eks_refusals.refuse_node_group(cluster, body):
            return _refuse(*refusal)
        create_node_group(cluster, body)
        record = eks._nodegroups.get(f"{cluster}/{body.get('nodegroupName')}")
        _echo(record, body, NODE_GROUP_ECHOES)
        return _json({"nodegroup": record})

    def handle_or_update(method: str, path: str, headers: Any, body: bytes, query: Any) -> Response:
        if violation := eks_limits.find_violation(method, path, json.loads(body or b"{}")):
            return _refuse(eks_refusals.INVALID, violation)
        for (update_method, pattern), update in UPDATES.items():
            match = re.fullmatch(pattern, path)
            if match and method == update_method:
                return update(json.loads(body) if body else query, **match.groupdict())
        response: Response = handle(method, path, headers, body, query)
        return response

    client_tokens.apply()
    service_quotas.apply()
    _refuse_addons()
    ec2_answers.apply()
    ecr_cache_rules.apply()
    _write_late_logs()
    alarm_descriptions.apply()
    iam_actions._s3_object_context = _add_conditional_write(iam_actions._s3_object_context)
    eks._create_cluster = create_cluster_and_echo
    eks._create_nodegroup = create_node_group_and_echo
    eks._handle_request_sync = handle_or_update
    node_groups_on_ec2.apply()
    group_permissions.apply()
    eks._resolve_tag_resource_arn = _know_associations(eks._resolve_tag_resource_arn)
    eks._tag_resource = _change_record_too(eks._tag_resource)
    eks._untag_resource = _change_record_too(eks._untag_resource)
    ssm._PUBLIC_AMI_PARAMETERS.update(eks_offers.public_parameters())
    ssm._put_parameter = _encrypt(ssm._put_parameter)
    autoscaling._ACTION_MAP["DescribeTags"] = _describe_tags
    ec2._ACTION_MAP["DescribeInstanceTypeOfferings"] = _describe_instance_type_offerings
    ec2._ACTION_MAP["DescribeInstanceTypes"] = _describe_instance_types
    ec2._ACTION_MAP["DescribeNatGateways"] = _describe_nat_gateways
    ec2._ACTION_MAP["DescribeRouteTables"] = _describe_route_tables


def _refuse_addons() -> None:
    """Let EKS choose the default version of a new add-on, and refuse versions that do not fit."""
    create_addon, update_addon = eks._create_addon, eks._update_addon

    def create_fitting_addon(cluster: str, body: dict[str, Any]) -> Response:
        version = eks._clusters.get(cluster, {}).get("version", "")
        body = {"addonVersion": eks_offers.find_default_addon(body["addonName"], version)} | body
        refusal = eks_refusals.refuse_addon(cluster, body["addonName"], body["addonVersion"])
        response: Response = _refuse(*refusal) if refusal else create_addon(cluster, body)
        return response

    def update_fitting_addon(cluster: str, name: str, body: dict[str, Any]) -> Response:
        refusal = eks_refusals.refuse_addon(cluster, name, body.get("addonVersion"))
        response: Response = _refuse(*refusal) if refusal else update_addon(cluster, name, body)
        return response

    eks._create_addon = create_fitting_addon
    eks._update_addon = update_fitting_addon


def _encrypt(put_parameter: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    """Let SSM answer a read without decryption with what tells nothing of a SecureString's value.

    ministack answers with the base64 of the value, and Terraform's data source keeps it in the state. KMS
    encrypts ("AWS Systems Manager Parameter Store encryption using AWS KMS"). Here the ciphertext is random:
    ministack keeps the value beside it, and never decrypts.
    """

    def put_encrypted_parameter(data: dict[str, Any]) -> Response:
        response: Response = put_parameter(data)
        name = data.get("Name")
        stored = [*ssm._parameter_history.get(name, [])[-1:], ssm._parameters.get(name)]
        if response[0] == http.HTTPStatus.OK and data.get("Value") and stored[-1]["Type"] == "SecureString":
            ciphertext = base64.b64encode(os.urandom(_KMS_OVERHEAD + len(data["Value"]))).decode()
            for record in stored:
                record["Value"] = ciphertext
        return response

    return put_encrypted_parameter


def _write_late_logs() -> None:
    """Let EKS write logs of a deleted cluster after its log group was deleted, which makes the group anew.

    It has no retention and no tags then (terraform-aws-modules/terraform-aws-eks issues 920, 2446 and 2763).
    """
    delete_cluster, delete_log_group = eks._delete_cluster, cloudwatch_logs._delete_log_group
    logged: set[str] = set()

    def delete_cluster_and_note(name: str) -> Response:
        kinds = eks._clusters.get(name, {}).get("logging", {}).get("clusterLogging", [])
        if any(kind["enabled"] and kind["types"] for kind in kinds):
            logged.add(f"/aws/eks/{name}/cluster")
        response: Response = delete_cluster(name)
        return response

    def delete_log_group_and_make_anew(data: dict[str, Any]) -> Response:
        response: Response = delete_log_group(data)
        if data["logGroupName"] in logged:
            logged.remove(data["logGroupName"])
            cloudwatch_logs._create_log_group({"logGroupName": data["logGroupName"]})
        return response

    eks._delete_cluster = delete_cluster_and_note
    cloudwatch_logs._delete_log_group = delete_log_group_and_make_anew


def _add_conditional_write(build: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Add the condition keys of a conditional write (S3, "Enforce conditional writes")."""

    def build_with_keys(action: str, query: Any, path: str, headers: dict[str, str]) -> dict[str, Any]:
        names = [name for name in ("if-match", "if-none-match") if headers.get(name)]
        return build(action, query, path, headers) | {f"s3:{name}": headers[name] for name in names}

    return build_with_keys


def _describe_instance_types(parameters: dict[str, Any]) -> Response:
    known = eks_refusals.read_instance_types()
    unknown = [name for name in ec2._parse_member_list(parameters, "InstanceType") if name not in known]
    if unknown:
        message = f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
        error: Response = ec2._error("InvalidInstanceType", message, 400)
        return error

    def corrected(item: re.Match[str]) -> str:
        text, facts = item[0], known[item[1]]
        values = {
            "defaultVCpus": facts["VCpuInfo"]["DefaultVCpus"],
            "sizeInMiB": facts["MemoryInfo"]["SizeInMiB"],
            "maximumNetworkInterfaces": facts["NetworkInfo"]["MaximumNetworkInterfaces"],
            "ipv4AddressesPerInterface": facts["NetworkInfo"]["Ipv4AddressesPerInterface"],
        }
        for tag, value in values.items():
            text = re.sub(f"<{tag}>[^<]*<", f"<{tag}>{value}<", text)
        return text

    status, headers, body = ec2._describe_instance_types(parameters)
    item = r"<instanceType>([^<]+)</instanceType>.*?</networkInfo>"
    return status, headers, re.sub(item, corrected, body.decode(), flags=re.DOTALL).encode()


def _describe_instance_type_offerings(parameters: dict[str, Any]) -> Response:
    wanted = ec2._parse_filters(parameters).get("instance-type", [])
    items = "".join(
        f"<item><instanceType>{item['InstanceType']}</instanceType><location>{item['Location']}</location>"
        "<locationType>availability-zone</locationType></item>"
        for item in eks_refusals.read_offerings()
        if item["InstanceType"] in wanted
    )
    response: Response = ec2._xml(
        200,
        "DescribeInstanceTypeOfferingsResponse",
        f"<instanceTypeOfferingSet>{items}</instanceTypeOfferingSet>",
    )
    return response


def _describe_nat_gateways(parameters: dict[str, Any]) -> Response:
    def addressed(item: re.Match[str]) -> str:
        allocation = ec2._nat_gateways[item[1]]["AllocationId"]
        address = ec2._addresses.get(allocation)
        if address is None:  # a private one
            return item[0]
        entry = (
            f"<item><allocationId>{allocation}</allocationId><publicIp>{address['PublicIp']}</publicIp>"
            "<isPrimary>true</isPrimary></item>"
        )
        return item[0].replace(
            "<natGatewayAddressSet/>", f"<natGatewayAddressSet>{entry}</natGatewayAddressSet>"
        )

    status, headers, body = ec2._describe_nat_gateways(parameters)
    item = r"<natGatewayId>([^<]+)</natGatewayId>.*?<natGatewayAddressSet/>"
    return status, headers, re.sub(item, addressed, body.decode(), flags=re.DOTALL).encode()


def _describe_route_tables(parameters: dict[str, Any]) -> Response:
    wanted = ec2._parse_filters(parameters).get("route-table-id", [])
    by_id = {f"RouteTableId.{number}": [name] for number, name in enumerate(wanted, start=1)}
    response: Response = ec2._describe_route_tables({**parameters, **by_id})
    return response


def _describe_tags(parameters: dict[str, str]) -> Response:
    filters: dict[str, set[str]] = {}
    for name, value in parameters.items():
        if match := re.fullmatch(r"Filters\.member\.(\d+)\.Values\.member\.\d+", name):
            filters.setdefault(parameters[f"Filters.member.{match[1]}.Name"], set()).add(value)
    members = "".join(
        f"<member><Key>{tag['Key']}</Key><Value>{tag['Value']}</Value><ResourceId>{group}</ResourceId>"
        f"<ResourceType>{tag['ResourceType']}</ResourceType>"
        f"<PropagateAtLaunch>{str(tag['PropagateAtLaunch']).lower()}</PropagateAtLaunch></member>"
        for group, tags in list(autoscaling._tags.items())
        for tag in tags
        if group in filters.get("auto-scaling-group", {group})
        and tag["Key"] in filters.get("key", {tag["Key"]})
    )
    response: Response = autoscaling._xml(
        200, "DescribeTagsResponse", f"<DescribeTagsResult><Tags>{members}</Tags></DescribeTagsResult>"
    )
    return response


def _echo(record: dict[str, Any] | None, body: dict[str, Any], fields: tuple[str, ...]) -> None:
    if record is not None:
        record.update({name: body[name] for name in fields if name in body})


def _know_associations(resolve: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a function that also knows the ARNs of Pod Identity associations, which have tags, too."""

    def resolve_or_know(arn: str) -> Any:
        if any(item["associationArn"] == arn for item in eks._pod_identity_associations.values()):
            return arn, None
        return resolve(arn)

    return resolve_or_know


def _change_record_too(change: Callable[[str, Any], Response]) -> Callable[[str, Any], Response]:
    """Return a function that changes the tags of an ARN, and the tags in the EKS resource's description."""

    def change_both(arn: str, given: Any) -> Response:
        response = change(arn, given)
        for kind in (
            eks._clusters,
            eks._nodegroups,
            eks._addons,
            eks._access_entries,
            eks._pod_identity_associations,
        ):
            for record in kind.values():
                if arn in record.values():
                    record["tags"] = dict(eks._tags.get(arn, {}))
        return response

    return change_both


def _update_cluster(body: dict[str, Any], cluster: str) -> Response:
    record = eks._clusters.get(cluster)
    if record is None:
        return _missing(f"No cluster found for name: {cluster}.")
    network = record["resourcesVpcConfig"]
    changed = network | body.get("resourcesVpcConfig", {})
    if refusal := eks_refusals.refuse_subnets(network, changed):
        return _refuse(*refusal)
    if refusal := eks_refusals.refuse_upgrade_policy(record, body):
        return _refuse(*refusal)
    network.update(changed)
    _echo(record, body, ("logging", "upgradePolicy"))
    return _updated(next(iter(body), "Config"))


def _update_cluster_version(body: dict[str, Any], cluster: str) -> Response:
    record = eks._clusters.get(cluster)
    if record is None:
        return _missing(f"No cluster found for name: {cluster}.")
    if refusal := eks_refusals.refuse_upgrade(cluster, body):
        return _refuse(*refusal)
    record["version"] = body["version"]
    return _updated("VersionUpdate")


def _update_node_group(body: dict[str, Any], cluster: str, node_group: str) -> Response:
    record = eks._nodegroups.get(f"{cluster}/{node_group}")
    if record is None:
        return _missing(f"No node group found for name: {node_group}.")
    scaling = record["scalingConfig"] | body.get("scalingConfig", {})
    if refusal := eks_refusals.refuse_scaling(scaling):
        return _refuse(*refusal)
    record["scalingConfig"] = scaling
    labels, taints = body.get("labels", {}), body.get("taints", {})
    for key in labels.get("removeLabels", []):
        record["labels"].pop(key, None)
    record["labels"].update(labels.get("addOrUpdateLabels", {}))
    changed = taints.get("removeTaints", []) + taints.get("addOrUpdateTaints", [])
    kept = [taint for taint in record["taints"] if taint["key"] not in {item["key"] for item in changed}]
    record["taints"] = kept + taints.get("addOrUpdateTaints", [])
    _echo(record, body, ("version", "releaseVersion", *NODE_GROUP_ECHOES))
    if "scalingConfig" in body:
        node_groups_on_ec2.resize(record)
    return _updated("ConfigUpdate")


def _describe_versions(query: dict[str, Any]) -> Response:
    versions = [
        {
            "clusterVersion": version,
            "versionStatus": status,
            "endOfStandardSupportDate": dt.datetime.fromisoformat(f"{end}T00:00:00Z").timestamp(),
        }
        for version, (end, status) in eks_refusals.VERSIONS.items()
        if version in query.get("clusterVersions", eks_refusals.VERSIONS)
    ]
    return _json({"clusterVersions": versions})


def _describe_update(_body: dict[str, Any], cluster: str, update: str) -> Response:
    return _json({"update": {"id": update, "status": "Successful", "params": [{"value": cluster}]}})


def _update_node_group_version(body: dict[str, Any], cluster: str, node_group: str) -> Response:
    """Update to the cluster's version and its newest AMI, if the request names no others.

    EKS API, UpdateNodegroupVersion.
    """
    record = eks._nodegroups.get(f"{cluster}/{node_group}")
    if record is None:
        return _missing(f"No node group found for name: {node_group}.")
    body = {"version": eks._clusters[cluster]["version"]} | body
    if refusal := eks_refusals.refuse_node_group_update(cluster, record, body):
        return _refuse(*refusal)
    newest = eks_offers.newest_release(body["version"], present=record["releaseVersion"])
    return _update_node_group({"releaseVersion": newest} | body, cluster, node_group)


def _describe_addon_versions(query: dict[str, Any]) -> Response:
    names, versions = query.get("addonName", []), query.get("kubernetesVersion", [])
    return _json({"addons": eks_offers.describe_addons(names, versions)})


def _updated(kind: str) -> Response:
    return _json({"update": {"id": str(uuid.uuid4()), "status": "Successful", "type": kind}})


def _missing(message: str) -> Response:
    return _json({"message": message}, status=404, error="ResourceNotFoundException")


def _refuse(code: str, message: str) -> Response:
    return _json({"message": message}, status=400, error=code)


def _json(body: dict[str, Any], *, status: int = 200, error: str = "") -> Response:
    headers = {"Content-Type": "application/json"} | ({"x-amzn-errortype": error} if error else {})
    return status, headers, json.dumps(body).encode()


UPDATES: dict[tuple[str, str], Callable[..., Response]] = {
    ("GET", "/cluster-versions"): _describe_versions,
    ("GET", "/addons/supported-versions"): _describe_addon_versions,
    ("POST", rf"{_CLUSTER}/update-config"): _update_cluster,
    ("POST", rf"{_CLUSTER}/updates"): _update_cluster_version,
    ("GET", rf"{_CLUSTER}/updates/(?P<update>[\w-]+)"): _describe_update,
    ("POST", rf"{_NODE_GROUP}/update-config"): _update_node_group,
    ("POST", rf"{_NODE_GROUP}/update-version"): _update_node_group_version,
}
