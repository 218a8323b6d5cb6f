"""The vCPU quotas of EC2: which one an instance type counts against, and what the node groups may use."""

from collections.abc import Callable

import pytest

from stacks.instance_quotas import find_quota_class
from tests.environments import Synthesized


@pytest.mark.parametrize(
    ("instance_type", "key"),
    [
        ("m5.2xlarge", "standard"),
        ("im4gn.large", "standard"),
        ("t4g.small", "standard"),
        ("d3en.xlarge", "standard"),
        ("dl2q.24xlarge", "dl"),
        ("hpc7a.12xlarge", "hpc"),
        ("h1.2xlarge", "standard"),
        ("inf2.xlarge", "inf"),
        ("trn1n.32xlarge", "trn"),
        ("g6e.xlarge", "g_and_vt"),
        ("gr6.4xlarge", "g_and_vt"),
        ("vt1.3xlarge", "g_and_vt"),
        ("p6-b200.48xlarge", "p"),
        ("f2.6xlarge", "f"),
        ("x2iedn.xlarge", "x"),
        ("u-6tb1.56xlarge", "high_memory"),
        ("u7i-12tb.224xlarge", "high_memory"),
    ],
)
def test_the_letters_of_a_family_name_its_quota(instance_type: str, key: str) -> None:
    """The longest documented beginning counts: dl is not d, and inf is not i."""
    quota = find_quota_class(instance_type, "ON_DEMAND")
    assert quota is not None
    assert quota.key == key


@pytest.mark.parametrize(
    ("instance_type", "code"),
    [("p4d.24xlarge", "L-7212CCBC"), ("p5en.48xlarge", "L-C4BD4855"), ("p6-b200.48xlarge", None)],
)
def test_the_spot_quotas_divide_the_p_instances(instance_type: str, code: str | None) -> None:
    """P5 has a quota of its own, and AWS documents none for later ones ("Spot Instance quotas")."""
    quota = find_quota_class(instance_type, "SPOT")
    assert (quota.spot if quota else None) == code


def test_a_family_that_no_quota_names_has_none() -> None:
    """A plan does not compare it with the quota of another family."""
    assert find_quota_class("y1.large", "ON_DEMAND") is None


def vcpus(instance_type: str) -> str:
    """Return the expression for an instance type's vCPUs."""
    return f"data.aws_ec2_instance_type.instance_type_{instance_type}.default_vcpus"


def test_each_way_to_pay_has_its_quota(synthesize_changed: Callable[..., Synthesized]) -> None:
    """The checks add up the max_size of the groups that share a quota, each by its largest instance type."""
    groups = {
        "main": {"instance_types": ["m5.2xlarge", "m6i.2xlarge"], "min_size": 1, "max_size": 10},
        "big": {"instance_types": ["m5.8xlarge"], "max_size": 4},
        "spot": {"instance_types": ["c5.large"], "capacity_type": "SPOT", "max_size": 7},
        "gpu": {"instance_types": ["g5.xlarge"], "max_size": 2},
        "hpc": {"instance_types": ["hpc7a.12xlarge"], "capacity_type": "SPOT", "max_size": 1},
    }
    cluster = synthesize_changed({"cluster.node_groups": groups})["cluster"]
    read = cluster["data"]["aws_servicequotas_service_quota"]
    assert {name: item["quota_code"] for name, item in read.items()} == {
        "vcpu_quota_on_demand_standard": "L-1216C47A",
        "vcpu_quota_spot_standard": "L-34B43A08",
        "vcpu_quota_on_demand_g_and_vt": "L-DB2E81BA",
    }
    assert {name for name in cluster["check"] if name.startswith("vcpu")} == set(read)
    main = f"max({vcpus('m5_2xlarge')}, {vcpus('m6i_2xlarge')})"
    big = f"max({vcpus('m5_8xlarge')})"
    # Three zones: a rolling update may add two nodes in each.
    assert cluster["locals"]["vcpus_on_demand_standard"] == {
        "most": f"${{10 * {main} + 4 * {big}}}",
        "update": f"${{6 * {main} + 6 * {big}}}",
    }
    assert cluster["locals"]["vcpus_spot_standard"]["most"] == f"${{7 * max({vcpus('c5_large')})}}"
