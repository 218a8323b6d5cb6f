"""Service Quotas, which ministack 1.5.33 does not have: the vCPU quotas of EC2.

The defaults are those of a new account (Amazon EC2, "Amazon EC2 instance type quotas"). The emulated account
has asked for more On-Demand Standard vCPUs: enough for environments/local.yaml and the tests. A request for
more is granted at once.
"""

import json
import re
from typing import Any

from ministack import app
from ministack.core import router
from ministack.core.responses import get_account_id, get_region

_TARGET = "ServiceQuotasV20190624"
_STANDARD = "Standard (A, C, D, H, I, M, R, T, Z)"
_NAMES = {
    "L-1216C47A": f"Running On-Demand {_STANDARD} instances",
    "L-DB2E81BA": "Running On-Demand G and VT instances",
    "L-417A185B": "Running On-Demand P instances",
    "L-1945791B": "Running On-Demand Inf instances",
    "L-2C3B7624": "Running On-Demand Trn instances",
    "L-74FC7D96": "Running On-Demand F instances",
    "L-7295265B": "Running On-Demand X instances",
    "L-6E869C2A": "Running On-Demand DL instances",
    "L-F7808C92": "Running On-Demand HPC instances",
    "L-43DA4232": "Running On-Demand High Memory instances",
    "L-34B43A08": f"All {_STANDARD} Spot Instance Requests",
    "L-3819A6DF": "All G and VT Spot Instance Requests",
    "L-7212CCBC": "All P4, P3 and P2 Spot Instance Requests",
    "L-C4BD4855": "All P5 Spot Instance Requests",
    "L-B5D1601B": "All Inf Spot Instance Requests",
    "L-6B0D517C": "All Trn Spot Instance Requests",
    "L-88CF9481": "All F Spot Instance Requests",
    "L-E3A00192": "All X Spot Instance Requests",
    "L-85EED4F7": "All DL Spot Instance Requests",
}
_applied = {"L-1216C47A": 1000.0}

Response = tuple[int, dict[str, str], bytes]


def apply() -> None:
    """Let ministack serve it; call this once, before it serves."""
    router.SERVICE_PATTERNS["servicequotas"] = {"target_prefixes": [_TARGET]}
    app.SERVICE_HANDLERS["servicequotas"] = _handle


def find_quota(instance_type: str, capacity_type: str) -> tuple[str, float] | None:
    """Return name and vCPUs of the quota that an instance counts against; None if no name has its family."""
    match = re.match("[a-z]+[0-9]*", instance_type)
    family = match.group().upper() if match else ""
    for length in range(len(family), 0, -1):
        for code, name in _NAMES.items():
            families = {word.upper() for word in re.findall(r"\b(?:[A-Z]{1,3}[0-9]?|Inf|Trn)\b", name)}
            if family[:length] in families and ("Spot" in name) == (capacity_type == "SPOT"):
                return name, _applied.get(code, _default(code))
    return None


def _default(code: str) -> float:
    return 5.0 if _STANDARD in _NAMES[code] else 0.0


async def _handle(_method: str, _path: str, headers: Any, body: bytes, _query: Any) -> Response:
    request = json.loads(body)
    code = request.get("QuotaCode")
    if request.get("ServiceCode") != "ec2" or code not in _NAMES:
        return _answer({"__type": "NoSuchResourceException", "Message": "The quota does not exist."}, 400)
    match headers.get("x-amz-target", "").partition(".")[2]:
        case "GetAWSDefaultServiceQuota":
            return _answer({"Quota": _describe(code, _default(code))})
        case "GetServiceQuota" if code in _applied:
            return _answer({"Quota": _describe(code, _applied[code])})
        case "GetServiceQuota":  # an account that has never asked for more has only the default
            return _answer({"__type": "NoSuchResourceException", "Message": "No applied value."}, 400)
        case "RequestServiceQuotaIncrease":
            _applied[code] = float(request["DesiredValue"])
            asked = {"QuotaCode": code, "DesiredValue": _applied[code], "Status": "APPROVED"}
            return _answer({"RequestedQuota": asked})
    return _answer({"__type": "UnknownOperationException"}, 400)


def _describe(code: str, value: float) -> dict[str, Any]:
    arn = f"arn:aws:servicequotas:{get_region()}:{get_account_id()}:ec2/{code}"
    quota = {"QuotaCode": code, "QuotaName": _NAMES[code], "QuotaArn": arn, "Value": value}
    return {"ServiceCode": "ec2", "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)", **quota}


def _answer(body: dict[str, Any], status: int = 200) -> Response:
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()
