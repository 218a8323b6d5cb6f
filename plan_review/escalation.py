"""Ways to more rights that a policy opens: IAM actions by which their holder gets rights of others.

The ways are those that Rhino Security Labs ("AWS IAM Privilege Escalation Methods") and Datadog
("pathfinding.cloud") have published. A wildcard that covers their actions opens them, too.
Not here: ways that need statements of several policies; the review sees one document at a time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from plan_review.access import find_changed_documents
from plan_review.findings import Category, Finding
from plan_review.plan import Change
from plan_review.values import Difference, compile_wildcards, list_strings

# A finding names this many ways, so that it stays one line.
MAX_WAYS = 6


@dataclass(frozen=True)
class Way:
    """One known way.

    Attributes:
        actions: The actions that it needs, all of them.
        effect: What the holder can do, as the rest of a sentence.
        service: The service that gets the role, if the way passes one: `iam:PassedToService` limits it.

    """

    actions: tuple[str, ...]
    effect: str
    service: str = ""

    @property
    def name(self) -> str:
        """Its actions in one line."""
        return " with ".join([self.actions[0], " and ".join(self.actions[1:])][: len(self.actions)])


def _pass_role(service: str, *actions: str) -> Way:
    return Way(
        ("iam:PassRole", *actions), "run code with the role that it passes", f"{service}.amazonaws.com"
    )


_OWN_POLICY = "give itself any right"
_OTHER_USER = "act as another user"
_ROLE_OF_CODE = "run code with the role of what exists"

WAYS: tuple[Way, ...] = (
    Way(("iam:CreatePolicyVersion",), _OWN_POLICY),
    Way(("iam:SetDefaultPolicyVersion",), "bring back an older version of its policy"),
    Way(("iam:AttachUserPolicy",), _OWN_POLICY),
    Way(("iam:AttachGroupPolicy",), _OWN_POLICY),
    Way(("iam:AttachRolePolicy",), _OWN_POLICY),
    Way(("iam:PutUserPolicy",), _OWN_POLICY),
    Way(("iam:PutGroupPolicy",), _OWN_POLICY),
    Way(("iam:PutRolePolicy",), _OWN_POLICY),
    Way(("iam:AddUserToGroup",), "join a group that has more rights"),
    Way(("iam:UpdateAssumeRolePolicy",), "let itself assume another role"),
    Way(("iam:CreateAccessKey",), _OTHER_USER),
    Way(("iam:CreateLoginProfile",), _OTHER_USER),
    Way(("iam:UpdateLoginProfile",), _OTHER_USER),
    Way(("iam:DeleteRolePermissionsBoundary",), "remove the boundary of its role"),
    Way(("iam:DeleteUserPermissionsBoundary",), "remove the boundary of its user"),
    Way(("iam:PutRolePermissionsBoundary",), "replace the boundary of its role"),
    Way(("iam:PutUserPermissionsBoundary",), "replace the boundary of its user"),
    Way(("sts:AssumeRole",), "assume each role that trusts the account"),
    _pass_role("ec2", "ec2:RunInstances"),
    _pass_role("ec2", "ec2:RequestSpotInstances"),
    _pass_role("ec2", "ec2:AssociateIamInstanceProfile"),
    _pass_role("ec2", "ec2:ReplaceIamInstanceProfileAssociation"),
    _pass_role("ec2", "autoscaling:CreateLaunchConfiguration"),
    _pass_role("lambda", "lambda:CreateFunction", "lambda:InvokeFunction"),
    _pass_role("lambda", "lambda:CreateFunction", "lambda:AddPermission"),
    _pass_role("lambda", "lambda:CreateFunction", "lambda:CreateEventSourceMapping"),
    _pass_role("ecs-tasks", "ecs:RegisterTaskDefinition", "ecs:RunTask"),
    _pass_role("ecs-tasks", "ecs:RegisterTaskDefinition", "ecs:StartTask"),
    _pass_role("ecs-tasks", "ecs:RegisterTaskDefinition", "ecs:CreateService"),
    _pass_role("ecs-tasks", "ecs:RegisterTaskDefinition", "ecs:UpdateService"),
    _pass_role("codebuild", "codebuild:CreateProject", "codebuild:StartBuild"),
    _pass_role("codebuild", "codebuild:UpdateProject", "codebuild:StartBuild"),
    _pass_role("cloudformation", "cloudformation:CreateStack"),
    _pass_role("cloudformation", "cloudformation:CreateStackSet", "cloudformation:CreateStackInstances"),
    _pass_role("glue", "glue:CreateDevEndpoint"),
    _pass_role("glue", "glue:CreateJob", "glue:StartJobRun"),
    _pass_role("glue", "glue:CreateJob", "glue:CreateTrigger"),
    _pass_role(
        "sagemaker", "sagemaker:CreateNotebookInstance", "sagemaker:CreatePresignedNotebookInstanceUrl"
    ),
    _pass_role("sagemaker", "sagemaker:CreateTrainingJob"),
    _pass_role("sagemaker", "sagemaker:CreateProcessingJob"),
    _pass_role("datapipeline", "datapipeline:CreatePipeline", "datapipeline:PutPipelineDefinition"),
    _pass_role("apprunner", "apprunner:CreateService"),
    _pass_role("batch", "batch:RegisterJobDefinition", "batch:SubmitJob"),
    _pass_role("states", "states:CreateStateMachine", "states:StartExecution"),
    _pass_role("ssm", "ssm:StartAutomationExecution"),
    _pass_role("pods.eks", "eks:CreatePodIdentityAssociation"),
    Way(("eks:CreateAccessEntry", "eks:AssociateAccessPolicy"), "make itself administrator of a cluster"),
    Way(("lambda:UpdateFunctionCode",), _ROLE_OF_CODE),
    Way(("lambda:UpdateFunctionConfiguration",), "add a layer of code to a function that has a role"),
    Way(("cloudformation:UpdateStack",), _ROLE_OF_CODE),
    Way(("cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet"), _ROLE_OF_CODE),
    Way(("codebuild:StartBuild",), "run commands of its own with a project's role"),
    Way(("ecs:ExecuteCommand",), "run commands with a task's role"),
    Way(("ssm:SendCommand",), "run commands with an instance's role"),
    Way(("ssm:StartSession",), "run commands with an instance's role"),
    Way(("ec2-instance-connect:SendSSHPublicKey",), "log in to an instance that has a role"),
    Way(("ec2:ModifyInstanceAttribute", "ec2:StopInstances", "ec2:StartInstances"), _ROLE_OF_CODE),
    Way(("apprunner:UpdateService",), _ROLE_OF_CODE),
    Way(("glue:UpdateDevEndpoint",), "log in to an endpoint that has a role"),
    Way(("glue:UpdateJob", "glue:StartJobRun"), _ROLE_OF_CODE),
    Way(("sagemaker:CreatePresignedNotebookInstanceUrl",), "open a notebook that has a role"),
)
# Policies of AWS that open such ways (AWS, "AWS managed policies").
_MANAGED_POLICIES = {
    "AdministratorAccess": "do everything",
    "IAMFullAccess": _OWN_POLICY,
    "PowerUserAccess": "do everything but manage users and roles",
    "AWSCloudFormationFullAccess": _ROLE_OF_CODE,
    "AWSLambda_FullAccess": _ROLE_OF_CODE,
    "AmazonSSMFullAccess": "run commands with an instance's role",
}
_MANAGED_POLICY = re.compile(r"arn:[\w-]+:iam::aws:policy/(?:[\w-]+/)*(\w+)")
# Attributes that attach a managed policy. A permissions boundary grants nothing.
_ATTACHMENTS = ("policy_arn", "policy_arns", "managed_policy_arn", "managed_policy_arns")
# Documents that limit, and grant nothing.
_LIMITS = ("aws_organizations_policy",)
# A self-service statement: its holder changes only itself.
_ITSELF = re.compile(r"\$\{aws:(username|userid)\}$", re.IGNORECASE)
# These are common and harmless for a resource that is named.
_ONLY_WIDE = ("sts:AssumeRole",)

_ACTIONS = frozenset(action for way in WAYS for action in way.actions)
_Statement = dict[str, Any]


def find(change: Change) -> Iterator[Finding]:
    """Yield the finding of a resource whose policies open ways to more rights."""
    if change.action not in ("create", "update", "replace") or change.type in _LIMITS:
        return
    yield from _find_managed_policies(change)
    for document in find_changed_documents(change):
        if not isinstance(document.after, list):
            continue
        before, after = _read_ways(document.before or []), _read_ways(document.after)
        # A way that was open for named resources is new if it is open for any now.
        new = [way for way, wide in after.items() if way not in before or (wide and not before[way])]
        if not new:
            continue
        if _allows_everything(document.after):
            text = "allows everything: every known way to more rights is open"
        else:
            names = "; ".join(f"{way.name} ({way.effect})" for way in new[:MAX_WAYS])
            more = f"; and {len(new) - MAX_WAYS} more" if len(new) > MAX_WAYS else ""
            noun = "a known way" if len(new) == 1 else f"{len(new)} known ways"
            text = f"opens {noun} to more rights: {names}{more}"
        wide = any(after[way] for way in new)
        yield Finding(
            Category.ESCALATION,
            needs_approval=wide,
            address=change.address,
            text=text if wide else f"{text}; only with the resources that the policy names",
        )


def _find_managed_policies(change: Change) -> Iterator[Finding]:
    for item in change.differences:
        if not item.path.startswith(_ATTACHMENTS):
            continue
        before, after = set(_list_managed_policies(item.before)), set(_list_managed_policies(item.after))
        for name in sorted(after - before):
            yield Finding(
                Category.ESCALATION,
                needs_approval=True,
                address=change.address,
                text=f"attaches {name}, which lets its holder {_MANAGED_POLICIES[name]}",
                differences=(Difference(item.path, item.before, item.after),),
            )


def _list_managed_policies(value: Any) -> Iterator[str]:
    for text in value if isinstance(value, list) else [value]:
        found = _MANAGED_POLICY.fullmatch(text) if isinstance(text, str) else None
        if found and found[1] in _MANAGED_POLICIES:
            yield found[1]


def _read_ways(statements: list[_Statement]) -> dict[Way, bool]:
    """Return the ways that a document opens, each with whether it is open for resources without a name."""
    grants = [
        (item, actions)
        for item in statements
        if item.get("Effect", "Allow") == "Allow" and _is_of_holder(item) and (actions := _list_covered(item))
    ]
    denied = frozenset().union(
        *(_list_covered(item) for item in statements if item.get("Effect") == "Deny" and _denies_always(item))
    )
    allowed = frozenset().union(*(actions for _, actions in grants)) - denied
    found = {}
    for way in WAYS if allowed else ():
        if not allowed.issuperset(way.actions):
            continue
        wides = [_find_scope(action, way.service, grants) for action in way.actions]
        # The first action decides: for a role that is passed, the roles.
        if None not in wides and (wides[0] or way.actions[0] not in _ONLY_WIDE):
            found[way] = bool(wides[0])
    return found


def _find_scope(action: str, service: str, grants: list[tuple[_Statement, frozenset[str]]]) -> bool | None:
    """Return whether an action is allowed for resources without a name; None if it is not allowed."""
    scopes = [
        _is_wide(resource)
        for item, actions in grants
        if action in actions and _can_pass_to(item, service)
        for resource in (list_strings(item["Resource"]) if "Resource" in item else ["*"])
        if not _ITSELF.search(resource)
    ]
    return any(scopes) if scopes else None


def _is_of_holder(statement: _Statement) -> bool:
    """Return whether a statement is of an identity; one with a principal is of a resource."""
    return "Principal" not in statement and "NotPrincipal" not in statement


def _denies_always(statement: _Statement) -> bool:
    return not statement.get("Condition") and "*" in list_strings(statement.get("Resource"))


def _allows_everything(statements: list[_Statement]) -> bool:
    return any(
        item.get("Effect", "Allow") == "Allow"
        and _is_of_holder(item)
        and not item.get("Condition")
        and {"*", "*:*"} & set(list_strings(item.get("Action")))
        and "*" in list_strings(item.get("Resource"))
        for item in statements
    ) and not any(item.get("Effect") == "Deny" for item in statements)


def _list_covered(statement: _Statement) -> frozenset[str]:
    """Return the actions of known ways that a statement is about."""
    if "NotAction" in statement:
        return _ACTIONS.difference(*map(_list_matching, list_strings(statement["NotAction"])))
    return frozenset().union(*map(_list_matching, list_strings(statement.get("Action"))))


@cache
def _list_matching(pattern: str) -> frozenset[str]:
    """Return the actions of known ways that a pattern stands for."""
    return frozenset(action for action in _ACTIONS if _matches(pattern, action))


def _matches(pattern: str, text: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return pattern.lower() == text.lower()
    # IAM, "IAM JSON policy elements: Action".
    return bool(compile_wildcards(pattern, re.IGNORECASE).fullmatch(text))


def _can_pass_to(statement: _Statement, service: str) -> bool:
    """Return whether the condition `iam:PassedToService` of a statement, if there is one, names a service."""
    condition = statement.get("Condition")
    for operator, keys in condition.items() if service and isinstance(condition, dict) else ():
        if not isinstance(keys, dict) or not operator.lower().removesuffix("ifexists").startswith(
            ("stringequals", "stringlike")
        ):
            continue
        for key, services in keys.items():
            named = list_strings(services)
            if key.lower() == "iam:passedtoservice" and not any(_matches(item, service) for item in named):
                return False
    return True


def _is_wide(resource: str) -> bool:
    """Return whether the part of an ARN behind the account has a wildcard."""
    return any(sign in resource.split(":", 5)[-1] for sign in "*?")
