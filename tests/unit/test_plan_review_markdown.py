"""The text of the report, and strings that try to break out of it."""

import re

import pytest
from markdown_it import MarkdownIt

from plan_review import markdown
from plan_review.review import PlannedStack, Review
from tests.plan_documents import allow, output, plan, policy, report, resource

HOSTILE = [
    "a`b``c",
    "``` \n```\n/approve\n",
    "x\n/merge\n/assign @everybody",
    "</details><img src=x onerror=alert(1)>",
    "| a | b |",
    "](https://example.com)",
    "~label %milestone !1 #2 &3",
    "`",
    " ",
    "\u202eevil\u2028/approve\x1b[2J\ud800",
]


def visible(text: str) -> str:
    """Return everything in a Markdown text that is not code: texts, links and HTML."""
    pieces = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        pieces += [token.content] if token.type == "html_block" else []
        for part in token.children or []:
            pieces += [] if part.type == "code_inline" else [part.content, *map(str, part.attrs.values())]
    return "\n".join(pieces)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_string_of_a_plan_is_markdown(text: str) -> None:
    """Values, keys, addresses, messages and names are written as code that they can't end."""
    checks = [{"address": {"to_display": text}, "status": "fail", "instances": []}]
    made = plan(
        resource("acme_thing", {"a": text, "m": {text: 1}}, {"a": "b", "m": {text: 2}}, address=f"a.{text}"),
        resource("acme_thing", None, {}, address="a.b", previous_address=text),
        resource("aws_iam_policy", None, {"policy": policy(allow(Action=text))}),
        resource("acme_long", {"a": "b\nc"}, {"a": f"b\n{text}\nd"}),
        checks=checks,
        output_changes={text: output(1, 2)},
        resource_drift=[resource("acme_thing", {"a": text}, {"a": 1}, address=text)],
    )
    plain = markdown.write(Review("Plan", [PlannedStack("one", made), PlannedStack("two", made)]))
    plain.encode()
    seen = visible(plain)
    for sign in ("@", "<img", "https:", "/approve", "/merge", "milestone", "\u202e", "\x1b", "evil"):
        assert sign not in seen
    assert "\u202e" not in plain
    assert not re.search(r"^\s{0,3}/", plain, re.MULTILINE)
    assert plain.count("<details>") == seen.count("<details>") == plain.count("\n</details>\n")


@pytest.mark.parametrize("text", [*HOSTILE, "<img src=x> @all"])
def test_no_string_in_a_sentence_is_markdown(text: str) -> None:
    """A sentence may hold a string of the plan, such as the name of a node group."""
    before, after = (
        {
            "cluster_name": "c",
            "node_group_name": text,
            "scaling_config": [{"max_size": most, "desired_size": 1}],
        }
        for most in (1, 2)
    )
    made = Review("Plan", [PlannedStack("one", plan(resource("aws_eks_node_group", before, after)))])
    plain = markdown.write(made)
    assert not re.search(r"^\s{0,3}/", plain, re.MULTILINE)
    html = MarkdownIt("commonmark").enable("table").render(plain)
    assert "<img" not in html
    assert html.count("</details>") == plain.count("\n</details>\n")
    assert not re.search(r"(?<!\\)[@~%]|<a |\u202e|https:", re.sub(r"(`+).*?\1", "", plain))
    assert "`" in text or "<code>apply</code> refuses that" in html


@pytest.mark.parametrize("name", ["a|b", "<script>", "@all", "`x`"])
def test_the_name_of_a_stack_is_not_markdown(name: str) -> None:
    """The table, the headings and the titles of folded parts escape it."""
    made = plan(resource("acme_thing", {"a": 1}, {"a": 2}))
    failed = PlannedStack(name, None, "it broke\n```\n/approve @all", failed=True)
    text = markdown.write(Review("Plan", [PlannedStack(name, made), failed]))
    seen = re.sub(r"<code>.*?</code>", "", visible(text))
    assert not re.search(r"<script>|@all|a\|b", seen)
    assert "<code><script>" not in text
    assert not re.search(r"^/", text, re.MULTILINE)
    assert "<summary><code>" in text
    (row,) = re.findall(r"^\| .*\| 0 \| 1 .*$", text, re.MULTILINE)
    assert len(re.findall(r"(?<!\\)\|", row)) == 7


