"""`python -m jobs` reads a CI file as GitLab does."""

import json
import re
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from jobs import ci_file, ci_yaml
from jobs.ci_file import (
    DEFAULT_KEYS,
    GLOBAL_TYPES,
    IMAGE_KEYS,
    INHERIT_KEYS,
    JOB_KEYS,
    JOB_TYPES,
    RULE_KEYS,
    SERVICE_KEYS,
    Job,
    Pipeline,
    read_pipeline,
)
from jobs.ci_yaml import CiFileError
from plan_review import yaml_text
from stacks.settings.limited_yaml import MAX_BYTES

Read = Callable[..., Pipeline]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a CI file with this text; `others` are further files by name."""

    def read_text(text: str, *, variables: dict[str, str] | None = None, **others: str) -> Pipeline:
        for name, content in {"ci": text, **others}.items():
            (tmp_path / f"{name}.yml").write_text(content)
        return read_pipeline(tmp_path / "ci.yml", root=tmp_path, variables=variables or {})

    return read_text


@pytest.fixture
def refusal(read: Read, tmp_path: Path) -> Callable[..., str]:
    """Return the message that refuses a CI file, without its folder."""

    def message(text: str, **others: str) -> str:
        with pytest.raises(CiFileError) as refused:
            read(text, **others)
        return str(refused.value).replace(f"{tmp_path}/", "")

    return message


def cpu(job: Job) -> str | None:
    """Return the CPU request that a job asks for."""
    return job.variables["KUBERNETES_CPU_REQUEST"].text


def test_the_jobs_variable_wins_over_the_inherited_ones(read: Read) -> None:
    """Global variables, then those of `extends` in their order, then the job's own."""
    pipeline = read(
        """
        variables: {KUBERNETES_CPU_REQUEST: 1}
        .two: {variables: {KUBERNETES_CPU_REQUEST: 2}}
        .three: {variables: {KUBERNETES_CPU_REQUEST: 3}}
        global: {script: x}
        extended: {extends: [.two, .three], script: x}
        own: {extends: .two, script: x, variables: {KUBERNETES_CPU_REQUEST: 4}}
        """
    )
    assert {job.name: cpu(job) for job in pipeline.jobs} == {"global": "1", "extended": "3", "own": "4"}


def test_a_variable_of_the_project_wins_over_the_file(read: Read) -> None:
    """GitLab's precedence of CI/CD variables."""
    text = "job: {script: x, variables: {KUBERNETES_CPU_REQUEST: 4}}"
    (job,) = read(text, variables={"KUBERNETES_CPU_REQUEST": "8"}).jobs
    assert cpu(job) == "8"


def test_inherit_leaves_out_defaults_and_variables(read: Read) -> None:
    """`inherit` names the defaults and global variables that a job has."""
    (job,) = read(
        """
        default: {tags: [big], image: alpine}
        variables: {A: 1, B: 2}
        job: {script: x, inherit: {default: [image], variables: [B]}}
        """
    ).jobs
    assert (job.tags, job.image, set(job.variables)) == ((), "alpine", {"B"})


def test_a_reference_is_replaced_after_extends(read: Read) -> None:
    """A !reference sees what the other job has inherited."""
    pipeline = read(
        """
        .base: {variables: {KUBERNETES_CPU_REQUEST: 2}}
        .mid: {extends: .base}
        job: {script: x, variables: !reference [.mid, variables]}
        """
    )
    assert [cpu(job) for job in pipeline.jobs] == ["2"]


def test_anchors_and_merge_keys_have_the_meaning_of_yaml(read: Read) -> None:
    """The map's own keys win over the merged ones."""
    (job,) = read(
        """
        .vars: &vars {KUBERNETES_CPU_REQUEST: 2, A: a}
        job:
          script: x
          variables: {<<: *vars, A: b}
        """
    ).jobs
    assert (cpu(job), job.variables["A"].text) == ("2", "b")


def test_each_entry_of_a_matrix_is_a_job(read: Read) -> None:
    """The matrix sets variables, which others may use."""
    pipeline = read(
        """
        job:
          script: x
          variables: {KUBERNETES_CPU_REQUEST: $CPU}
          parallel: {matrix: [{CPU: [1, 2], OS: a}, {CPU: "3"}]}
        """
    )
    assert {job.name: cpu(job) for job in pipeline.jobs} == {
        "job: [1, a]": "1",
        "job: [2, a]": "2",
        "job: [3]": "3",
    }


