"""Renaming an environment, step by step as docs/operations.md says."""

import json
from typing import Any

import pytest

from tests.emulator.project import Project

STACKS = ("network", "cluster")  # what a machine without Kubernetes deploys for real
NODE_GROUPS = {
    "main": {"instance_types": ["m5.2xlarge"], "min_size": 1, "max_size": 2},
    "big": {"instance_types": ["m5.8xlarge"], "max_size": 2},
}

# Besides the tags: a launch template has those of the nodes, and so gets a new version.
FURTHER = {
    "aws_launch_template": ("default_version", "latest_version", "tag_specifications"),
    "aws_eks_node_group": ("launch_template",),
}


@pytest.fixture(scope="module")
def renamed(project: Project) -> Project:
    """An environment that was deployed as `before` and is now `after`, its states moved, not yet applied."""
    before = project.another("before", {"cluster.name": "renamed", "cluster.node_groups": NODE_GROUPS})
    states = {}
    for stack in STACKS:
        before.apply(stack)
        pulled = before.terraform(stack, "state", "pull")
        assert pulled.returncode == 0, pulled.stderr
        states[stack] = before.folder / f"{stack}.tfstate"
        states[stack].write_text(pulled.stdout)
    after = before.renamed("after", {"name_prefix": "before"})
    for stack in STACKS:
        for command in (("init", "-input=false"), ("state", "push", str(states[stack]))):
            done = after.terraform(stack, *command)
            assert done.returncode == 0, done.stdout + done.stderr
        after.client("s3").delete_object(Bucket=after.state_bucket, Key=f"before/{stack}.tfstate")
    return after


def changed_attributes(change: dict[str, Any]) -> set[str]:
    """Return the names of a planned resource's attributes that change or may."""
    before, after = change["before"], change["after"]
    return {name for name in before | after if before.get(name) != after.get(name)} | {
        name for name, unknown in change["after_unknown"].items() if "true" in json.dumps(unknown)
    }


@pytest.mark.parametrize("stack", STACKS)
def test_a_renamed_environment_plans_nothing_but_its_tag(renamed: Project, stack: str) -> None:
    """No resource is created, replaced or destroyed: the tag `environment` is all that changes."""
    changes = renamed.planned_changes(stack)
    assert changes
    for address, item in changes.items():
        assert item["change"]["actions"] == ["update"], address
        if item["type"] == "aws_autoscaling_group_tag":
            assert item["index"] == "environment"
            continue
        # The provider counts the old name among the resource's own tags, and plans to take it away there.
        assert changed_attributes(item["change"]) <= {"tags", "tags_all", *FURTHER.get(item["type"], ())}
        before, after = item["change"]["before"]["tags_all"], item["change"]["after"]["tags_all"]
        assert (before.pop("environment"), after.pop("environment")) == ("before", "after"), address
        assert before == after == (item["change"]["after"]["tags"] or {}), address


@pytest.mark.parametrize("stack", STACKS)
def test_the_renamed_environment_is_applied_and_settles(renamed: Project, stack: str) -> None:
    """The tags are set, nodes by one new version; what was published stays, and a second plan is empty."""
    published = renamed.outputs(stack)
    renamed.apply(stack)
    assert renamed.outputs(stack) == published
    templates = renamed.client("ec2").describe_launch_templates()["LaunchTemplates"]
    ours = [item for item in templates if item["LaunchTemplateName"].startswith("before-")]
    version = {"network": 1, "cluster": 2}[stack]
    assert [item["LatestVersionNumber"] for item in ours] == [version] * len(NODE_GROUPS)
    plan = renamed.terraform(stack, "plan", "-detailed-exitcode", "-input=false", "-no-color")
    assert plan.returncode == 0, plan.stdout + plan.stderr


def test_what_was_renamed_can_be_destroyed(renamed: Project) -> None:
    """AWS has no resource left under the old name or the new."""
    for stack in reversed(STACKS):
        renamed.destroy(stack)
    ec2 = renamed.client("ec2")
    tagged = [{"Name": "tag:environment", "Values": ["before", "after"]}]
    assert "renamed" not in renamed.client("eks").list_clusters()["clusters"]
    assert ec2.describe_vpcs(Filters=tagged)["Vpcs"] == []
    roles = renamed.client("iam").list_roles()["Roles"]
    assert not [role for role in roles if role["RoleName"].startswith(("before-", "after-"))]
