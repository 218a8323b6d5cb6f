"""The digest of the findings that need an approval."""

import datetime as dt
from typing import Any

import pytest

from plan_review.accepted import Acceptance, Accepted
from plan_review.findings import Category
from plan_review.review import PlannedStack, Review
from tests.plan_documents import allow, output, plan, policy, resource


def review(*changes: dict[str, Any], stack: str = "cluster", **more: Any) -> Review:
    """Return the review of one plan."""
    return Review("Plan", [PlannedStack(stack, plan(*changes, **more))])


VPC = resource("aws_vpc", {"cidr_block": "10.0.0.0/16"}, None)
POLICY = resource("aws_iam_policy", {"policy": policy(allow())}, {"policy": policy(allow(Action="s3:*"))})
DANGERS = review(VPC, POLICY)


def test_the_same_findings_have_the_same_digest() -> None:
    """Order, harmless changes, drift, and other spellings of a policy do not matter."""
    harmless = resource("aws_eks_addon", {"addon_version": "1"}, {"addon_version": "2"})
    spelt = resource(
        "aws_iam_policy",
        {"policy": policy(allow()).replace(" ", "")},
        {"policy": policy(allow(Action=["s3:*"])).replace(", ", ",\n")},
    )
    for other in (
        review(POLICY, VPC),
        review(VPC, POLICY, harmless),
        review(VPC, POLICY, resource_drift=[harmless], output_changes={"a": output(None, 1)}),
        review(VPC, spelt),
    ):
        assert other.digest == DANGERS.digest
        assert other.dangers == DANGERS.dangers


def test_the_digest_stays_the_same_in_later_versions() -> None:
    """An approval outlives an update of the review. If this has to change, the CHANGELOG says it."""
    assert DANGERS.digest == "9378b3548dcdb566741b3d27af55f09ac65ab945ad7e83ae49e6efbe0e8249bb"


@pytest.mark.parametrize(
    "changed",
    [
        review(VPC),
        review(VPC, POLICY, resource("aws_s3_bucket", {}, None)),
        review(VPC, POLICY, stack="network"),
        review({**VPC, "address": "aws_vpc.other"}, POLICY),
        review(resource("aws_vpc", {"a": 1}, {"a": 2}, actions=("delete", "create")), POLICY),
        review(
            VPC,
            resource(
                "aws_iam_policy", {"policy": policy(allow())}, {"policy": policy(allow(Action="s3:Delete*"))}
            ),
        ),
        review(VPC, POLICY, resource("aws_vpc", None, {}, address="aws_vpc.new")),
    ],
    ids=["one less", "one more", "stack", "address", "replaced", "value", "what takes its place"],
)
def test_another_finding_has_another_digest(changed: Review) -> None:
    """The digest of the plan differs if one finding says something else."""
    assert changed.digest != DANGERS.digest


def test_the_forced_value_is_a_part_of_the_finding() -> None:
    """A replacement by another value is another finding, a change beside it is not."""

    def replaced(zone: str, tag: str) -> Review:
        states = ({"zone": "a", "tag": "a"}, {"zone": zone, "tag": tag})
        paths: dict[str, Any] = {"actions": ("delete", "create"), "replace_paths": [["zone"]]}
        return review(resource("aws_subnet", *states, **paths))

    assert replaced("b", "b").digest == replaced("b", "c").digest
    assert replaced("b", "b").digest != replaced("c", "b").digest


def test_a_secret_is_not_in_the_digest() -> None:
    """A short secret can be found by its checksum; so a sensitive value counts as the word for it."""

    def secret(value: str) -> Review:
        forced: dict[str, Any] = {"actions": ("delete", "create"), "replace_paths": [["key"]]}
        marks: dict[str, Any] = {"before_sensitive": {"key": True}, "after_sensitive": {"key": True}}
        return review(resource("aws_vpc", {"key": "old"}, {"key": value}, **forced, **marks))

    assert secret("a").digest == secret("b").digest != ""


@pytest.mark.parametrize("marks", [{"unknown": {"policy": True}}, {"after_sensitive": {"policy": True}}])
def test_the_configuration_takes_the_place_of_a_hidden_value(marks: dict[str, Any]) -> None:
    """An approval of an unknown or a sensitive policy is no approval of another such policy."""

    def granted(reference: dict[str, Any], *, variable: str = "", other: str = "") -> Review:
        variables = {"name": {}, "key": {"sensitive": True}}
        configuration = {
            "root_module": {
                "variables": variables,
                "resources": [
                    {"address": "aws_iam_role_policy.this", "expressions": {"policy": reference}},
                    {"address": "acme.other", "expressions": {"name": {"constant_value": other}}},
                ],
            }
        }
        after = {"policy": None if "unknown" in marks else policy(allow())}
        return review(
            VPC,
            resource("aws_iam_role_policy", None, after, **marks),
            configuration=configuration,
            variables={"name": {"value": variable}, "key": {"value": variable.upper()}},
        )

    def names(made: Review) -> set[str]:
        return set(made.dangers["cluster"])

    one = {"references": ["data.aws_iam_policy_document.a.json"]}
    two = {"references": ["data.aws_iam_policy_document.b.json"]}
    assert granted(one).digest == granted(one).digest
    for changed in (granted(two), granted(one, variable="x"), granted(one, other="x")):
        # The deleted VPC has no hidden value, and keeps its name.
        assert len(names(granted(one)) & names(changed)) == 1
        assert len(names(changed)) == 2


def test_a_secret_variable_is_not_in_the_digest() -> None:
    """The plan's JSON holds the values of sensitive variables in clear."""

    def made(secret: str) -> Review:
        return review(
            resource("aws_iam_role_policy", None, {}, unknown={"policy": True}),
            configuration={
                "root_module": {
                    "variables": {"key": {"sensitive": True}},
                    "resources": [{"address": "aws_iam_role_policy.this", "expressions": {"policy": {}}}],
                }
            },
            variables={"key": {"value": secret}},
        )

    assert made("a").digest == made("b").digest != ""


def test_accepted_and_harmless_findings_need_no_digest() -> None:
    """Without a finding that needs an approval there is none; an accepted finding needs none."""
    entry = Acceptance("aws_vpc.*", Category.DESTRUCTION, "moved", dt.date.max)
    stacks = [PlannedStack("cluster", plan(VPC))]
    assert Review("Plan", stacks, accepted=Accepted([entry])).digest == ""
    assert review(resource("aws_eks_addon", {"addon_version": "1"}, {"addon_version": "2"})).digest == ""


def test_the_words_of_a_finding_are_safe_on_a_terminal() -> None:
    """`approve` prints them, and a plan may hold characters that change what a terminal shows."""
    found = review({**VPC, "address": "aws_vpc.x\x1b[2J\u202e"}).dangers["cluster"]
    assert list(found.values()) == ["aws_vpc.x\\x1b[2J\\u202e is deleted"]
