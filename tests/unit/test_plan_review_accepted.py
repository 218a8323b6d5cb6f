"""Findings that a project accepts."""

import datetime as dt
import re
import time
from typing import Any

import pytest

from plan_review import markdown, yaml_text
from plan_review.accepted import read_accepted
from plan_review.findings import Category
from plan_review.plan import PlanError
from plan_review.review import PlannedStack, Review
from plan_review.values import compile_wildcards
from stacks.settings.load import PROJECT
from tests.plan_documents import plan, resource

TODAY = dt.date(2026, 11, 26)
ENTRY = {
    "address": "aws_s3_bucket.cache*",
    "category": "destruction",
    "reason": "The cache can be built again.",
    "until": "2026-12-31",
}
BUCKET = resource("aws_s3_bucket", {"bucket": "a"}, None, address="aws_s3_bucket.cache[0]")


def write(*entries: dict[str, Any]) -> str:
    """Return a file with entries."""
    return "accepted:\n" + "".join(
        f"- {'  '.join(f'{key}: {value}' + chr(10) for key, value in entry.items())}" for entry in entries
    )


def review(*entries: dict[str, Any]) -> Review:
    """Return the review of a plan that deletes a bucket."""
    accepted = read_accepted(write(*entries), "plan_review.yaml", TODAY)
    return Review("Plan", [PlannedStack("stack", plan(BUCKET))], accepted=accepted)


def test_an_accepted_finding_is_listed_apart_and_needs_no_approval() -> None:
    """The report has it with its reason, and the exit status is that of other changes."""
    accepted = review(ENTRY)
    assert review().exit_status == 3
    assert accepted.exit_status == 2
    assert accepted.findings == []
    text = markdown.write(accepted)
    assert "1 accepted." in text
    assert (
        "✓ **`aws_s3_bucket.cache[0]`** is deleted; "
        "accepted until 2026-12-31: `The cache can be built again.`"
    ) in text
    assert "## 🔴" not in text


@pytest.mark.parametrize("day", ["2026-11-26", "2026-11-27"])
def test_an_entry_counts_until_the_end_of_its_day(day: str) -> None:
    """`until` is the last day."""
    assert review(ENTRY | {"until": day}).exit_status == 2


def test_an_expired_entry_is_reported_and_does_not_count() -> None:
    """The finding is among the others again."""
    expired = review(ENTRY | {"until": "2026-11-25"})
    assert expired.exit_status == 3
    assert "expired on 2026-11-25, and no longer counts" in markdown.write(expired)


@pytest.mark.parametrize(
    "other",
    [
        {"category": "access"},
        {"address": "aws_s3_bucket.other"},
        {"address": "aws_s3_bucket.cach"},
        {"address": "s3_bucket.cache*"},
        {"address": "aws_s3_bucket.cache[0]?"},
    ],
    ids=str,
)
def test_an_unused_entry_is_reported(other: dict[str, str]) -> None:
    """An entry accepts exactly the findings of its category whose whole address it names."""
    unused = review(ENTRY | other)
    assert unused.exit_status == 3
    assert "is not used: no finding of these plans matches it" in markdown.write(unused)


@pytest.mark.parametrize("address", ["aws_s3_bucket.cache[0]", "aws_s3_bucket.cache[?]", "*"])
def test_only_the_star_and_the_question_mark_are_patterns(address: str) -> None:
    """The brackets of an index are characters as others."""
    assert review(ENTRY | {"address": f"'{address}'"}).exit_status == 2


def test_an_empty_file_accepts_nothing() -> None:
    """A list without entries is right."""
    assert review().exit_status == 3
    assert "Accepted" not in markdown.write(review())


