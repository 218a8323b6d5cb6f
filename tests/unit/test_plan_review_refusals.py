"""Changes that AWS refuses: the review says that the apply will fail."""

import base64
import json
from typing import Any

import botocore
import pytest

from plan_review.findings import Category, Finding
from stacks.settings.load import PROJECT
from tests.plan_documents import State, allow, findings, policy, report, resource
from tools.generate_api_limits import FILE, build


def refusals(*changes: dict[str, Any], **more: Any) -> list[Finding]:
    """Return the findings that say that AWS refuses a change."""
    return findings(Category.REFUSAL, *changes, **more)


def group(**more: Any) -> dict[str, Any]:
    """Return the attributes of a node group."""
    return {"cluster_name": "c", "node_group_name": "g", "version": "1.35"} | more


def scaling(least: int, desired: int, most: int) -> dict[str, Any]:
    """Return the numbers of a node group."""
    return {"scaling_config": [{"min_size": least, "desired_size": desired, "max_size": most}]}


def cluster(**more: Any) -> dict[str, Any]:
    """Return the attributes of a cluster."""
    return {"name": "c", "version": "1.35"} | more


def statement(**more: Any) -> str:
    """Return a policy document; each keyword is an element of its only statement."""
    return policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"} | more)


def trust(**more: Any) -> str:
    """Return a trust policy."""
    principal = {"Service": "ec2.amazonaws.com"}
    return policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal} | more)


def rule(**more: Any) -> dict[str, Any]:
    """Return a lifecycle rule of a bucket."""
    return {"rule": [{"id": "all", "status": "Enabled"} | more]}


def move(days: int, to: str) -> list[dict[str, Any]]:
    """Return a transition of a lifecycle rule."""
    return [{"days": days, "storage_class": to}]


