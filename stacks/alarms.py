"""Alarms: what AWS sees of a fleet that can't work, sent to one SNS topic.

Intent: each alarm is for a state that somebody must end, and its text says how. The alarms need no agent in
the cluster: EKS, Auto Scaling, EC2, the NAT gateways and the audit log publish what they read.
Not here: what AWS does not see (docs/operations.md, "Alarms").
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cdktf import Fn, TerraformIterator, TerraformStack, Token
from cdktf_cdktf_provider_aws.cloudwatch_event_rule import CloudwatchEventRule
from cdktf_cdktf_provider_aws.cloudwatch_event_target import (
    CloudwatchEventTarget,
    CloudwatchEventTargetInputTransformer,
)
from cdktf_cdktf_provider_aws.cloudwatch_log_metric_filter import (
    CloudwatchLogMetricFilter,
    CloudwatchLogMetricFilterMetricTransformation,
)
from cdktf_cdktf_provider_aws.cloudwatch_metric_alarm import (
    CloudwatchMetricAlarm,
    CloudwatchMetricAlarmMetricQuery,
    CloudwatchMetricAlarmMetricQueryMetric,
)
from cdktf_cdktf_provider_aws.data_aws_route_table import DataAwsRouteTable
from cdktf_cdktf_provider_aws.eks_node_group import EksNodeGroup
from cdktf_cdktf_provider_aws.kms_key import KmsKey
from cdktf_cdktf_provider_aws.sns_topic import SnsTopic
from cdktf_cdktf_provider_aws.sns_topic_policy import SnsTopicPolicy
from cdktf_cdktf_provider_aws.sns_topic_subscription import SnsTopicSubscription

from stacks.environment import Environment
from stacks.iam import policy
from stacks.instance_quotas import find_quota_class
from stacks.node_groups import autoscaling_group_name
from stacks.routes import find_nat_gateways
from stacks.settings.alarms import AlarmSettings

QUOTA_PERCENT = 80

# The autoscaler writes its status after each round, every 10 seconds, and once more at its start: one that
# crashes over and over writes some three times in 15 minutes.
_LEAST_STATUSES = 5
_AUTOSCALER_STATUS = (
    '{ ($.objectRef.resource = "configmaps") && ($.objectRef.namespace = "kube-system") && '
    '($.objectRef.name = "cluster-autoscaler-status") && ($.verb = "update") && '
    "($.responseStatus.code = 200) }"
)


def usage_class(instance_type: str, capacity_type: str) -> str | None:
    """Return the class of the vCPU usage metric, such as Standard/OnDemand; None if AWS publishes none."""
    quota = find_quota_class(instance_type, capacity_type)
    way_to_pay = "Spot" if capacity_type == "SPOT" else "OnDemand"
    return f"{quota.usage}/{way_to_pay}" if quota and quota.usage else None


class ClusterAlarms:
    """The alarms of one cluster; their resources are flat in the cluster stack."""

    def __init__(
        self,
        stack: TerraformStack,
        *,
        settings: AlarmSettings,
        environment: Environment,
        account_id: str,
        partition: str,
        cluster_name: str,
        log_group: str,
        node_groups: Mapping[str, EksNodeGroup],
        availability_zones: Sequence[str],
        private_route_table_ids: Sequence[str],
    ) -> None:
        """Add the alarms to the cluster stack.

        Args:
            stack: The cluster stack.
            settings: Where the alarms are sent.
            environment: Its prefix begins the names of alarms, rules and topic.
            account_id: The account of the cluster.
            partition: The partition of AWS, such as `aws`.
            cluster_name: The EKS cluster.
            log_group: The log group with the cluster's audit log.
            node_groups: The node groups in EKS, by name.
            availability_zones: The zones, in the order of the route tables.
            private_route_table_ids: The route tables of the private subnets, one per zone.

        """
        self._stack = stack
        self._prefix = environment.resource_prefix
        self._region = environment.aws.region
        self._account_id = account_id
        self._partition = partition
        self._topic_arn = settings.sns_topic_arn or self._build_topic(settings.emails)
        self._watch_autoscaler(log_group)
        self._watch_pods(cluster_name)
        self._watch_steady_groups(node_groups)
        self._watch_launches(node_groups)
        self._watch_quotas(node_groups)
        self._watch_nat_gateways(availability_zones, private_route_table_ids)
        self._forward_health_events()

    def _build_topic(self, emails: Sequence[str]) -> str:
        """Make the topic and its key, and return the topic's ARN.

        CloudWatch and EventBridge can't use AWS's own key for SNS, `alias/aws/sns` (Amazon SNS, "Enable
        compatibility between event sources from AWS services and encrypted topics").
        """
        stack = self._stack
        from_account = {"StringEquals": {"aws:SourceAccount": self._account_id}}
        use_key = {"Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*"}
        key = KmsKey(
            stack,
            "alarms_key",
            description=f"Encryption of the SNS topic {self._prefix}-alarms",
            enable_key_rotation=True,
            policy=policy(
                {
                    "Principal": {"AWS": f"arn:{self._partition}:iam::{self._account_id}:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                },
                {
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    **use_key,
                    "Condition": from_account,
                },
                # Amazon SNS and EventBridge: no condition is possible for events.amazonaws.com, neither
                # here nor in the policy of the topic.
                {"Principal": {"Service": "events.amazonaws.com"}, **use_key},
            ),
        )
        topic = SnsTopic(stack, "alarms_topic", name=f"{self._prefix}-alarms", kms_master_key_id=key.key_id)
        publish = {"Action": "sns:Publish", "Resource": topic.arn}
        SnsTopicPolicy(
            stack,
            "alarms_topic_policy",
            arn=topic.arn,
            policy=policy(
                {
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    **publish,
                    "Condition": from_account,
                },
                {"Principal": {"Service": "events.amazonaws.com"}, **publish},
            ),
        )
        if emails:
            # By for_each: an address that is removed from the list leaves the others confirmed.
            each = TerraformIterator.from_list(list(emails))
            SnsTopicSubscription(
                stack,
                "alarms_email",
                for_each=each,
                topic_arn=topic.arn,
                protocol="email",
                endpoint=Token.as_string(each.value),
            )
        return topic.arn

    def _build_alarm(self, id_: str, *, name: str, description: str, **options: Any) -> CloudwatchMetricAlarm:
        return CloudwatchMetricAlarm(
            self._stack,
            id_,
            alarm_name=f"{self._prefix}-{name}",
            alarm_description=description,
            alarm_actions=[self._topic_arn],
            ok_actions=[self._topic_arn],
            **options,
        )

    def _build_rule(
        self, id_: str, *, name: str, pattern: Mapping[str, Any], paths: dict[str, str], text: str
    ) -> None:
        rule = CloudwatchEventRule(
            self._stack, id_, name=f"{self._prefix}-{name}", event_pattern=json.dumps(pattern)
        )
        CloudwatchEventTarget(
            self._stack,
            f"{id_}_target",
            rule=rule.name,
            target_id="alarms",
            arn=self._topic_arn,
            input_transformer=CloudwatchEventTargetInputTransformer(
                input_paths=paths, input_template=json.dumps(text)
            ),
        )

    def _watch_autoscaler(self, log_group: str) -> None:
        """Send an alarm when the audit log has had no status of the autoscaler for 15 minutes.

        EKS logs each request that changes a ConfigMap (EKS Best Practices Guide, "Auditing and logging";
        cluster-autoscaler, core/static_autoscaler.go).
        """
        namespace, metric_name = f"{self._prefix}/EKS", "ClusterAutoscalerStatus"
        CloudwatchLogMetricFilter(
            self._stack,
            "autoscaler_status",
            name=f"{self._prefix}-autoscaler-status",
            log_group_name=log_group,
            pattern=_AUTOSCALER_STATUS,
            metric_transformation=CloudwatchLogMetricFilterMetricTransformation(
                namespace=namespace, name=metric_name, value="1"
            ),
        )
        self._build_alarm(
            "autoscaler_silent",
            name="autoscaler-silent",
            description="The cluster autoscaler has not worked for 15 minutes: no job that needs another "
            "node starts. Look at `kubectl --namespace kube-system logs deployment/cluster-autoscaler`.",
            namespace=namespace,
            metric_name=metric_name,
            statistic="Sum",
            period=300,
            evaluation_periods=3,
            comparison_operator="LessThanThreshold",
            threshold=_LEAST_STATUSES,
            treat_missing_data="breaching",
        )

    def _watch_pods(self, cluster_name: str) -> None:
        """Send an alarm when pods have waited for a node for 30 minutes.

        The metric comes once a minute (Amazon EKS, "Monitor cluster data with Amazon CloudWatch").
        """
        self._build_alarm(
            "pods_waiting",
            name="pods-waiting",
            description="For 30 minutes there was always a pod without a node. The autoscaler is dead, all "
            "groups are at max_size, or no instance starts: `kubectl get events --all-namespaces "
            "--field-selector reason=NotTriggerScaleUp` and `reason=FailedScheduling` say why.",
            namespace="AWS/EKS",
            metric_name="scheduler_pending_pods_UNSCHEDULABLE",
            dimensions={"ClusterName": cluster_name},
            statistic="Sum",
            period=60,
            evaluation_periods=30,
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            treat_missing_data="notBreaching",
        )

    def _watch_steady_groups(self, node_groups: Mapping[str, EksNodeGroup]) -> None:
        """Send an alarm when a node group has had fewer nodes than its minimum for 15 minutes.

        EKS publishes no metric and no event of a node group that is DEGRADED (aws/containers-roadmap
        issue 1420). A group without a minimum has the alarm of its launches instead. The metric: Amazon
        EKS, "View metrics for Amazon EC2 Auto Scaling groups".
        """
        for name, group in node_groups.items():
            minimum = group.scaling_config.min_size_input
            if minimum:
                self._build_alarm(
                    f"nodes_{name}",
                    name=f"nodes-{name}",
                    description=f"The node group {name} has had fewer nodes than its minimum, {minimum:g}, "
                    "for 15 minutes. `aws eks describe-nodegroup --query nodegroup.health` says why.",
                    namespace="AWS/AutoScaling",
                    metric_name="GroupInServiceInstances",
                    dimensions={"AutoScalingGroupName": autoscaling_group_name(group)},
                    statistic="Maximum",
                    period=300,
                    evaluation_periods=3,
                    comparison_operator="LessThanThreshold",
                    threshold=minimum,
                    treat_missing_data="breaching",
                )

    def _watch_launches(self, node_groups: Mapping[str, EksNodeGroup]) -> None:
        """Forward each failed start of a node, with Auto Scaling's reason.

        Amazon EC2 Auto Scaling, "Amazon EC2 Auto Scaling event reference".
        """
        self._build_rule(
            "launch_failures",
            name="launch-failures",
            pattern={
                "source": ["aws.autoscaling"],
                "detail-type": ["EC2 Instance Launch Unsuccessful"],
                "detail": {
                    "AutoScalingGroupName": [autoscaling_group_name(group) for group in node_groups.values()]
                },
            },
            paths={"group": "$.detail.AutoScalingGroupName", "reason": "$.detail.StatusMessage"},
            text="<group> could not start a node: <reason>",
        )

    def _watch_quotas(self, node_groups: Mapping[str, EksNodeGroup]) -> None:
        """Send an alarm when the account uses most of a vCPU quota of the node groups.

        Amazon CloudWatch, "Visualizing your service quotas and setting alarms".
        """
        classes = {
            usage_class(name, str(group.capacity_type_input))
            for group in node_groups.values()
            for name in group.instance_types_input or []
        }
        for kind in sorted(filter(None, classes)):
            slug = kind.lower().replace("/", "-")
            self._build_alarm(
                f"vcpu_quota_{slug.replace('-', '_')}",
                name=f"vcpu-quota-{slug}",
                description=f"The account uses more than {QUOTA_PERCENT} % of its vCPU quota for {kind} in "
                f"{self._region}. Beyond the quota no node starts: raise it in Service Quotas, Amazon EC2.",
                metric_query=[
                    _usage(
                        "usage", {"Service": "EC2", "Type": "Resource", "Resource": "vCPU", "Class": kind}
                    ),
                    CloudwatchMetricAlarmMetricQuery(
                        id="percent",
                        expression="100 * usage / SERVICE_QUOTA(usage)",
                        label="percent of the quota",
                        return_data=True,
                    ),
                ],
                evaluation_periods=1,
                comparison_operator="GreaterThanThreshold",
                threshold=QUOTA_PERCENT,
                treat_missing_data="notBreaching",
            )

    def _watch_nat_gateways(self, zones: Sequence[str], route_table_ids: Sequence[str]) -> None:
        """Send an alarm when a NAT gateway of the private subnets has no free port or drops packets.

        Amazon VPC, "Monitor NAT gateways with Amazon CloudWatch": the metrics, and 0.01 percent.
        """
        tables = [
            DataAwsRouteTable(
                self._stack,
                f"private_route_table_{zone[-1]}",
                route_table_id=Token.as_string(Fn.lookup_nested(route_table_ids, [index])),
            )
            for index, zone in enumerate(zones)
        ]
        gateways = find_nat_gateways(tables)
        ports = self._build_alarm(
            "nat_ports",
            name="nat-ports-${each.key}",
            description="The NAT gateway ${each.key} has no free port for another connection to the same "
            "address: jobs fail to connect. Another gateway (network.nat_gateways: one_per_zone), or fewer "
            "connections to one host.",
            namespace="AWS/NATGateway",
            metric_name="ErrorPortAllocation",
            dimensions={"NatGatewayId": "${each.key}"},
            statistic="Sum",
            period=300,
            evaluation_periods=1,
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            treat_missing_data="notBreaching",
        )
        drops = self._build_alarm(
            "nat_drops",
            name="nat-drops-${each.key}",
            description="The NAT gateway ${each.key} has dropped more than 0.01 % of its packets for 15 "
            "minutes. Look at the AWS Health Dashboard.",
            metric_query=[
                _count("dropped", "PacketsDropCount"),
                _count("sent", "PacketsInFromSource"),
                _count("received", "PacketsInFromDestination"),
                CloudwatchMetricAlarmMetricQuery(
                    id="percent",
                    expression="100 * dropped / (sent + received)",
                    label="percent of all packets",
                    return_data=True,
                ),
            ],
            evaluation_periods=3,
            comparison_operator="GreaterThanThreshold",
            threshold=0.01,
            treat_missing_data="notBreaching",
        )
        for alarm in (ports, drops):
            alarm.add_override("for_each", gateways)

    def _forward_health_events(self) -> None:
        """Forward AWS's own messages about EKS: a cluster with health issues, or near its end of support.

        Amazon EKS, "Cluster health FAQs"; AWS Health, "Monitoring events in AWS Health with Amazon
        EventBridge".
        """
        self._build_rule(
            "health_events",
            name="eks-health",
            pattern={
                "source": ["aws.health"],
                "detail-type": ["AWS Health Event"],
                "detail": {"service": ["EKS"]},
            },
            paths={
                "code": "$.detail.eventTypeCode",
                "text": "$.detail.eventDescription[0].latestDescription",
            },
            text="AWS Health, <code>: <text>",
        )


def _usage(id_: str, dimensions: dict[str, str]) -> CloudwatchMetricAlarmMetricQuery:
    return CloudwatchMetricAlarmMetricQuery(
        id=id_,
        metric=CloudwatchMetricAlarmMetricQueryMetric(
            namespace="AWS/Usage",
            metric_name="ResourceCount",
            dimensions=dimensions,
            stat="Maximum",
            period=300,
        ),
    )


def _count(id_: str, metric_name: str) -> CloudwatchMetricAlarmMetricQuery:
    return CloudwatchMetricAlarmMetricQuery(
        id=id_,
        metric=CloudwatchMetricAlarmMetricQueryMetric(
            namespace="AWS/NATGateway",
            metric_name=metric_name,
            dimensions={"NatGatewayId": "${each.key}"},
            stat="Sum",
            period=300,
        ),
    )