def test_a_value_that_depends_on_rules_is_a_case_of_its_own(read: Read) -> None:
    """The pipeline decides which rule matches, so each case is a line; equal cases are one."""
    pipeline = read(
        """
        job:
          script: x
          rules:
            - if: $A
              variables: {KUBERNETES_CPU_REQUEST: 8}
            - if: $B
              when: never
              variables: {KUBERNETES_CPU_REQUEST: 99}
            - if: $C
              variables: {OTHER: 1}
            - if: $D
        """
    )
    cases = {job.case: job.variables.get("KUBERNETES_CPU_REQUEST") for job in pipeline.jobs}
    assert {case: value and value.text for case, value in cases.items()} == {
        "rules, line 6": "8",
        "rules, line 11": None,
    }


def test_a_job_that_no_rule_adds_is_not_there(read: Read) -> None:
    """GitLab makes no job if every rule says `when: never`, and no pipeline for the workflow's."""
    never = "rules: [{if: $A, when: never}, {when: never}]"
    pipeline = read(f"ok: {{script: x}}\nnever: {{script: x, {never}}}")
    assert [job.name for job in pipeline.jobs] == ["ok"]
    assert read(f"workflow: {{{never}}}\nok: {{script: x}}").jobs == ()


def test_inherit_leaves_out_the_variables_of_the_workflow(read: Read) -> None:
    """GitLab adds the variables of workflow:rules to the global ones, and filters both."""
    pipeline = read(
        """
        workflow: {rules: [{variables: {A: 1, B: 2}}]}
        none: {script: x, inherit: {variables: false}}
        one: {script: x, inherit: {variables: [B]}}
        all: {script: x}
        """
    )
    found = {job.name: sorted(job.variables) for job in pipeline.jobs}
    assert found == {"none": [], "one": ["B"], "all": ["A", "B"]}


def test_a_value_that_the_file_does_not_hold_is_unknown(read: Read) -> None:
    """It may be a variable of the project: never guessed."""
    (job,) = read("job: {script: x, tags: [$RUNNER], variables: {KUBERNETES_CPU_REQUEST: $SIZE}}").jobs
    assert cpu(job) is None
    assert "$SIZE" in job.variables["KUBERNETES_CPU_REQUEST"].unknown
    assert "$RUNNER" in "".join(job.unknown_tags)


def test_an_included_file_is_under_the_one_that_includes_it(read: Read) -> None:
    """`include: local` reads the file; the including file wins, key by key."""
    included = "job: {script: x, variables: {KUBERNETES_CPU_REQUEST: 1, A: a}}"
    (job,) = read("include: /other.yml\njob: {variables: {A: b}}", other=included).jobs
    assert (cpu(job), job.variables["A"].text) == ("1", "b")


def test_an_include_that_can_not_be_read_is_named(read: Read) -> None:
    """A job that extends something of it is unknown, and no mistake."""
    pipeline = read("include: {project: a/b, file: c.yml}\njob: {extends: .theirs}\nok: {script: x}")
    (note,) = pipeline.notes
    assert "include project: a/b: not read" in note
    assert {job.name: bool(job.unknown) for job in pipeline.jobs} == {"job": True, "ok": False}


def test_a_variable_knows_its_line(read: Read) -> None:
    """The report names the line to change."""
    (job,) = read(".a:\n  variables:\n    KUBERNETES_CPU_REQUEST: 2\njob: {extends: .a, script: x}\n").jobs
    assert str(job.variables["KUBERNETES_CPU_REQUEST"].place).endswith("ci.yml:3")