DATABASE = {"deletion_protection": False, "skip_final_snapshot": True, "allocated_storage": 100}
# Type, attributes before, those that AWS refuses, words of the finding, and similar ones that AWS takes.
REFUSED: list[tuple[str, State, State, str, State]] = [
    # The API models.
    (
        "aws_iam_role",
        None,
        {"name": "a" * 65},
        "at most 64 characters are accepted, it has 65",
        {"name": "a"},
    ),
    ("aws_iam_role", None, {"name": "a b"}, "the pattern", {"name": "a=b"}),
    ("aws_iam_role", None, {"tags": {"a": "x" * 257}}, "at most 256", {"tags": {"a": "ä" * 256}}),
    ("aws_iam_role", None, {"tags": {"a": "b, c"}}, "the pattern", {"tags": {"a": "b/c ü"}}),
    (
        "aws_iam_role",
        {},
        {"tags_all": {str(n): "" for n in range(51)}, "tags": {}},
        "at most 50",
        {"tags": {}},
    ),
    ("aws_eks_node_group", None, group(labels={"k": "v" * 64}), "at most 63", group(labels={"k": "v" * 63})),
    ("aws_eks_node_group", None, group(labels={"k": ""}), "at least 1", group(labels={"k": "v"})),
    ("aws_eks_node_group", None, group(taint=[{"key": "k" * 64}]), "at most 63", group(taint=[{"key": "k"}])),
    ("aws_lambda_function", None, {"description": "a" * 257}, "at most 256", {"description": "a" * 256}),
    (
        "aws_cloudwatch_metric_alarm",
        None,
        {"alarm_actions": ["a"] * 6},
        "at most 5",
        {"alarm_actions": ["a"]},
    ),
    ("aws_instance", None, {"instance_type": "m5.xlagre"}, "no such size", {"instance_type": "m5.xlarge"}),
    # Amazon EKS.
    ("aws_eks_cluster", cluster(), cluster(version="1.37"), "first 1.36", cluster(version="1.36")),
    ("aws_eks_cluster", cluster(), cluster(version="1.33"), "goes back", cluster()),
    (
        "aws_eks_cluster",
        {"access_config": [{"authentication_mode": "API"}]},
        {"access_config": [{"authentication_mode": "API_AND_CONFIG_MAP"}]},
        "can't go back from API",
        {"access_config": [{"authentication_mode": "API"}]},
    ),
    (
        "aws_eks_node_group",
        group(**scaling(1, 2, 5)),
        group(**scaling(3, 2, 5)),
        "is at most the number of nodes that the plan sends, which is 2",
        group(**scaling(2, 2, 5)),
    ),
    ("aws_eks_node_group", None, group(**scaling(6, 6, 5)), "maximum", group(**scaling(5, 5, 5))),
    ("aws_eks_node_group", None, group(**scaling(0, 6, 5)), "is at least", group(**scaling(0, 0, 5))),
    (
        "aws_eks_node_group",
        None,
        group(labels={"node-role.kubernetes.io/ci": "x"}),
        "can't begin with",
        group(labels={"node.kubernetes.io/ci": "x"}),
    ),
    ("aws_eks_node_group", None, group(labels={"k": "a b"}), "letters", group(labels={"k": "a.b"})),
    # IAM.
    ("aws_iam_policy", None, {"policy": statement(Sid="a-b")}, "letters and digits", {"policy": statement()}),
    (
        "aws_iam_policy",
        None,
        {"policy": statement(Effect="allow")},
        "Allow and Deny",
        {"policy": statement()},
    ),
    ("aws_iam_policy", None, {"policy": statement(Action="GetObject")}, "a colon", {"policy": statement()}),
    ("aws_iam_policy", None, {"policy": statement(Resource="bucket/*")}, "an ARN", {"policy": statement()}),
    ("aws_iam_policy", None, {"policy": statement(Resource=None)}, "has a Resource", {"policy": statement()}),
    ("aws_iam_policy", None, {"policy": policy(allow(), allow())}, "used once", {"policy": policy(allow())}),
    (
        "aws_iam_policy",
        None,
        {"policy": statement(Resource=[f"arn:aws:s3:::bucket-{n:04}/*" for n in range(250)])},
        "a managed policy has at most 6,144 characters",
        {"policy": statement(Resource=[f"arn:aws:s3:::bucket-{n:04}/*" for n in range(200)])},
    ),
    (
        "aws_iam_role",
        None,
        {"assume_role_policy": trust(Resource="*")},
        "no resource",
        {"assume_role_policy": trust()},
    ),
    (
        "aws_iam_role",
        None,
        {"assume_role_policy": trust(Condition={"StringEquals": {"a": ["x" * 4096]}})},
        "a trust policy has at most",
        {"assume_role_policy": trust(Condition={"StringEquals": {"a": ["x" * 1024]}})},
    ),
    # Amazon EC2 and VPC.
    (
        "aws_vpc_security_group_ingress_rule",
        None,
        {"ip_protocol": "tcp", "from_port": 443, "to_port": 80},
        "from_port is at most",
        {"ip_protocol": "icmp", "from_port": 8, "to_port": 0},
    ),
    (
        "aws_security_group",
        None,
        {"ingress": [{"protocol": "tcp", "from_port": 0, "to_port": 65536}]},
        "ports are",
        {"ingress": [{"protocol": "tcp", "from_port": 0, "to_port": 65535}]},
    ),
    ("aws_ebs_volume", {"size": 100}, {"size": 50}, "can't get smaller", {"size": 150}),
    (
        "aws_ebs_volume",
        None,
        {"type": "io1", "size": 10, "iops": 1000},
        "50 IOPS",
        {"type": "io1", "size": 20},
    ),
    (
        "aws_launch_template",
        None,
        {"block_device_mappings": [{"ebs": [{"volume_type": "gp3", "volume_size": 50, "throughput": 1000}]}]},
        "MiB/s",
        {"block_device_mappings": [{"ebs": [{"volume_type": "gp3", "volume_size": 50, "throughput": 750}]}]},
    ),
    (
        "aws_launch_template",
        None,
        {"user_data": base64.b64encode(b"x" * 16385).decode()},
        "16,384 bytes",
        {"user_data": base64.b64encode(b"x" * 16384).decode()},
    ),
    ("aws_autoscaling_group", {}, {"min_size": 3, "max_size": 2}, "at most", {"min_size": 2, "max_size": 2}),
    ("aws_subnet", None, {"cidr_block": "10.0.0.0/29"}, "/16 to /28", {"cidr_block": "10.0.0.0/28"}),
    # Amazon S3.
    ("aws_s3_bucket", None, {"bucket": "My_bucket"}, "small letters", {"bucket": "my-bucket.example"}),
    ("aws_s3_bucket", None, {"bucket": "192.168.0.1"}, "IP address", {"bucket": "192.168.0.bucket"}),
    (
        "aws_s3_bucket_lifecycle_configuration",
        {},
        rule(transition=move(7, "STANDARD_IA")),
        "after 30 days",
        rule(transition=move(7, "GLACIER")),
    ),
    (
        "aws_s3_bucket_lifecycle_configuration",
        {},
        rule(transition=move(90, "GLACIER"), expiration=[{"days": 60}]),
        "after the last transition",
        rule(transition=move(90, "GLACIER"), expiration=[{"days": 91}]),
    ),
    # Other services.
    (
        "aws_ssm_parameter",
        None,
        {"tier": "Standard", "value": "a" * 4097},
        "4,096 bytes",
        {"value": "a" * 4097},
    ),
    (
        "aws_lambda_function",
        None,
        {"environment": [{"variables": {"A": "x" * 4096}}]},
        "4,096 bytes",
        {"environment": [{"variables": {"A": "x" * 4095}}]},
    ),
    (
        "aws_route53_record",
        None,
        {"type": "TXT", "records": ["a" * 256]},
        "255",
        {"type": "TXT", "records": [f'{"a" * 200}""{"b" * 200}']},
    ),
    ("aws_db_instance", DATABASE, DATABASE | {"allocated_storage": 50}, "can't get smaller", DATABASE),
    ("aws_db_instance", DATABASE | {"deletion_protection": True}, None, "can't be deleted", DATABASE),
    ("aws_db_instance", DATABASE | {"skip_final_snapshot": False}, None, "final snapshot", DATABASE),
]


