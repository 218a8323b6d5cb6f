"""What ministack 1.5.33 leaves out of EC2's answers: keys of volumes, details of endpoints and flow logs.

Without them every second plan would differ. And refusals (Amazon EC2 API, "Error codes"): a subnet has valid
addresses, which overlap those of no other subnet of the VPC, and one route table.
Delete a patch when ministack no longer needs it.
"""

import ipaddress
import re
from typing import Any

from ministack.services import ec2

Response = tuple[int, dict[str, str], bytes]


def apply() -> None:
    """Replace functions of ministack; call this once, before it serves."""
    _answer_keys_of_volumes()
    _answer_details_of_endpoints()
    _answer_details_of_flow_logs()
    _refuse_overlapping_subnets()
    _refuse_second_associations()


def _answer_keys_of_volumes() -> None:
    parse, write = ec2._parse_lt_data, ec2._lt_data_xml

    def parse_with_keys(params: dict[str, Any], prefix: str = "LaunchTemplateData") -> dict[str, Any]:
        data: dict[str, Any] = parse(params, prefix)
        for number, mapping in enumerate(data.get("BlockDeviceMappings", []), start=1):
            key = ec2._p(params, f"{prefix}.BlockDeviceMapping.{number}.Ebs.KmsKeyId")
            if key:
                mapping["Ebs"]["KmsKeyId"] = key
        return data

    def write_with_keys(data: dict[str, Any]) -> str:
        volumes = [item["Ebs"] for item in data.get("BlockDeviceMappings", []) if "Ebs" in item]
        keys = iter(volume.get("KmsKeyId") for volume in volumes)

        def with_key(tag: re.Match[str]) -> str:
            key = next(keys)
            return f"{tag[0]}<kmsKeyId>{key}</kmsKeyId>" if key else tag[0]

        return re.sub("<ebs>", with_key, write(data))

    ec2._parse_lt_data = parse_with_keys
    ec2._lt_data_xml = write_with_keys


def _answer_details_of_endpoints() -> None:
    create, write = ec2._create_vpc_endpoint, ec2._vpce_fields_xml

    def create_with_details(parameters: dict[str, Any]) -> Response:
        before = set(ec2._vpc_endpoints)
        create(parameters)
        (new,) = set(ec2._vpc_endpoints) - before
        record = ec2._vpc_endpoints[new]
        record["Groups"] = ec2._parse_member_list(parameters, "SecurityGroupId")
        record["PrivateDnsEnabled"] = ec2._p(parameters, "PrivateDnsEnabled") or "false"
        response: Response = ec2._xml(
            200, "CreateVpcEndpointResponse", write_with_details(record, tag="vpcEndpoint")
        )
        return response

    def write_with_details(record: dict[str, Any], tag: str = "item") -> str:
        groups = "".join(f"<item><groupId>{group}</groupId></item>" for group in record.get("Groups", []))
        details = (
            f"<groupSet>{groups}</groupSet>"
            f"<privateDnsEnabled>{record.get('PrivateDnsEnabled', 'false')}</privateDnsEnabled>"
        )
        text: str = write(record, tag)
        return text.replace("<ownerId>", f"{details}<ownerId>", 1)

    ec2._ACTION_MAP["CreateVpcEndpoint"] = create_with_details
    ec2._vpce_fields_xml = write_with_details


def _answer_details_of_flow_logs() -> None:
    create, describe = ec2._create_flow_logs, ec2._describe_flow_logs

    def create_with_role(parameters: dict[str, Any]) -> Response:
        before = set(ec2._flow_logs)
        response: Response = create(parameters)
        for name in set(ec2._flow_logs) - before:
            ec2._flow_logs[name]["Role"] = ec2._p(parameters, "DeliverLogsPermissionArn")
            ec2._parse_tag_specs(parameters, "vpc-flow-log", name)  # ministack looks for "flow-log"
        return response

    def describe_with_role(parameters: dict[str, Any]) -> Response:
        def with_role(item: re.Match[str]) -> str:
            role = ec2._flow_logs[item[1]].get("Role")
            return f"{item[0]}<maxAggregationInterval>600</maxAggregationInterval>" + (
                f"<deliverLogsPermissionArn>{role}</deliverLogsPermissionArn>" if role else ""
            )

        status, headers, body = describe(parameters)
        return status, headers, re.sub(r"<flowLogId>([^<]+)</flowLogId>", with_role, body.decode()).encode()

    ec2._ACTION_MAP["CreateFlowLogs"] = create_with_role
    ec2._ACTION_MAP["DescribeFlowLogs"] = describe_with_role


def _refuse_overlapping_subnets() -> None:
    create = ec2._create_subnet

    def create_beside_others(parameters: dict[str, Any]) -> Response:
        given = ec2._p(parameters, "CidrBlock")
        try:
            # EC2 makes 100.68.0.0/18 of 100.68.0.18/18 (CreateSubnet, "CidrBlock").
            wanted = ipaddress.ip_network(given if "/" in given else "", strict=False)
        except ValueError:
            return _refuse(
                "InvalidParameterValue",
                f"Value ({given}) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
            )
        vpc = ec2._p(parameters, "VpcId")
        others = [subnet["CidrBlock"] for subnet in ec2._subnets.values() if subnet["VpcId"] == vpc]
        if any(wanted.overlaps(ipaddress.ip_network(other)) for other in others):
            return _refuse("InvalidSubnet.Conflict", f"The CIDR '{wanted}' conflicts with another subnet")
        response: Response = create(parameters | {"CidrBlock": [str(wanted)]})
        return response

    ec2._ACTION_MAP["CreateSubnet"] = create_beside_others


def _refuse_second_associations() -> None:
    associate = ec2._associate_route_table

    def associate_once(parameters: dict[str, Any]) -> Response:
        subnet = ec2._p(parameters, "SubnetId")
        for table in ec2._route_tables.values():
            if subnet and any(item.get("SubnetId") == subnet for item in table["Associations"]):
                message = f"the subnet {subnet} is associated with {table['RouteTableId']} already"
                return _refuse("Resource.AlreadyAssociated", message)
        response: Response = associate(parameters)
        return response

    ec2._ACTION_MAP["AssociateRouteTable"] = associate_once


def _refuse(code: str, message: str) -> Response:
    error: Response = ec2._error(code, message, 400)
    return error
