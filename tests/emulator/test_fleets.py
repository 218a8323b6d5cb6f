"""Runner fleets in real plans: what changes, and what is refused before anything does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stacks.iam import ASSOCIATION_SECONDS
from tests.emulator.project import Project
from tests.recipes import recipes

RECIPES = recipes()
SEED_GROUPS = {"main": {"instance_types": ["m5.2xlarge"], "min_size": 1, "max_size": 10}}


@contextmanager
def stored_token(project: Project, value: str, *, kind: str = "SecureString") -> Iterator[str]:
    """Hold another value than the token in SSM while the block runs; yields the parameter's name."""
    ssm, name = project.client("ssm"), project.settings.runners["default"].token_parameter
    kept = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    ssm.delete_parameter(Name=name)
    if value:
        ssm.put_parameter(Name=name, Type=kind, Value=value)
    try:
        yield name
    finally:
        if value:
            ssm.delete_parameter(Name=name)
        ssm.put_parameter(Name=name, Type="SecureString", Value=kept)


def test_another_fleet_changes_nothing_of_the_first(deployed: Project) -> None:
    """Adding a fleet plans that fleet's resources alone; so do rotating its token and removing it.

    The fleet has every part that a fleet may have: certificates, a role for jobs, a role for large caches,
    egress of its own. Its manager starts when the roles of manager and jobs are in effect.
    """
    parameter = "/cicd/runners/docs/token"
    deployed.client("ssm").put_parameter(Name=parameter, Type="SecureString", Value="glrt-docs-team")
    fleet = {
        "token_parameter": parameter,
        "gitlab_url": "https://gitlab.example.com",
        "tls_ca": RECIPES["Self-managed GitLab"]["runners.default.tls_ca"],
        "privileged": False,
        "job_policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
        "cache_multipart": True,
        "replicas": 2,
        "private_egress_cidrs": ["10.20.0.0/16"],
    }
    with deployed.changed({"runners.docs": fleet}):
        added = deployed.planned_changes("workloads")
        assert {item["change"]["actions"][0] for item in added.values()} == {"create"}
        assert all(".runner_docs_" in address for address in added)
        applied = deployed.terraform("workloads", "apply", "-input=false", "test.tfplan")
        assert applied.returncode == 0, applied.stderr
        created, installed = deployed.association_times(), deployed.release_time("gitlab-runner-docs")
        for namespace in ("gitlab-runner-docs", "gitlab-jobs-docs"):
            assert installed - created[namespace] >= ASSOCIATION_SECONDS
        deployed.client("ssm").put_parameter(
            Name=parameter, Type="SecureString", Value="glrt-docs-team-2", Overwrite=True
        )
        rotated = deployed.planned_changes("workloads")
        assert {item["type"] for item in rotated.values()} == {"kubernetes_secret_v1", "helm_release"}
        assert {item["change"]["actions"][0] for item in rotated.values()} == {"update"}
        assert all(".runner_docs_" in address for address in rotated)
    removed = deployed.planned_changes("workloads")
    assert removed.keys() == added.keys()
    assert {item["change"]["actions"][0] for item in removed.values()} == {"delete"}
    applied = deployed.terraform("workloads", "apply", "-input=false", "test.tfplan")
    assert applied.returncode == 0, applied.stderr


def test_a_job_that_fits_no_node_is_refused(deployed: Project) -> None:
    """The seed's maximum of 16 CPU on the seed's own single group of m5.2xlarge can't be kept."""
    with deployed.changed({"cluster.node_groups": SEED_GROUPS}):
        plan = deployed.plan("workloads")
    assert plan.returncode == 1
    assert "runners.default.build.cpu_request_overwrite_max_allowed: 16 is more than any node" in plan.stderr
    assert "The largest is m5.2xlarge of the group main" in plan.stderr
    assert "it has 7660m left" in plan.stderr  # 8000 - 90 kubelet - 150 daemon sets - 100 helper
    assert "memory_request_overwrite_max_allowed" not in plan.stderr  # 16Gi fit
    assert "no single node group" not in plan.stderr


def test_the_value_that_the_message_names_fits(deployed: Project) -> None:
    """The plan accepts the value that the refusal offers, and refuses 1m more."""
    path = "runners.default.build"
    build = {"cpu_request": "1", "memory_request": "4Gi"}
    for most, accepted in {"7660m": True, "7661m": False}.items():
        maxima = {"cpu_request_overwrite_max_allowed": most}
        with deployed.changed({"cluster.node_groups": SEED_GROUPS, path: build | maxima}):
            assert (deployed.plan("workloads").returncode == 0) is accepted


def test_maxima_that_fit_only_on_different_nodes_are_refused(deployed: Project) -> None:
    """A job may use all its maxima at once, so one node must hold them together."""
    groups = SEED_GROUPS | {
        "cpu": {"instance_types": ["c5.9xlarge"], "max_size": 1},  # 36 vCPU, 72 GiB
        "memory": {"instance_types": ["r5.4xlarge"], "max_size": 1},  # 16 vCPU, 128 GiB
    }
    build = {"cpu_request_overwrite_max_allowed": "30", "memory_request_overwrite_max_allowed": "100Gi"}
    with deployed.changed({"cluster.node_groups": groups, "runners.default.build": build}):
        plan = deployed.plan("workloads")
    assert plan.returncode == 1
    assert "runners.default.build: no single node group among cpu, main, memory" in plan.stderr


def test_the_smallest_type_of_a_spot_group_counts(deployed: Project) -> None:
    """Any of a group's types may be the one that AWS has to spare."""
    spot = {"instance_types": ["m5.8xlarge", "m5.2xlarge"], "capacity_type": "SPOT", "max_size": 4}
    with deployed.changed({"cluster.node_groups": SEED_GROUPS | {"spot": spot}}):
        plan = deployed.plan("workloads")
    assert plan.returncode == 1
    assert "it has 7660m left" in plan.stderr


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("", "", "couldn't find resource"),
        ("glrt-plain", "String", "{name} is not a SecureString"),
        ("GR1348941legacy", "SecureString", "the value of {name} does not begin with glrt-"),
    ],
    ids=["missing", "plain String", "registration token"],
)
def test_an_unusable_token_is_refused_by_its_setting(
    deployed: Project, value: str, kind: str, message: str
) -> None:
    """The plan fails, names the parameter, and shows no token."""
    with stored_token(deployed, value, kind=kind) as name:
        plan = deployed.plan("workloads")
    assert plan.returncode == 1
    assert message.format(name=name) in plan.stderr
    assert name in plan.stderr
    assert not value or value not in plan.stdout + plan.stderr


# The unit tests synthesize every recipe. These bring node groups, AWS roles or certificates of their own.
PLANNED_RECIPES = {"Big jobs", "Spot", "An AWS role for jobs", "Self-managed GitLab"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(changes, id=name, marks=[] if name in PLANNED_RECIPES else [pytest.mark.long])
        for name, changes in RECIPES.items()
    ],
)
def test_a_recipe_plans(deployed: Project, changes: dict[str, Any]) -> None:
    """Each recipe of docs/runners.md can be planned: AWS knows its instances, and its promise can be kept."""
    ssm = deployed.client("ssm")
    for path, value in changes.items():
        if path.endswith(".token_parameter"):
            ssm.put_parameter(Name=value, Type="SecureString", Value="glrt-recipe", Overwrite=True)
    with deployed.changed(changes):
        for stack in ("cluster", "workloads"):
            assert deployed.plan(stack).returncode == 0, deployed.plan(stack).stderr