@pytest.mark.parametrize(("kind", "before", "after", "words", "accepted"), REFUSED)
def test_what_aws_refuses_needs_an_approval(
    kind: str, before: State, after: State, words: str, accepted: State
) -> None:
    """One finding has the rule, its source and the value; a similar value that AWS takes is no finding."""
    (found,) = refusals(resource(kind, before, after))
    assert found.needs_approval
    assert found.text.startswith("will be refused: ")
    assert words in found.text
    assert found.differences
    assert not [item for item in refusals(resource(kind, before, accepted)) if item.needs_approval]


def test_an_unknown_value_is_never_refused() -> None:
    """A value that is known only after the apply may be right."""
    unknown = {"labels": {"k": True}, "scaling_config": [{"min_size": True}], "node_group_name": True}
    numbers = {"scaling_config": [{"desired_size": 1, "max_size": 3}]}
    assert not refusals(resource("aws_eks_node_group", None, numbers, unknown=unknown))


def test_values_that_the_apply_does_not_send_are_not_judged() -> None:
    """AWS took them long ago, whatever the rule says today."""
    before = {"name": "a" * 65, "description": "old"}
    assert not refusals(resource("aws_iam_role", before, before | {"description": "new"}))


def test_a_refused_secret_is_not_shown() -> None:
    """Its length is judged, and the report has neither the value nor a part of it."""
    secret = "hunter2-" * 600
    change = resource(
        "aws_ssm_parameter", None, {"tier": "Standard", "value": secret}, after_sensitive={"value": True}
    )
    assert refusals(change)
    assert "hunter2" not in report(change)


