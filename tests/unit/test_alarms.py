"""Alarms: what they watch, who may publish to their topic, and the settings that are refused."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from stacks.alarms import usage_class
from tests.environments import Changes, Mistakes, Synthesized

TOPIC = "arn:aws:sns:eu-central-1:123456789012:ops"
SPOT = {
    "instance_types": ["m5.2xlarge", "m6i.2xlarge"],
    "capacity_type": "SPOT",
    "max_size": 4,
    "taints": [{"key": "spot", "effect": "NO_SCHEDULE"}],
}
GPU = {
    "instance_types": ["g5.2xlarge"],
    "max_size": 1,
    "taints": [{"key": "gpu", "effect": "NO_SCHEDULE"}],
}


@pytest.fixture(scope="module")
def resources(synthesize_changed: Callable[..., Synthesized]) -> dict[str, Any]:
    """The resources of a cluster stack with alarms to an address, by type."""
    found: dict[str, Any] = synthesize_changed(
        {
            "alarms": {"emails": ["ops@example.com", "night@example.com"]},
            "cluster.node_groups.spot": SPOT,
            "cluster.node_groups.gpu": GPU,
        }
    )["cluster"]["resource"]
    return found


def test_no_alarm_without_the_settings(example: Synthesized) -> None:
    """The block is optional; an environment without it is as before."""
    kinds = set(example["cluster"]["resource"])
    assert kinds & {"aws_cloudwatch_metric_alarm", "aws_cloudwatch_event_rule", "aws_sns_topic"} == set()


def test_silence_of_the_autoscaler_is_an_alarm(resources: dict[str, Any]) -> None:
    """No entry in the audit log means that the autoscaler does not work; so does one entry each restart."""
    alarm = resources["aws_cloudwatch_metric_alarm"]["autoscaler_silent"]
    filtered = resources["aws_cloudwatch_log_metric_filter"]["autoscaler_status"]
    assert alarm["treat_missing_data"] == "breaching"
    assert (alarm["comparison_operator"], alarm["threshold"]) == ("LessThanThreshold", 5)
    metric = filtered["metric_transformation"]
    assert (alarm["namespace"], alarm["metric_name"]) == (metric["namespace"], metric["name"])
    assert filtered["log_group_name"] == "${aws_cloudwatch_log_group.cluster_logs.name}"


def test_only_groups_that_always_have_nodes_are_watched_for_them(resources: dict[str, Any]) -> None:
    """A group that may be empty has no number of nodes to fall below; its launches are watched."""
    alarms = resources["aws_cloudwatch_metric_alarm"]
    assert {name: alarms[name]["threshold"] for name in alarms if name.startswith("nodes_")} == {
        "nodes_main-a": 1
    }
    (rule,) = (
        json.loads(resources["aws_cloudwatch_event_rule"][name]["event_pattern"])
        for name in ["launch_failures"]
    )
    assert len(rule["detail"]["AutoScalingGroupName"]) == len(resources["aws_eks_node_group"])


def test_each_vcpu_quota_that_the_node_groups_use_is_watched(resources: dict[str, Any]) -> None:
    """On-Demand, Spot and each kind of instance have quotas of their own."""
    classes = {
        alarm["metric_query"][0]["metric"]["dimensions"]["Class"]
        for name, alarm in resources["aws_cloudwatch_metric_alarm"].items()
        if name.startswith("vcpu_quota_")
    }
    assert classes == {"Standard/OnDemand", "Standard/Spot", "G/OnDemand"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("m5.2xlarge", "Standard"), ("im4gn.large", "Standard"), ("inf2.xlarge", "Inf"), ("vt1.3xlarge", "G")],
)
def test_the_quota_of_an_instance_type(name: str, kind: str) -> None:
    """The letters of the family say which quota counts."""
    assert usage_class(name, "SPOT") == f"{kind}/Spot"


@pytest.mark.parametrize("name", ["trn1.2xlarge", "hpc7a.12xlarge", "dl1.24xlarge", "mac2.metal"])
def test_some_quotas_have_no_usage_metric(name: str) -> None:
    """An alarm on a metric that nobody publishes would never change."""
    assert usage_class(name, "ON_DEMAND") is None
    assert usage_class("p5.48xlarge", "SPOT") is None


def test_cloudwatch_publishes_from_the_own_account_alone(resources: dict[str, Any]) -> None:
    """The topic and its key take CloudWatch's alarms of this account; EventBridge allows no condition."""
    policies = (
        resources["aws_sns_topic_policy"]["alarms_topic_policy"]["policy"],
        resources["aws_kms_key"]["alarms_key"]["policy"],
    )
    for document in map(json.loads, policies):
        services = {
            statement["Principal"]["Service"]: statement.get("Condition")
            for statement in document["Statement"]
            if "Service" in statement["Principal"]
        }
        assert services == {
            "cloudwatch.amazonaws.com": {
                "StringEquals": {"aws:SourceAccount": "${data.aws_caller_identity.account.account_id}"}
            },
            "events.amazonaws.com": None,
        }
    key = resources["aws_sns_topic"]["alarms_topic"]["kms_master_key_id"]
    assert key == "${aws_kms_key.alarms_key.key_id}"


def test_each_address_has_a_subscription_of_its_own(resources: dict[str, Any]) -> None:
    """The address is the key: to remove one makes no other confirm again."""
    subscription = resources["aws_sns_topic_subscription"]["alarms_email"]
    assert subscription["for_each"] == '${toset(["ops@example.com", "night@example.com"])}'
    assert subscription["endpoint"] == "${each.value}"


def test_an_existing_topic_gets_everything(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Then the project makes no topic, key or subscription, and changes no policy."""
    found = synthesize_changed({"alarms": {"sns_topic_arn": TOPIC}})["cluster"]["resource"]
    assert not {"aws_sns_topic", "aws_sns_topic_policy", "aws_sns_topic_subscription"} & set(found)
    assert set(found["aws_kms_key"]) == {"secrets_key"}
    alarms = found["aws_cloudwatch_metric_alarm"].values()
    assert all(alarm["alarm_actions"] == alarm["ok_actions"] == [TOPIC] for alarm in alarms)
    assert {target["arn"] for target in found["aws_cloudwatch_event_target"].values()} == {TOPIC}


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        pytest.param(
            {"alarms": {"emails": ["ops"]}},
            'alarms.emails.0: "ops": not of the accepted form',
            id="no address",
        ),
        pytest.param(
            {"alarms": {"emails": ["a@b.example"], "sns_topic_arn": TOPIC}},
            'alarms.emails: ["a@b.example"]: must not be set beside `sns_topic_arn`: subscribe them to that '
            "topic",
            id="two ways",
        ),
        pytest.param(
            {"alarms": {"sns_topic_arn": TOPIC.replace("central", "west")}},
            'alarms.sns_topic_arn: "arn:aws:sns:eu-west-1:123456789012:ops": must be a topic in the '
            "environment's region, eu-central-1",
            id="another region",
        ),
        pytest.param(
            {"alarms": {}, "cluster.enabled_cluster_log_types": ["api"]},
            'cluster.enabled_cluster_log_types: ["api"]: must have audit beside `alarms`: one of them reads '
            "there whether the autoscaler works",
            id="no audit log",
        ),
    ],
)
def test_alarms_that_nobody_would_get_are_refused(mistakes: Mistakes, changes: Changes, mistake: str) -> None:
    """The message names the setting and what is accepted."""
    (line,) = mistakes(changes)
    assert line.startswith(f"example.yaml: {mistake}")
