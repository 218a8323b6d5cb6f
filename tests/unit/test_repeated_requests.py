"""The emulator and a request that an SDK repeats, because the answer was lost."""

import asyncio
from typing import Any

import pytest
from ministack.services import ec2

from local_aws import client_tokens, ec2_answers


def send(answer: tuple[int, dict[str, str], bytes], *bodies: bytes) -> int:
    """Send requests to a service with one answer, and return how often it was asked."""
    asked = []

    async def dispatch(_method: str, _path: str, _headers: Any, body: bytes) -> Any:
        asked.append(body)
        return answer

    async def send_all() -> None:
        once = client_tokens._answer_once(dispatch)  # noqa: SLF001
        for body in bodies:
            assert await once("POST", "/", {}, body) == answer

    asyncio.run(send_all())
    return len(asked)


@pytest.mark.parametrize(
    "body", [b"Action=CreateNatGateway&ClientToken=1", b'{"name": "cicd", "clientRequestToken": "1"}']
)
def test_a_request_with_a_client_token_is_done_once(body: bytes) -> None:
    """It gets the first answer again. Another token, no token and a refused request are done anew."""
    done: tuple[int, dict[str, str], bytes] = (200, {}, b"")
    assert send(done, body, body) == 1
    assert send(done, body, body.replace(b"1", b"2")) == 2
    assert send(done, b"Action=CreateVpc", b"Action=CreateVpc") == 2
    assert send((400, {}, b""), body, body) == 2


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
    assert b"<subnetId>" in ask("CreateSubnet", VpcId=other, CidrBlock="10.0.0.0/24")
    assert b"<associationId>" in ask("AssociateRouteTable", RouteTableId=table, SubnetId=subnet)
    assert b"Resource.AlreadyAssociated" in ask("AssociateRouteTable", RouteTableId=table, SubnetId=subnet)