def test_a_quota_that_can_be_raised_is_no_certain_refusal() -> None:
    """The account may have a higher one, so the finding needs no approval."""
    document = trust(Condition={"StringEquals": {"a": ["x" * 2048]}})
    attached = [
        resource(
            "aws_iam_role_policy_attachment",
            None,
            {"role": "r", "policy_arn": f"arn:aws:iam::123456789012:policy/p{number}"},
            address=f"aws_iam_role_policy_attachment.p[{number}]",
        )
        for number in range(11)
    ]
    for changes in ([resource("aws_iam_role", None, {"assume_role_policy": document})], attached):
        (found,) = refusals(*changes)
        assert not found.needs_approval
        assert found.text.startswith("may be refused: ")
    assert not refusals(*attached[1:])


def test_the_inline_policies_of_a_role_count_together() -> None:
    """Each is short enough, and both are not."""
    one, two = (
        resource(
            "aws_iam_role_policy",
            None,
            {
                "role": "r",
                "policy": statement(Resource=[f"arn:aws:s3:::{number}{'x' * 30}" for _ in range(140)]),
            },
            address=f"aws_iam_role_policy.p{number}",
        )
        for number in (1, 2)
    )
    assert not refusals(one)
    (found,) = refusals(one, two)
    assert "at most 10,240 characters together" in found.text


def test_clusters_of_one_name_are_told_apart() -> None:
    """A node group fits to the cluster of its region; of two that it may belong to, none is taken."""
    old, new = (
        resource("aws_eks_cluster", None, cluster(**more), address=f"aws_eks_cluster.v{more['version'][2:]}")
        for more in ({"version": "1.34", "region": "eu-west-1"}, {"version": "1.35", "region": "us-east-1"})
    )
    right, wrong, unplaced = (
        resource("aws_eks_node_group", None, group(**more))
        for more in ({"region": "us-east-1"}, {"region": "eu-west-1"}, {})
    )
    for clusters in ((old, new), (new, old)):
        assert not refusals(*clusters, right)
        assert refusals(*clusters, wrong)
        assert not refusals(*clusters, unplaced)


def test_a_node_group_fits_to_its_cluster() -> None:
    """The cluster of the same plan decides: its version, and whether it takes access entries."""
    old = resource(
        "aws_eks_cluster", cluster(), cluster(access_config=[{"authentication_mode": "CONFIG_MAP"}])
    )
    newer = resource("aws_eks_node_group", group(), group(version="1.36"))
    older = resource("aws_eks_node_group", None, group(version="1.34"))
    entry = resource("aws_eks_access_entry", None, {"cluster_name": "c"})
    for change in (newer, older, entry):
        assert len(refusals(old, change)) == 1
        assert not refusals(change)
    assert not refusals(resource("aws_eks_cluster", cluster(), cluster(version="1.36")), newer)


def test_a_control_plane_stays_in_its_zones() -> None:
    """Other subnets of the same zones are fine, and unknown zones are not judged."""

    def network(*subnets: str) -> dict[str, Any]:
        return cluster(vpc_config=[{"subnet_ids": list(subnets)}])

    subnets = [
        resource("aws_subnet", state, state, address=f"aws_subnet.{name}", actions=("no-op",))
        for name, zone in (("s-a1", "a"), ("s-a2", "a"), ("s-b", "b"), ("s-c", "c"))
        for state in [{"id": name, "availability_zone": zone}]
    ]

    def change(*after: str) -> dict[str, Any]:
        return resource("aws_eks_cluster", network("s-a1", "s-b"), network(*after))

    assert len(refusals(*subnets, change("s-a1", "s-c"))) == 1
    assert not refusals(*subnets, change("s-a2", "s-b"))
    assert not refusals(*subnets, change("s-a1", "s-unknown"))