def test_the_most_dangerous_section_comes_first() -> None:
    """Sections that need an approval come first; then deletions, access and the others in their order."""
    text = report(
        resource("acme_thing", {}, None),
        resource("aws_eks_addon", {"addon_version": "1"}, {"addon_version": "2"}),
        resource("aws_iam_policy", None, {"policy": policy(allow())}),
        output_changes={"a": output(1, None)},
    )
    assert re.findall("<summary>(. [A-Z][a-z]+)", text) == [
        "🔴 Access",
        "🔴 Outputs",
        "🟠 Deleted",
        "🟠 Versions",
    ]
    assert "🔴 **2 changes need an explicit approval**. 🟠 2 more to look at." in text


def test_findings_that_need_an_approval_come_first() -> None:
    """The order holds within a section and across stacks."""
    harmless = plan(resource("acme_thing", {}, None))
    bucket = plan(resource("aws_s3_bucket", {}, None))
    text = markdown.write(Review("Plan", [PlannedStack("a", harmless), PlannedStack("b", bucket)]))
    assert text.index("🔴 **`aws_s3_bucket.this`** (`b`)") < text.index("🟠 **`acme_thing.this`** (`a`)")


def summary(text: str) -> list[str]:
    """Return the lines of the report's summary, without the part that is folded."""
    return re.findall(r"^- (.*)$", text.partition("<details>")[0], re.MULTILINE)


def test_a_stack_has_ten_lines_at_most() -> None:
    """The summary has the most dangerous findings, and says how many are below."""
    versions = [
        resource(
            "aws_eks_addon", {"addon_version": "1"}, {"addon_version": f"1.{number}"}, address=f"a.n{number}"
        )
        for number in range(11)
    ]
    vpc = resource("aws_vpc", {}, None)
    assert summary(report(*versions[:10])) == [
        f"🟠 Versions: `a.n{number}` gets another version (`addon_version` `1` → `1.{number}`)"
        for number in range(10)
    ]
    lines = summary(report(*versions, vpc))
    assert len(lines) == 10
    assert lines[0] == "🔴 Deleted or replaced: `aws_vpc.this` is deleted"
    assert lines[-1] == "… and 3 more, below"


def test_equal_findings_are_one_line_of_the_summary() -> None:
    """Five equal deletions are one line, which names three of them."""
    made = [resource("aws_subnet", {}, None, address=f"aws_subnet.s[{number}]") for number in range(5)]
    (line,) = summary(report(*made))
    assert line.startswith("🔴 Deleted or replaced: `aws_subnet.s[0]`, `aws_subnet.s[1]`, `aws_subnet.s[2]`")
    assert line.endswith(" and 2 more: each is deleted")


def test_what_is_created_with_its_parts_is_one_line() -> None:
    """A new role is one line with its policies; a policy of an older role is a line of its own."""
    trust = allow(Action="sts:AssumeRole", Principal={"Service": "ec2.amazonaws.com"}, Resource=None)
    role = resource("aws_iam_role", None, {"assume_role_policy": policy(trust)})
    parts = [
        resource("aws_iam_role_policy", None, {"policy": policy(allow())}),
        resource("aws_eks_access_policy_association", None, {"policy_arn": "arn:p"}),
        resource("aws_eks_access_entry", None, {"principal_arn": None}, unknown={"principal_arn": True}),
    ]
    old = resource("aws_iam_user_policy", None, {"policy": policy(allow())})
    by_role = {"references": ["aws_iam_role.this.name", "aws_iam_role.this"]}
    text = report(
        role,
        *parts,
        old,
        configured={
            "aws_iam_role.this": {"assume_role_policy": {}},
            "aws_iam_role_policy.this": {"role": by_role, "policy": {}},
            "aws_eks_access_entry.this": {"principal_arn": by_role},
            "aws_eks_access_policy_association.this": {
                "principal_arn": {"references": ["aws_eks_access_entry.this.principal_arn"]},
                "policy_arn": {},
            },
            "aws_iam_user_policy.this": {"user": {"references": ["aws_iam_user.old.name"]}, "policy": {}},
        },
    )
    parts_of_role, of_user = summary(text)
    assert parts_of_role == (
        "🔴 Access: `aws_iam_role.this` is created, with what belongs to it: `aws_iam_role_policy.this`, "
        "`aws_eks_access_policy_association.this`, `aws_eks_access_entry.this`"
    )
    assert of_user == "🔴 Access: `aws_iam_user_policy.this` is created (+3 lines)"
    assert "| `stack` | 5 | 0 | 0 | 0 | first deployment |" in text
    assert "**5 changes need an explicit approval**" in text


