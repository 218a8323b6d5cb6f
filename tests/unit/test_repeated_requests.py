"""The emulator and a request that an SDK repeats, because the answer was lost."""

import asyncio
from typing import Any

import pytest
from ministack.services import ec2

from local_aws import client_tokens, ec2_answers

DONE: tuple[int, dict[str, str], bytes] = (200, {}, b"done")
EC2 = b"Action=CreateNatGateway&SubnetId=subnet-1&ClientToken=a"
EKS = b'{"name": "cicd", "clientRequestToken": "a"}'


def send(
    *bodies: bytes, answer: tuple[int, dict[str, str], bytes] = DONE, regions: tuple[str, str] = ("r", "r")
) -> tuple[int, bytes]:
    """Send requests, and return how often the service was asked, and the last answer."""
    asked: list[bytes] = []

    async def dispatch(_method: str, _path: str, _headers: Any, body: bytes) -> Any:
        asked.append(body)
        return answer

    async def send_all() -> bytes:
        once, last = client_tokens._answer_once(dispatch, {}), b""  # noqa: SLF001
        for body, region in zip(bodies, regions, strict=True):
            headers = {"authorization": f"AWS4-HMAC-SHA256 Credential=key/20261126/{region}/ec2/aws4_request"}
            _, _, last = await once("POST", "/", headers, body)
        return last

    last = asyncio.run(send_all())
    return len(asked), last


@pytest.mark.parametrize("body", [EC2, EKS])
def test_a_request_with_a_client_token_is_done_once(body: bytes) -> None:
    """It gets the first answer again. Another token, another region and a refused request are done anew."""
    assert send(body, body) == (1, b"done")
    assert send(body, body.replace(b"=a", b"=b").replace(b'"a"', b'"b"'))[0] == 2
    assert send(body, body, regions=("eu-central-1", "us-east-1"))[0] == 2
    assert send(body, body, answer=(400, {}, b"no"))[0] == 2
    assert send(b"Action=CreateVpc", b"Action=CreateVpc")[0] == 2


@pytest.mark.parametrize(
    ("body", "other", "error"),
    [
        (EC2, EC2.replace(b"subnet-1", b"subnet-2"), b"<Code>IdempotentParameterMismatch</Code>"),
        (EKS, EKS.replace(b"cicd", b"other"), b"InvalidParameterException"),
    ],
)
def test_a_client_token_with_other_parameters_is_refused(body: bytes, other: bytes, error: bytes) -> None:
    """The service is not asked again. Another action may have the same token."""
    asked, last = send(body, other)
    assert (asked, error in last) == (1, True), last
    assert send(EC2, EC2.replace(b"CreateNatGateway", b"CreateRouteTable"))[0] == 2


def test_a_subnet_is_made_and_associated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """EC2 refuses the addresses of another subnet of the VPC, and a second route table."""
    monkeypatch.setattr(ec2, "_ACTION_MAP", dict(ec2._ACTION_MAP))  # noqa: SLF001
    ec2_answers._refuse_overlapping_subnets()  # noqa: SLF001
    ec2_answers._refuse_second_associations()  # noqa: SLF001

    def ask(action: str, **parameters: str) -> bytes:
        answer: bytes = ec2._ACTION_MAP[action]({name: [value] for name, value in parameters.items()})[2]  # noqa: SLF001
        return answer

    def make(tag: bytes, action: str, **parameters: str) -> str:
        return ask(action, **parameters).split(b"<" + tag + b">")[1].split(b"<")[0].decode()

    vpc, other = (make(b"vpcId", "CreateVpc", CidrBlock="10.0.0.0/16") for _ in range(2))
    table = make(b"routeTableId", "CreateRouteTable", VpcId=vpc)
    subnet = make(b"subnetId", "CreateSubnet", VpcId=vpc, CidrBlock="10.0.0.0/24")
    assert b"InvalidSubnet.Conflict" in ask("CreateSubnet", VpcId=vpc, CidrBlock="10.0.0.0/25")
    for cidr in ("10.0.1.1", "10.0.1.0/33", "a/24", ""):
        assert b"<Code>InvalidParameterValue</Code>" in ask("CreateSubnet", VpcId=vpc, CidrBlock=cidr), cidr
    assert b"<cidrBlock>10.0.1.0/24<" in ask("CreateSubnet", VpcId=vpc, CidrBlock="10.0.1.7/24")
    assert b"<subnetId>" in ask("CreateSubnet", VpcId=other, CidrBlock="10.0.0.0/24")
    assert b"<associationId>" in ask("AssociateRouteTable", RouteTableId=table, SubnetId=subnet)
    assert b"Resource.AlreadyAssociated" in ask("AssociateRouteTable", RouteTableId=table, SubnetId=subnet)