def test_subnets_of_a_network_do_not_overlap() -> None:
    """Networks are told apart by their IDs, or by the reference in the same module."""

    def subnet(name: str, cidr: str, vpc: str | None = None) -> dict[str, Any]:
        unknown = {} if vpc else {"vpc_id": True}
        state = {"cidr_block": cidr} | ({"vpc_id": vpc} if vpc else {})
        return resource("aws_subnet", None, state, address=name, unknown=unknown)

    one, other = subnet("aws_subnet.a", "10.0.0.0/20", "v"), subnet("aws_subnet.b", "10.0.8.0/24", "v")
    assert len(refusals(one, other)) == 1
    assert not refusals(one, subnet("aws_subnet.b", "10.0.16.0/24", "v"))
    assert not refusals(one, subnet("aws_subnet.b", "10.0.8.0/24", "w"))
    vpc = resource("aws_vpc", {}, {"id": "v", "cidr_block": "10.1.0.0/16"})
    (found,) = refusals(vpc, one)
    assert not found.needs_approval  # it may have a second block
    written = {"vpc_id": {"references": ["aws_vpc.this.id", "aws_vpc.this"]}}
    unknown = [subnet("aws_subnet.a", "10.0.0.0/20"), subnet("aws_subnet.b", "10.0.8.0/24")]
    configured = {"aws_subnet.a": written, "aws_subnet.b": written}
    assert len(refusals(*unknown, configured=configured)) == 1
    each = {"vpc_id": {"references": ["each.value", "aws_vpc.this"]}}
    assert not refusals(*unknown, configured={"aws_subnet.a": each, "aws_subnet.b": each})


def test_what_a_launch_template_sets_stands_in_no_node_group() -> None:
    """EKS refuses the disk's size beside a template; a size that the provider fills in is not sent."""
    after = group(launch_template=[{"id": "lt-1"}], disk_size=50)
    change = resource("aws_eks_node_group", None, after)
    assert refusals(change, configured={"aws_eks_node_group.this": {"disk_size": {"constant_value": 50}}})
    assert not refusals(change, configured={"aws_eks_node_group.this": {}})


def test_the_limits_are_those_of_the_installed_botocore() -> None:
    """After another version of it, `python -m tools.generate_api_limits` writes the file again."""
    assert json.loads(FILE.read_text(encoding="utf-8"))["source"] == f"botocore {botocore.__version__}"


@pytest.mark.long
def test_the_limits_are_those_of_the_api_models() -> None:
    """The file has what the models have, for the arguments of the generator."""
    assert json.loads(FILE.read_text(encoding="utf-8")) == build()


def test_the_example_environment_is_not_refused() -> None:
    """No false alarm: the values of the snapshots, as a first plan has them."""
    changes = []
    for name in ("network", "cluster", "workloads"):
        stack = json.loads((PROJECT / "tests" / "snapshots" / f"{name}.json").read_text())
        for kind, resources in stack["resource"].items():
            for key, attributes in resources.items():
                known, unknown = split_references(attributes)
                changes.append(resource(kind, None, known, address=f"{kind}.{key}", unknown=unknown))
    assert len(changes) > 80
    assert not refusals(*changes)


def split_references(value: Any) -> tuple[Any, Any]:
    """Return a value of Terraform's JSON syntax as a plan has it, and the marks of its unknown parts."""
    if isinstance(value, dict):
        parts = {key: split_references(part) for key, part in value.items() if key != "//"}
        return {key: known for key, (known, _) in parts.items()}, {
            key: mark for key, (_, mark) in parts.items()
        }
    if isinstance(value, list):
        pairs = [split_references(part) for part in value]
        return [known for known, _ in pairs], [mark for _, mark in pairs]
    is_reference = isinstance(value, str) and "${" in value
    return (None if is_reference else value), is_reference
