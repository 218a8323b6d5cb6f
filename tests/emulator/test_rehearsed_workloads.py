"""The workloads stack: real Terraform, real AWS provider, stand-ins for the helm and kubernetes providers."""

from typing import Any

import pytest

from local_aws import rehearsal
from stacks.iam import ASSOCIATION_SECONDS
from tests.emulator.project import Project
from tests.manifests import find_mistakes, manifests_of_record

RUNNER = "gitlab-runner-default"


@pytest.fixture
def objects(deployed: Project) -> dict[str, Any]:
    """The objects that the rehearsal recorded."""
    return rehearsal.read(deployed.record)


def test_the_secret_in_the_cluster_holds_the_token(deployed: Project, objects: dict[str, Any]) -> None:
    """The Secret holds the token of SSM, under both keys that the chart mounts."""
    secret = objects["kubernetes_secret_v1"][f"{RUNNER}/gitlab-runner-token"]
    assert secret["data"] == {"runner-token": deployed.token, "runner-registration-token": ""}


def test_both_charts_are_released_into_their_namespaces(objects: dict[str, Any]) -> None:
    """The autoscaler lives in kube-system, the runner's manager in the fleet's own namespace."""
    assert set(objects["helm_release"]) == {"kube-system/cluster-autoscaler", f"{RUNNER}/gitlab-runner"}
    assert {RUNNER, "gitlab-jobs-default"} <= set(objects["kubernetes_namespace_v1"])


def test_kubernetes_knows_every_field_of_every_recorded_object(objects: dict[str, Any]) -> None:
    """Each object of the default environment is valid in every supported version of Kubernetes."""
    manifests = list(manifests_of_record(objects))
    assert {"LimitRange", "Namespace", "NetworkPolicy", "Secret"} <= {item["kind"] for item in manifests}
    assert find_mistakes(manifests) == []


def test_pods_get_their_role_by_pod_identity(deployed: Project) -> None:
    """The autoscaler's and the manager's service accounts, and no others, are associated with a role."""
    found = deployed.client("eks").list_pod_identity_associations(clusterName="cicd")["associations"]
    assert {(item["namespace"], item["serviceAccount"]) for item in found} == {
        ("kube-system", "cluster-autoscaler"),
        (RUNNER, "gitlab-runner"),
    }


def test_no_pod_starts_before_its_role_is_in_effect(deployed: Project, objects: dict[str, Any]) -> None:
    """Each release was installed half a minute or more after the association of its service account."""
    assert objects
    created = deployed.association_times()
    assert created.keys() == {"kube-system", RUNNER}
    for namespace, time in created.items():
        assert deployed.release_time(namespace) - time >= ASSOCIATION_SECONDS


def test_a_rotated_token_is_a_plan_of_two_lines(deployed: Project, objects: dict[str, Any]) -> None:
    """A new version in SSM changes the Secret's revision and the pod's annotation, in place."""
    assert objects
    parameter = deployed.settings.runners["default"].token_parameter
    rotated = f"{deployed.token}-rotated"
    deployed.client("ssm").put_parameter(Name=parameter, Type="SecureString", Value=rotated, Overwrite=True)

    planned = deployed.planned_changes("workloads").values()
    changes = {item["type"]: item["change"] for item in planned}
    assert {name: change["actions"] for name, change in changes.items()} == {
        "kubernetes_secret_v1": ["update"],
        "helm_release": ["update"],
    }
    secret = changes["kubernetes_secret_v1"]
    assert {name for name, value in secret["after"].items() if value != secret["before"][name]} == {
        "data_wo_revision"
    }
    before, after = (changes["helm_release"][side]["values"][0].splitlines() for side in ("before", "after"))
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        "  runner-token-version: 2"
    ]

    applied = deployed.terraform("workloads", "apply", "-input=false", "test.tfplan")
    assert applied.returncode == 0, applied.stderr
    secret = rehearsal.read(deployed.record)["kubernetes_secret_v1"][f"{RUNNER}/gitlab-runner-token"]
    assert secret["data"]["runner-token"] == rotated
