"""Real plans: Terraform makes them from plain HCL, with the provider that is built into it.

Without modules and other providers a folder needs no `terraform init`.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from plan_review import markdown
from plan_review.findings import Category
from plan_review.plan import Change, PlanError, read_plan
from plan_review.review import PlannedStack, Review

SECRET = "correct-horse"
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("TF_")} | {
    "CHECKPOINT_DISABLE": "1"
}


class Project:
    """A folder with HCL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, text: str, name: str = "main.tf") -> None:
        """Write the configuration."""
        file = self._folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def run(self, *arguments: str) -> str:
        """Run Terraform, and return what it prints."""
        return subprocess.run(
            ["terraform", *arguments],
            cwd=self._folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout

    def apply(self, text: str) -> None:
        """Apply a configuration."""
        self.write(text)
        self.run("apply", "-input=false", "-auto-approve")

    def plan(self, text: str, *options: str) -> PlannedStack:
        """Plan a configuration."""
        self.write(text)
        self.run("plan", "-input=false", "-refresh=false", "-out=tfplan", *options)
        return PlannedStack("stack", read_plan(self.run("show", "-json", "tfplan")))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an empty project."""
    return Project(tmp_path)


def thing(name: str = "this", value: str = "1", more: str = "") -> str:
    """Return a resource in HCL."""
    return f'resource "terraform_data" "{name}" {{\n  input = {value}\n  {more}\n}}\n'


def changes(stack: PlannedStack) -> dict[str, Change]:
    """Return what a plan changes, by address."""
    assert stack.plan
    return {change.address: change for change in stack.plan.changes}


def actions(stack: PlannedStack) -> dict[str, str]:
    """Return what is done to each resource that changes."""
    return {address: change.action for address, change in changes(stack).items()}


def report(stack: PlannedStack) -> str:
    """Return the report of a plan."""
    return markdown.write(Review("Plan", [stack]))


def status(stack: PlannedStack) -> int:
    """Return the exit status of the review of a plan."""
    return Review("Plan", [stack]).exit_status


def test_a_first_plan_creates(project: Project) -> None:
    """Resources with `count`, with `for_each` and odd keys, and in an instance of a module."""
    project.write(thing(more="count = 2"), "inner/main.tf")
    text = thing("each", "each.key", 'for_each = toset(["a", "b.c\\"d"])')
    text += 'module "inner" {\n  source = "./inner"\n  for_each = toset(["x"])\n}\n'
    project.write(text)
    project.run("init", "-input=false")
    stack = project.plan(text)
    assert actions(stack) == dict.fromkeys(
        [
            'module.inner["x"].terraform_data.this[0]',
            'module.inner["x"].terraform_data.this[1]',
            'terraform_data.each["a"]',
            'terraform_data.each["b.c\\"d"]',
        ],
        "create",
    )
    assert stack.totals["create"] == 4
    assert status(stack) == 2


def test_a_second_plan_is_empty(project: Project) -> None:
    """A plan without changes has status 0."""
    text = thing() + 'output "out" {\n  value = terraform_data.this.output\n}\n'
    project.apply(text)
    stack = project.plan(text)
    assert status(stack) == 0
    assert "✅ Nothing to do." in report(stack)


def test_an_update_shows_configured_attributes_only(project: Project) -> None:
    """`input` is shown; `output`, which the provider computes from it, is not."""
    project.apply(thing(value='{ a = 1, b = ["x"] }'))
    stack = project.plan(thing(value='{ a = 2, b = ["x", "y"] }'))
    assert [
        (item.path, item.before, item.after) for item in changes(stack)["terraform_data.this"].differences
    ] == [
        ("input.a", 1, 2),
        ("input.b", None, "y"),
    ]


def test_a_replacement_names_its_cause(project: Project) -> None:
    """The report has the attribute that forces it, and says which of the two comes first."""
    text = thing(more="triggers_replace = [1]") + thing(
        "other", more="triggers_replace = [1]\n lifecycle {\n create_before_destroy = true\n }"
    )
    project.apply(text)
    stack = project.plan(text.replace("[1]", "[2]"))
    assert {item.address: item.text for item in stack.findings} == {
        "terraform_data.this": "is replaced, the old one is deleted first",
        "terraform_data.other": "is replaced, the new one is created first",
    }
    for item in stack.findings:
        assert [difference.path.split("[")[0] for difference in item.differences][:1] == ["triggers_replace"]


def test_a_deletion_says_why(project: Project) -> None:
    """Each of Terraform's reasons is given in words."""
    empty = thing("counted", more="count = 0") + thing("keyed", more="for_each = toset([])")
    full = empty.replace("count = 0", "count = 1").replace("toset([])", 'toset(["a"])')
    project.apply(thing("gone") + full)
    found = project.plan(empty).findings
    assert {item.category for item in found} == {Category.DESTRUCTION}
    assert {item.address: item.text for item in found} == {
        "terraform_data.gone": "is deleted: it is no longer in the configuration",
        "terraform_data.counted[0]": "is deleted: its index is beyond count",
        'terraform_data.keyed["a"]': "is deleted: its key is no longer in for_each",
    }


def test_a_replacement_without_an_attribute_says_why(project: Project) -> None:
    """The reasons are `-replace`, `replace_triggered_by` and a taint."""
    follower = thing("other", more="lifecycle {\n replace_triggered_by = [terraform_data.this]\n }")
    text = thing() + follower + thing("broken")
    project.apply(text)
    project.run("taint", "terraform_data.broken")
    stack = project.plan(text, "-replace=terraform_data.this")
    assert {item.address: item.text.partition(": ")[2] for item in stack.findings} == {
        "terraform_data.this": "asked for by -replace",
        "terraform_data.other": "by replace_triggered_by",
        "terraform_data.broken": "it is tainted",
    }


def test_a_move_is_no_deletion(project: Project) -> None:
    """A move changes the state, so it is a change."""
    project.apply(thing())
    moved = "moved {\n  from = terraform_data.this\n  to = terraform_data.new\n}\n"
    stack = project.plan(thing("new") + moved)
    assert not stack.findings
    assert (stack.totals["move"], status(stack)) == (1, 2)
    assert "`terraform_data.new` moved from `terraform_data.this`" in report(stack)


def test_a_removed_block_without_destroy_is_forgotten(project: Project) -> None:
    """Terraform removes the resource from the state and does not delete it."""
    project.apply(thing())
    removed = "removed {\n  from = terraform_data.this\n  lifecycle {\n    destroy = false\n  }\n}\n"
    stack = project.plan(removed)
    assert stack.totals["forget"] == 1
    assert [item.text for item in stack.findings] == [
        "is forgotten: it stays, and Terraform no longer manages it"
    ]


def test_an_import_is_shown(project: Project) -> None:
    """The report has the import and its number."""
    stack = project.plan(thing() + 'import {\n  to = terraform_data.this\n  id = "some-id"\n}\n')
    assert stack.totals["import"] == 1
    assert "`terraform_data.this` imported: `some-id`" in report(stack)


def test_no_secret_is_shown(project: Project) -> None:
    """Sensitive variables are masked in inputs, lists, replacements and outputs, before and after."""
    text = (
        'variable "secret" {\n  sensitive = true\n}\n'
        + thing(value='{ name = "a", list = ["x", var.secret], json = jsonencode({ k = var.secret }) }')
        + thing("replaced", "var.secret", "triggers_replace = [var.secret]")
        + 'output "out" {\n  value = { s = var.secret }\n  sensitive = true\n}\n'
    )
    project.write(f'secret = "{SECRET}"', "terraform.tfvars")
    project.apply(text)
    project.write(f'secret = "{SECRET}-new"', "terraform.tfvars")
    stack = project.plan(text.replace('"a"', '"b"').replace('"x"', '"y"'))
    shown = report(stack)
    assert SECRET not in shown
    assert set(actions(stack).values()) == {"update", "replace"}
    assert {item.category for item in stack.findings} == {Category.DESTRUCTION, Category.OUTPUT}
    assert "(sensitive)" in shown
    # Nor where the configuration no longer says that it is one.
    plain = re.sub(r"var\.secret", '"plain"', text).replace("  sensitive = true\n", "")
    shown = report(project.plan(plain))
    assert SECRET not in shown


def test_a_failed_check_is_shown(project: Project) -> None:
    """It does not stop the apply, so the report has it."""
    condition = 'condition = terraform_data.this.input == 2\n    error_message = "it is @down"'
    check = f'check "health" {{\n  assert {{\n    {condition}\n  }}\n}}\n'
    stack = project.plan(thing() + check)
    (found,) = stack.findings
    assert found.category == Category.CHECK
    assert "🟠 `check.health: it is @down`" in report(stack)
    assert status(stack) == 2


def test_a_removed_output_needs_an_approval(project: Project) -> None:
    """A new output is no finding, a changed one needs no approval, a removed one does."""

    def outputs(**values: int) -> str:
        return "".join(f'output "{name}" {{\n  value = {value}\n}}\n' for name, value in values.items())

    project.apply(outputs(stays=1, changes=1, goes=1))
    stack = project.plan(outputs(stays=1, changes=2, comes=1))
    assert {item.address: item.needs_approval for item in stack.findings} == {"changes": False, "goes": True}
    assert status(stack) == 3


def test_a_policy_of_plain_terraform_is_read(project: Project) -> None:
    """The review finds a policy document in any resource, so a built-in type is enough."""

    def policy(action: str) -> str:
        statement: dict[str, Any] = {"Effect": "Allow", "Action": [action], "Resource": "*"}
        return f"jsonencode({json.dumps({'Statement': [statement]})})"

    project.apply(thing(value=policy("s3:GetObject")))
    stack = project.plan(thing(value=policy("s3:*")))
    (found,) = stack.findings
    assert found.diff == (
        "  input:",
        "  Allow",
        "-   Action: s3:GetObject",
        "+   Action: s3:*",
        "    Resource: *",
    )
    assert status(stack) == 3


def test_a_state_is_refused(project: Project) -> None:
    """`terraform show -json` without a plan file prints a state."""
    project.apply(thing())
    with pytest.raises(PlanError, match="a state, not a plan"):
        read_plan(project.run("show", "-json"))