NINE = ",".join(["*{0}"] * 9)
NINEFOLD = ",".join(["!reference [.a{0}, rules]"] * 9)
REFERENCES = ".a0: {rules: [{if: a}]}\n" + "".join(
    f".a{i}: {{rules: [{NINEFOLD.format(i - 1)}]}}\n" for i in range(1, 9)
)
BASE = "b: &b {" + ",".join(f"V{i}: 1" for i in range(200)) + "}\n.a: {variables: *b}\n"
EXTENDS = BASE + "".join(f"j{i}: {{extends: .a, script: x}}\n" for i in range(100))
BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{NINE.format(f'a{i - 1}')}]\n" for i in range(1, 40))
MERGES = f".a: &a {{{','.join(f'k{i}: 1' for i in range(500))}}}\n" + "".join(
    f"j{i}: {{<<: *a}}\n" for i in range(200)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job: {script: x, scrpt: y}", "ci.yml:1: job.scrpt: unknown key. Did you mean script?"),
        ("varables: {A: 1}\njob: {script: x}", "ci.yml:1: varables: no job. Did you mean variables?"),
        ("default:\n  tgs: [a]\njob: {script: x}", "ci.yml:2: default.tgs: unknown key. Did you mean tags?"),
        ("job: {script: x, rules: [{iff: a}]}", "ci.yml:1: rules.iff: unknown key. Did you mean if?"),
        ("workflow: {rules: [{iff: a}]}\njob: {script: x}", "workflow:rules.iff: unknown key"),
        ("job: {script: x, image: {nam: a}}", "ci.yml:1: image.nam: unknown key. Did you mean name?"),
        ("job: {script: x, services: [{name: a, variable: {}}]}", "services.variable: unknown key"),
        ("job: {script: x, inherit: {defaults: false}}", "inherit.defaults: unknown key"),
        ("job: {extends: .a, script: x}\n.a: {extends: job}", "extends: job → .a → job: a circle"),
        ("job: {extends: .b}", "extends: .b: there is no such job"),
        ("job: {script: !reference [job, script]}", "!reference [job, script]: a circle"),
        ("include: ci.yml", "ci.yml:1: include: ci.yml includes itself"),
        ("include: none.yml", "include: none.yml: there is no such file"),
        ("include: ../none.yml", "must be a file of the project"),
        ("a: &a [*a]", "an anchor that contains itself"),
        ("job: [", "not valid YAML"),
        ("job: {script: 5}", "ci.yml:1: job.script: must be a string or a list"),
        ("job: {script: x, stage: [1]}", "job.stage: must be a string"),
        ("job: {script: x, retry: banana}", "job.retry: must be a whole number or a map"),
        ("job: {script: x, retry: true}", "job.retry: must be a whole number or a map"),
        ("stages: 4\njob: {script: x}", "ci.yml:1: stages: must be a list"),
        ("default: {timeout: 3}\njob: {script: x}", "default.timeout: must be a string"),
        ("job: {script: x, retry: !!float abc}", "ci.yml:1: abc: not a number that GitLab can read"),
        ("job: {script: x, variables: {A: 0x" + "f" * 5000 + "}}", "a number of more than 100 digits"),
        ("job: {variables: {}}", "there is no script, run or trigger"),
        ("job: {script: x, variables: [a]}", "job.variables: must be a map"),
        ("job: {script: x, parallel: 500}", "job.parallel: must be a number of 1 to 200"),
        ("job: !vault x", "the tag !vault: only !reference is known"),
        ("a: 1\n---\nb: 2\n---\nc: 3", "a second document"),
        ("[" * 5000, "nested more than 40 levels"),
        (f"{REFERENCES}job: {{script: x, rules: !reference [.a8, rules]}}", "expand to more than"),
        (EXTENDS, "expand to more than 3000 values"),
        (BOMB, "anchors that expand to more than"),
        (MERGES, "merge keys that repeat more than 40000 keys"),
        ("x: " + "a" * MAX_BYTES, "larger than 1000 kB"),
        ("x: [" + "a," * 5000 + "]", "more than 4000 keys and values"),
    ],
)
def test_a_file_that_gitlab_would_refuse_ends_in_a_message(
    refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    """It names the place and the reason, within seconds. Lower limits than the real ones need less text."""
    monkeypatch.setattr(ci_file, "MAX_WORK", ci_file.MAX_WORK // 100)
    for module in (ci_yaml, yaml_text):
        monkeypatch.setattr(module, "MAX_NODES", yaml_text.MAX_NODES // 10)
    begin = time.process_time()
    assert message in refusal(text)
    assert time.process_time() - begin < 5


def test_a_long_key_is_cut_in_the_message(refusal: Callable[..., str]) -> None:
    """A key of pages would hide the message's end, which says what is wrong."""
    message = refusal(f"default:\n  ? {'é' * 3000}\n  : 1\njob: {{script: x}}")
    assert "é…" in message
    assert len(message) < 600


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: [" + "a," * 100_000 + "]", "more than 40000 keys and values"),
        (
            ".a: &a {"
            + ",".join(f"k{i}: 1" for i in range(9000))
            + "}\n"
            + "".join(f"j{i}: {{<<: *a}}\n" for i in range(5000)),
            "merge keys that repeat more than 400000 keys",
        ),
        (
            BASE.replace("V199: 1", ",".join(f"V{i}: 1" for i in range(199, 2000)))
            + "".join(f"j{i}: {{extends: .a, script: x}}\n" for i in range(1000)),
            "expand to more than 300000 values",
        ),
    ],
)
def test_the_real_limits_end_a_large_file_within_seconds(
    refusal: Callable[..., str], text: str, message: str
) -> None:
    """The same messages, without lower limits."""
    begin = time.process_time()
    assert message in refusal(text)
    assert time.process_time() - begin < 5


def test_variables_that_grow_by_each_other_end(read: Read) -> None:
    """Each of 40 variables has the next one twice: the value would have a trillion characters."""
    chain = "".join(f"  V{i}: $V{i + 1}$V{i + 1}\n" for i in range(40))
    (job,) = read(f"variables:\n{chain}  V40: xxxx\njob: {{script: x}}").jobs
    assert job.variables["V0"].text is None
    assert len(job.variables["V35"].text or "") == 4 * 2**5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "ci.yml: can't be read: No such file or directory"),
        ("folder", "ci.yml: not a file"),
        (b"\xff\xfe\x00a", "ci.yml: can't be read: it must be text in UTF-8"),
        (b"a" * 10_000_000, "ci.yml: larger than 1000 kB"),
        (b"job: {script: [a]}\n" * 600_000, "ci.yml: larger than 1000 kB"),
    ],
)
def test_a_file_that_can_not_be_read_ends_in_a_message(
    tmp_path: Path, content: bytes | str | None, message: str
) -> None:
    """There is none, it is a folder, no text, or 10 MB; only the first megabyte is read."""
    path = tmp_path / "ci.yml"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    begin = time.process_time()
    with pytest.raises(CiFileError) as refused:
        read_pipeline(path, root=tmp_path, variables={})
    assert str(refused.value).replace(f"{tmp_path}/", "").startswith(message)
    assert time.process_time() - begin < 1


