"""`python -m plan_review`: exit status, messages, files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stacks.settings.load import PROJECT
from tests.plan_documents import document, resource

NOTHING = json.dumps(document())
CHANGES = json.dumps(document(resource("acme_thing", {"a": 1}, {"a": 2})))
APPROVAL = json.dumps(document(resource("aws_vpc", {}, None)))


def run(*arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command, with something on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "plan_review", *map(str, arguments)],
        cwd=PROJECT,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(("text", "status"), [(NOTHING, 0), (CHANGES, 2), (APPROVAL, 3)])
def test_the_exit_status_is_that_of_the_plan(text: str, status: int, tmp_path: Path) -> None:
    """A file and standard input give the same report, and no message on standard error."""
    (tmp_path / "web.json").write_text(text)
    for done in (run(tmp_path / "web.json"), run("-", given=text)):
        assert done.returncode == status
        assert done.stdout.startswith("# Terraform plan\n")
        assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (("-",), "{", "-: not JSON. Accepted: what `terraform show -json <plan file>` prints"),
        (("-",), '{"format_version": "1.0", "values": {}}', "-: a state, not a plan"),
        (("no/such.json",), "", "no/such.json: No such file or directory"),
        ((".",), "", ".: Is a directory"),
        (("-", "--gitlab-report", "no/such/file"), NOTHING, "no/such/file: No such file or directory"),
        (("-", "--accepted", "no/such.yaml"), NOTHING, "no/such.yaml: No such file or directory"),
        (("-", "--accepted", "README.md"), NOTHING, "README.md"),
        (("comment", "no/such.md"), "", "no/such.md: No such file or directory"),
        (("comment",), "", "the following arguments are required: REPORT.md"),
        ((), "", "the following arguments are required: PLAN.json"),
        (("-", "--unknown"), NOTHING, "unrecognized arguments: --unknown"),
    ],
)
def test_an_error_is_one_message_and_status_1(arguments: tuple[str, ...], given: str, message: str) -> None:
    """The status is never 2, which means changes; there is no report and no traceback."""
    done = run(*arguments, given=given)
    assert done.returncode == 1
    assert done.stdout == ""
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def nest(opening: str, closing: str, depth: int) -> str:
    """Return JSON that is nested deeply."""
    return opening * depth + "1" + closing * depth


@pytest.mark.parametrize(
    "text",
    [
        nest("[", "]", 100_000),
        *(
            json.dumps(document(resource("acme_thing", {"a": "x"}, {"a": "VALUE"}))).replace('"VALUE"', value)
            for value in (nest('{"a":', "}", 900), nest("[", "]", 900))
        ),
        json.dumps(
            document(
                resource("acme_thing", *({"a": nest("[", "]", depth)} for depth in (900, 901, 5000)[:2]))
            )
        ),
        json.dumps(document(resource("acme_thing", {}, {"policy": nest('{"Statement":', "}", 5000)}))),
    ],
    ids=["a document", "maps", "lists", "JSON in a string", "a policy"],
)
def test_deeply_nested_values_give_no_traceback(text: str) -> None:
    """A hostile plan ends in a report or in one message."""
    done = run("-", given=text)
    assert "Traceback" not in done.stderr
    assert done.returncode in (2, 3) or done.stderr == "-: values are nested too deeply for a plan\n"


def test_several_plans_make_one_report(tmp_path: Path) -> None:
    """Each plan has the name of its file; the most dangerous one decides the exit status."""
    (tmp_path / "network.json").write_text(APPROVAL)
    (tmp_path / "cluster.json").write_text(CHANGES)
    done = run(tmp_path / "network.json", tmp_path / "cluster.json")
    assert done.returncode == 3
    assert "| `network` | 0 | 0 | 0 | 1 |  |\n| `cluster` | 0 | 1 | 0 | 0 |  |" in done.stdout


def test_reports_for_other_programs_are_written(tmp_path: Path) -> None:
    """Their findings point to the file that the command line names; by default to the plan."""
    files = [tmp_path / name for name in ("gitlab.json", "findings.sarif", "code-quality.json")]
    options = [
        part
        for pair in zip(("--gitlab-report", "--sarif", "--code-quality"), files, strict=True)
        for part in pair
    ]
    assert run("-", *options, "--location", "main.tf", given=APPROVAL).returncode == 3
    totals, sarif, (issue,) = (json.loads(file.read_text()) for file in files)
    assert totals == {"create": 0, "update": 0, "delete": 1}
    assert sarif["runs"][0]["results"][0]["ruleId"] == "destruction"
    assert issue["location"]["path"] == "main.tf"
    run("-", *options, given=APPROVAL)
    assert json.loads(files[2].read_text())[0]["location"]["path"] == "-"


def test_accepted_findings_need_no_approval(tmp_path: Path) -> None:
    """The exit status is that of a plan without them."""
    file = tmp_path / "plan_review.yaml"
    entry = "{address: aws_vpc.*, category: destruction, reason: moved, until: 9999-12-31}"
    file.write_text(f"accepted: [{entry}]")
    done = run("-", "--accepted", file, given=APPROVAL)
    assert (done.returncode, done.stderr) == (2, "")
    assert "accepted until 9999-12-31: `moved`" in done.stdout


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    """`python -m plan_review … | head` prints no traceback and no complaint."""
    (tmp_path / "plan.json").write_text(APPROVAL)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "plan_review", tmp_path / "plan.json"],
        cwd=PROJECT,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_help_lists_the_exit_statuses() -> None:
    """The author of a pipeline finds them in --help."""
    done = run("--help")
    assert done.returncode == 0
    for line in ("0  nothing to do", "2  changes", "3  changes that need an explicit approval", "1  error"):
        assert line in done.stdout


def test_the_review_imports_nothing_of_this_project() -> None:
    """Another project can copy the folder: the review imports no cdktf, no AWS library and no stacks."""
    code = "import sys, plan_review.__main__ as m; print(sorted({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    for name in ("stacks", "cdktf", "boto3", "jsii", "pydantic"):
        assert f"'{name}'" not in done.stdout
