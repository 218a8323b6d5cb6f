"""The AWS role of a fleet's jobs, and fleets that can't have one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from stacks.settings.load import load_settings
from tests.environments import Mistakes, Synthesized, WriteEnvironment, runner_values, runners
from tests.unit.test_isolation import of_jobs

FLEET = "runners.default"
PUSH = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"
OWN = "arn:aws:iam::123456789012:policy/team/deploy@1"
ROLE = {f"{FLEET}.job_policy_arns": [PUSH, OWN]}
UNTRUSTED = {f"{FLEET}.trusted": False, f"{FLEET}.privileged": False}


@pytest.fixture
def workloads(synthesize_changed: Callable[..., Synthesized]) -> dict[str, Any]:
    """The workloads stack with a role for the jobs of the fleet."""
    return synthesize_changed(ROLE)["workloads"]


def find_role(workloads: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the address and arguments of the jobs' role."""
    ((address, role),) = (
        item
        for item in workloads["resource"]["aws_iam_role"].items()
        if item[1]["name"] == "example-jobs-default"
    )
    return address, role


def test_the_role_has_the_policies_of_the_settings(workloads: dict[str, Any]) -> None:
    """Each managed policy is attached; the role has no other."""
    address, _ = find_role(workloads)
    attached = workloads["resource"]["aws_iam_role_policy_attachment"].values()
    assert {item["policy_arn"] for item in attached} == {PUSH, OWN}
    assert {item["role"] for item in attached} == {f"${{aws_iam_role.{address}.name}}"}
    inline = workloads["resource"]["aws_iam_role_policy"].values()
    assert address not in json.dumps([item["role"] for item in inline])


def test_only_jobs_of_the_fleet_get_the_role(workloads: dict[str, Any]) -> None:
    """Role and pod identity are for one service account of the job namespace."""
    address, role = find_role(workloads)
    (association,) = (
        item
        for item in workloads["resource"]["aws_eks_pod_identity_association"].values()
        if item["role_arn"] == f"${{aws_iam_role.{address}.arn}}"
    )
    (account,) = workloads["resource"]["kubernetes_service_account_v1"].values()
    assert account["metadata"] == {"name": "jobs", "namespace": "gitlab-jobs-default"}
    assert (association["namespace"], association["service_account"]) == ("gitlab-jobs-default", "jobs")
    (statement,) = json.loads(role["assume_role_policy"])["Statement"]
    assert (
        statement["Condition"]["StringEquals"]["aws:RequestTag/kubernetes-namespace"] == "gitlab-jobs-default"
    )


def test_job_pods_use_the_service_account_without_its_token(workloads: dict[str, Any]) -> None:
    """EKS adds a token for AWS alone; the one for the Kubernetes API is not mounted."""
    executor = runners({"workloads": workloads})["default"]["kubernetes"]
    assert executor["service_account"] == "jobs"
    assert executor["automount_service_account_token"] is False
    (account,) = workloads["resource"]["kubernetes_service_account_v1"].values()
    assert account["automount_service_account_token"] is False


def test_jobs_with_a_role_reach_the_agent_that_gives_it(workloads: dict[str, Any]) -> None:
    """The network policy opens the agent's one port; the instance metadata stay closed."""
    internet, agent = of_jobs({"workloads": workloads}, "network_policy")["egress"]
    assert internet == {"to": [{"ip_block": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]}
    assert agent == {
        "to": [{"ip_block": {"cidr": "169.254.170.23/32"}}],
        "ports": [{"port": "80", "protocol": "TCP"}],
    }


def test_no_job_starts_before_its_role(workloads: dict[str, Any]) -> None:
    """The release waits for service account, association and policies."""
    ((release, _),) = runner_values(workloads)
    kinds = {name.partition(".")[0] for name in release["depends_on"]}
    assert {
        "kubernetes_service_account_v1",
        "aws_eks_pod_identity_association",
        "aws_iam_role_policy_attachment",
    } <= kinds


def test_jobs_have_no_role_unless_the_settings_name_policies(example: Synthesized) -> None:
    """The default fleet has no service account and no identity for its jobs."""
    assert "kubernetes_service_account_v1" not in example["workloads"]["resource"]
    assert "service_account" not in runners(example)["default"]["kubernetes"]


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        pytest.param(
            {"job_policy_arns": ["Admin"]}, "job_policy_arns.0", "not of the accepted form", id="name"
        ),
        pytest.param(
            {"job_policy_arns": ["arn:aws:iam::210987654321:policy/x"]},
            "job_policy_arns.0",
            "must be a policy of AWS or of this account, arn:aws:iam::123456789012:policy/…",
            id="another account",
        ),
        pytest.param({"job_policy_arns": [PUSH, PUSH]}, "job_policy_arns.1", "twice", id="twice"),
        pytest.param(
            {"job_policy_arns": [f"{OWN}-{number}" for number in range(11)]},
            "job_policy_arns",
            "must have 10 or fewer entries",
            id="too many",
        ),
        pytest.param(
            {"job_policy_arns": [PUSH], "kubernetes": {"service_account": "deployer"}},
            "kubernetes.service_account",
            '"deployer": must not be set beside job_policy_arns',
            id="service account",
        ),
    ],
)
def test_an_impossible_role_is_refused(
    mistakes: Mistakes, changes: dict[str, Any], path: str, words: str
) -> None:
    """IAM would refuse it during an apply, or jobs would not get it."""
    (line,) = mistakes({f"{FLEET}.{key}": value for key, value in changes.items()})
    assert line.startswith(f"example.yaml: {FLEET}.{path}: ")
    assert words in line


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        pytest.param(
            {f"{FLEET}.privileged": True}, "privileged", "true: must be false in a fleet", id="root"
        ),
        pytest.param(ROLE, "job_policy_arns", "must be empty in a fleet with trusted: false", id="role"),
        pytest.param(
            {f"{FLEET}.kubernetes": {"service_account": "deployer"}},
            "kubernetes.service_account",
            "must be left out in a fleet with trusted: false, since the account may carry an AWS role",
            id="service account",
        ),
        pytest.param({}, "node_groups", "every pod may run on big, too", id="no taints"),
        pytest.param(
            {
                "cluster.node_groups.big.taints": [{"key": "a", "effect": "NO_SCHEDULE"}],
                f"{FLEET}.node_groups": ["big"],
                "runners.other": {"token_parameter": "/other", "node_groups": ["main", "big"]},
            },
            "node_groups",
            "the fleet other may run on big, too",
            id="another fleet",
        ),
    ],
)
def test_untrusted_jobs_have_nothing_to_reach(
    mistakes: Mistakes, changes: dict[str, Any], path: str, words: str
) -> None:
    """No root on a node, no AWS role, no neighbour of another fleet."""
    (line,) = mistakes(UNTRUSTED | changes)
    assert line.startswith(f"example.yaml: {FLEET}.{path}: ")
    assert words in line


def test_an_untrusted_fleet_on_nodes_of_its_own_passes(write_environment: WriteEnvironment) -> None:
    """A group with a taint that no other fleet tolerates is the barrier."""
    taints = [{"key": "dedicated", "value": "forks", "effect": "NO_SCHEDULE"}]
    own = {"cluster.node_groups.big.taints": taints, f"{FLEET}.node_groups": ["big"]}
    assert load_settings(write_environment(UNTRUSTED | own))