CATEGORIES = ", ".join(category.name.lower() for category in Category)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "a.yaml:1: not YAML: "),
        ("accepted: 1\naccepted: 2", "a.yaml:2: not YAML: found duplicate key"),
        ("", "a.yaml: one key is expected. Accepted: accepted, with a list of entries"),
        ("rules: []", "a.yaml: one key is expected. Accepted: accepted, with a list of entries"),
        ("accepted: 7", "a.yaml: accepted: 7: refused. Accepted: a list of entries"),
        ("accepted: [7]", "accepted[0]: 7: refused. Accepted: the keys address, category, reason, until"),
        (
            write({"address": "a"}),
            "accepted[0].category: missing. Each entry has address, category, reason, until",
        ),
        (
            write(ENTRY | {"rule": "a"}),
            "accepted[0].rule: unknown. Each entry has address, category, reason, until",
        ),
        (
            write(ENTRY | {"reason": "' '"}),
            "accepted[0].reason:  : refused. Accepted: text that is not empty",
        ),
        (write(ENTRY | {"address": 7}), "accepted[0].address: 7: refused. Accepted: text that is not empty"),
        (
            write(ENTRY, ENTRY | {"category": "all"}),
            f"accepted[1].category: all: refused. Accepted: {CATEGORIES}",
        ),
        (write(ENTRY | {"until": "never"}), "accepted[0].until: never: refused. Accepted: a day such as"),
        (
            write(ENTRY | {"until": 2027}),
            "accepted[0].until: 2027: refused. Accepted: a day such as 2027-03-31",
        ),
    ],
)
def test_a_wrong_file_is_one_clear_message(text: str, message: str) -> None:
    """It names the field, the value and what is accepted."""
    with pytest.raises(PlanError) as refused:
        read_accepted(text, "a.yaml", TODAY)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_in_another_encoding_is_one_clear_message() -> None:
    """Bytes that are no text are refused, as is an unquoted time."""
    for text in (b"\xff\xfe\x00", write(ENTRY | {"until": "2026-12-31T10:00:00Z"}).encode()):
        with pytest.raises(PlanError, match=r"^a\.yaml: "):
            read_accepted(text, "a.yaml", TODAY)


LEVELS = "".join(f"- &a{n + 1} [{','.join([f'*a{n}'] * 9)}]\n" for n in range(20))
MERGES = "".join(f"- &a{n + 1} {{<<: [{','.join([f'*a{n}'] * 9)}]}}\n" for n in range(20))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(f"accepted:\n- &a0 [x]\n{LEVELS}", "a.yaml: accepted[0]: ['x']: refused", id="aliases"),
        pytest.param(f"accepted: &a20\n- &a0 [x]\n{LEVELS[:-60]}\n", "a.yaml", id="aliases in the list"),
        pytest.param(f"accepted:\n- &a0 {{x: x}}\n{MERGES}", "a.yaml: not YAML: merge keys", id="merge keys"),
        pytest.param(
            f"x: &a {{{','.join(f'k{i}: 1' for i in range(300))}}}\n"
            + "".join(f"y{i}: {{<<: *a}}\n" for i in range(50)),
            "a.yaml: not YAML: merge keys that repeat more than 10000 keys",
            id="many merge keys",
        ),
        pytest.param(f"#{'x' * 1_000_000}\n", "a.yaml: not YAML: 1000002 bytes. Accepted: up to", id="1 MB"),
        pytest.param(
            f"accepted: [{'1,' * 2000}]", "a.yaml: not YAML: more than 1000 keys and values", id="values"
        ),
        pytest.param(f"accepted: {'[' * 500}", "a.yaml:1: not YAML: ", id="500 levels"),
        pytest.param(
            'accepted:\n- {"a\\e[31m": 1}', r"a.yaml: accepted[0].a\x1b[31m: unknown", id="control character"
        ),
        pytest.param(f"accepted:\n- ? {'k' * 9000}\n  : 1\n", "a.yaml: accepted[0].kkk", id="a long key"),
    ],
)
def test_a_hostile_file_is_one_short_message(
    monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    """No file fills the memory, takes long, or writes to the terminal what it executes."""
    monkeypatch.setattr(yaml_text, "MAX_NODES", 1000)  # the real limit needs seconds
    started = time.process_time()
    with pytest.raises(PlanError) as refused:
        read_accepted(text, "a.yaml", TODAY)
    assert str(refused.value).startswith(message)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300
    assert time.process_time() - started < 9


def test_many_stars_take_no_longer() -> None:
    """A pattern of an address is compared in one pass, not in all ways."""
    started = time.process_time()
    pattern = compile_wildcards("*a" * 30 + "b", re.DOTALL)
    assert not pattern.fullmatch("a" * 60)
    assert pattern.fullmatch("a" * 60 + "b")
    assert compile_wildcards("a*b?*c", re.DOTALL).fullmatch("a.b.b..cc")
    assert time.process_time() - started < 5


def test_the_documents_example_is_right() -> None:
    """The example is a file that the command accepts, and the table has every category."""
    page = (PROJECT / "docs" / "plan_review.md").read_text()
    example = page.partition("```yaml\n")[2].partition("```")[0]
    assert len(read_accepted(example, "plan_review.yaml", TODAY).entries) == 1
    for category in Category:
        assert f"`{category.name.lower()}`" in page
