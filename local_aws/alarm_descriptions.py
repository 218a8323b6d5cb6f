"""A patch for ministack 1.5.33: DescribeAlarms answers with all that PutMetricAlarm was given.

ministack's answer in the Query protocol, which the AWS provider speaks, lacks actions, dimensions, period,
statistic, description and metric math: Terraform would plan to set them again.
"""

import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import cloudwatch

_REQUEST = "Request"  # key of an alarm's record: the XML of the request that made it
_ALARM = re.compile(r"<member><AlarmName>([^<]+)</AlarmName>.*?</member>", re.DOTALL)


def apply() -> None:
    """Replace two functions of ministack."""
    put, describe = cloudwatch._put_metric_alarm, cloudwatch._describe_alarms

    def put_and_keep(parameters: dict[str, Any], *arguments: Any) -> Any:
        response = put(parameters, *arguments)
        record = cloudwatch._alarms.get(cloudwatch._p(parameters, "AlarmName"))
        if record is not None:
            record[_REQUEST] = _write_request(parameters)
        return response

    def describe_whole(parameters: dict[str, Any], *arguments: Any) -> Any:
        status, headers, body = describe(parameters, *arguments)
        text = body if isinstance(body, str) else body.decode()
        return status, headers, _ALARM.sub(_describe, text).encode()

    cloudwatch._put_metric_alarm = put_and_keep
    cloudwatch._describe_alarms = describe_whole


def _describe(member: re.Match[str]) -> str:
    record = cloudwatch._alarms.get(member[1], {})
    if _REQUEST not in record:
        return member[0]
    state = f"<AlarmArn>{record['AlarmArn']}</AlarmArn><StateValue>{record['StateValue']}</StateValue>"
    return f"<member>{record[_REQUEST]}{state}</member>"


def _write_request(parameters: Mapping[str, Any]) -> str:
    """Return the XML of a request's parameters: `Metrics.member.1.Id=usage` and so on."""
    tree: dict[str, Any] = {"ActionsEnabled": "true"}
    for name in parameters:
        *parents, last = name.split(".")
        if (parents or [last])[0] not in ("Action", "Version", "Tags"):
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = cloudwatch._p(parameters, name)
    return _write(tree)


def _write(node: Mapping[str, Any]) -> str:
    # A list is {"member": {"1": …, "2": …}}; its items are elements called member.
    return "".join(
        "".join(f"<member>{_write_value(item)}</member>" for item in value.values())
        if name == "member"
        else f"<{name}>{_write_value(value)}</{name}>"
        for name, value in node.items()
    )


def _write_value(value: Any) -> str:
    return escape(value) if isinstance(value, str) else _write(value)