def test_a_way_to_more_rights_is_never_behind_its_role() -> None:
    """The summary names it, though the policy belongs to a role that is created with it."""
    text = report(
        resource("aws_iam_role", None, {"name": "a"}),
        resource(
            "aws_iam_role_policy", None, {"policy": policy(allow(Action="iam:PutRolePolicy", Resource="*"))}
        ),
        configured={
            "aws_iam_role.this": {"name": {}},
            "aws_iam_role_policy.this": {
                "role": {"references": ["aws_iam_role.this.name"]},
                "policy": {},
            },
        },
    )
    assert any("iam:PutRolePolicy (give itself any right)" in line for line in summary(text))


def test_different_values_look_different() -> None:
    """Of two long values the report shows the part that differs; line ends are escaped."""
    text = report(resource("a", {"long": "x" * 900 + "old"}, {"long": "x" * 900 + "new"}))
    assert "old" in text
    assert "new" in text
    text = report(resource("a", {"a": "x\n"}, {"a": "x"}))
    assert r"`x\n` → `x`" in text


def test_a_text_of_several_lines_is_shown_as_a_diff() -> None:
    """The diff has the lines around a change, not the whole text."""
    lines = [f"line {number}" for number in range(20)]
    text = report(resource("a", {"t": "\n".join(lines)}, {"t": "\n".join([*lines[:10], "new", *lines[11:]])}))
    assert "```diff\n line 8\n line 9\n-line 10\n+new\n line 11\n line 12\n```" in text


def test_a_very_long_text_is_only_counted() -> None:
    """A comparison of very long texts takes minutes, so the report has the numbers of lines."""
    before, after = ("\n".join(f"{sign}{number}" for number in range(6000)) for sign in "ab")
    assert "- 6000 lines\n+ 6000 lines, too many to compare here" in report(
        resource("a", {"t": before}, {"t": after})
    )


def test_omitted_changes_are_counted() -> None:
    """The report shows 300 changes, and says how many more there are and how many need an approval."""
    many = [
        resource("aws_s3_bucket", {}, None, address=f"aws_s3_bucket.b[{number}]") for number in range(310)
    ]
    text = report(*many)
    assert "… and 10 more, of which 10 need an explicit approval" in text
    assert text.count("- **`aws_s3_bucket.b[") == 300
    some = [resource("acme_thing", None, {}, address=f"acme_thing.b[{number}]") for number in range(310)]
    assert "… and 10 more\n" in report(*some)


def test_changes_outside_of_terraform_are_folded() -> None:
    """Drift is a folded part at the end."""
    drift = [resource("acme_thing", {"a": 1}, {"a": 2})]
    assert "- `a`: `1` → `2`" in report(resource_drift=drift).partition("changed outside of Terraform")[2]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "no changes"),
        ({"output_changes": {"a": output(None, 1)}}, "only outputs"),
        ({"complete": False}, "incomplete: Terraform deferred a part"),
    ],
)
def test_the_table_has_remarks(more: dict[str, object], words: str) -> None:
    """It says whether a plan has no changes, has only outputs, or is incomplete."""
    assert words in report(**more)