def test_the_keywords_are_those_of_gitlabs_schema() -> None:
    """A new keyword must not be called unknown."""
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "gitlab-ci.json"
    document = json.loads(schema.read_text(encoding="utf-8"))
    definitions = document["definitions"]
    assert set(definitions["job_template"]["properties"]) == JOB_KEYS
    assert set(document["properties"]["default"]["properties"]) - {"!reference"} == DEFAULT_KEYS
    rules = definitions["rules"]["items"]["anyOf"][0]["properties"]
    assert {
        *rules,
        *document["properties"]["workflow"]["properties"]["rules"]["items"]["properties"],
    } == RULE_KEYS
    (image,) = (entry for entry in definitions["image"]["oneOf"] if "properties" in entry)
    assert set(image["properties"]) == IMAGE_KEYS
    (service,) = (entry for entry in definitions["services"]["items"]["oneOf"] if "properties" in entry)
    assert set(service["properties"]) == SERVICE_KEYS
    assert set(definitions["job_template"]["properties"]["inherit"]["properties"]) == INHERIT_KEYS


def list_types(schema: dict[str, Any], document: dict[str, Any]) -> set[str]:
    """Return the JSON types that a part of a schema accepts."""
    if "$ref" in schema:
        found = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return list_types(found, document)
    parts = [part for key in ("oneOf", "anyOf", "allOf") for part in schema.get(key, [])]
    kinds = schema.get("type", [])
    names = {str: "string", int: "integer"}
    found_types = {kinds} if isinstance(kinds, str) else {*kinds}
    found_types |= {names[type(value)] for value in schema.get("enum", [])}
    return found_types.union(*(list_types(part, document) for part in parts)) - {"null"}


def test_the_types_are_those_of_gitlabs_schema() -> None:
    """Besides `tags`, which is checked apart, `needs`, and a list of `stage`, which is a reference."""
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "gitlab-ci.json"
    document = json.loads(schema.read_text(encoding="utf-8"))
    names = {str: "string", list: "array", dict: "object", bool: "boolean", int: "integer"}
    for types, properties in (
        (JOB_TYPES, document["definitions"]["job_template"]["properties"]),
        (GLOBAL_TYPES, document["properties"]),
    ):
        for key in types.keys() - {"needs", "stage"}:
            assert {names[kind] for kind in types[key]} == list_types(properties[key], document), key
    assert JOB_KEYS - JOB_TYPES.keys() == {"tags"}


def test_the_pipeline_of_this_project_can_be_read() -> None:
    """It has includes of none, anchors, extends and services."""
    pipeline = read_pipeline(Path(__file__).parents[2] / ".gitlab-ci.yml", variables={})
    names = {job.name for job in pipeline.jobs}
    assert {"lint", "test", "build image"} <= names
    assert not any(re.match(r"\.", name) for name in names)