def test_a_terminal_gets_headings_instead_of_folds() -> None:
    """A program that renders Markdown on a terminal drops the titles of folded parts."""
    made = plan(
        resource("acme_thing", {"a": 1}, {"a": 2}),
        resource_drift=[resource("acme_thing", {"b": 1}, {"b": 2})],
    )
    text = markdown.write(Review("Plan", [PlannedStack("web", made)]), folded=False)
    assert "<details>" not in text
    assert re.findall("^## (.*)", text, re.MULTILINE) == [
        "`web`: 1 other change",
        "`web`: changed outside of Terraform since the last apply",
    ]


def test_the_verdict_comes_first() -> None:
    """Below it a reviewer sees the digest, and which account, region and commit the plan is for."""
    stacks = [PlannedStack("web", plan(resource("aws_vpc", {}, None)))]
    review = Review("Plan", stacks, facts={"account": "123456789012", "commit": "0a1b2c"})
    assert markdown.write(review).startswith(
        "# Plan\n\n🔴 **1 change needs an explicit approval**.\n\n"
        f"Digest of what needs an approval: `{review.digest}`\n\n"
        "account `123456789012`, commit `0a1b2c`\n\n| stack | "
    )


def test_a_changed_list_is_one_line() -> None:
    """The line has the removed elements, an arrow and the added elements."""
    states = ({"instance_types": types} for types in (["m5.large", "m4.large"], ["m6.large"]))
    text = report(resource("acme_thing", *states))
    assert "- `instance_types`: `m5.large`, `m4.large` → `m6.large`\n" in text


def test_equal_changes_are_written_once() -> None:
    """One changed tag of many resources is one entry with a list; another value is another entry."""
    text = report(
        *(resource("a", {"tags": {"t": 1}}, {"tags": {"t": 2}}, address=f"a.n{number}") for number in "123"),
        resource("a", {"tags": {"t": 1}}, {"tags": {"t": 3}}, address="a.other"),
    )
    assert "**~** each of these 3\n\n- `a.n1`\n- `a.n2`\n- `a.n3`\n" in text
    assert text.count("- `tags.t`: `1` → `2`") == 1
    assert "**~** `a.other`\n\n- `tags.t`: `1` → `3`" in text


def test_equal_findings_are_written_once() -> None:
    """Several equal deletions are one sentence with a list; each of them counts as an approval."""
    text = report(*(resource("aws_s3_bucket", {}, None, address=f"aws_s3_bucket.{name}") for name in "ab"))
    assert "🔴 each of these 2 is deleted\n\n- **`aws_s3_bucket.a`**\n- **`aws_s3_bucket.b`**\n" in text
    assert "**2 changes need an explicit approval**" in text


def test_equal_messages_are_written_once() -> None:
    """A finding without a resource has no list."""
    check = {"address": {"to_display": "check.a"}, "status": "fail", "instances": []}
    text = report(checks=[check, check])
    assert text.count("🟠 `check.a: fails`") == 1
    assert "each of these" not in text


def test_different_secrets_look_equal() -> None:
    """The report shows the same line for two secrets, so they are one entry."""
    changes = (
        resource("a", {"s": "x"}, {"s": new}, address=f"a.{new}", before_sensitive={"s": True})
        for new in ("y", "z")
    )
    assert report(*changes).count("`(sensitive)` → `(sensitive)`") == 1


def test_the_message_of_a_stack_that_waits_is_folded() -> None:
    """Terraform's message may show that something else is wrong."""
    stack = PlannedStack("cluster", None, "not planned: apply network first\nError: access denied\n/approve")
    text = markdown.write(Review("Plan", [stack]))
    assert "| not planned: apply network first |" in text
    folded = text.partition("<details>")[2]
    assert "Error: access denied" in folded
    assert "\n/approve" not in text


def test_a_failed_stack_hides_no_approval() -> None:
    """The first lines say that one stack failed, and that another one needs an approval."""
    failed = PlannedStack("workloads", None, "Error: no", failed=True)
    planned = PlannedStack("cluster", plan(resource("aws_eks_cluster", {}, None)))
    head = markdown.write(Review("Plan", [planned, failed])).partition("| stack |")[0]
    assert "Not every stack could be planned" in head
    assert "**1 change needs an explicit approval**" in head
