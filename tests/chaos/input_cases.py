"""Inputs for the project's programs, from valid ones to byte noise: strategies of hypothesis.

Each kind of input has valid documents, which are changed as documents (values, keys) and as text (lines,
signs, encodings). Not here: running the programs (input_worker.py).
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from typing import Any

from hypothesis import strategies as some
from ruamel.yaml import YAML

from stacks.settings import Settings
from stacks.settings.load import PROJECT
from tests.unit.test_plan_review_fuzz import JSON, build_plan, list_places

Draw = Callable[[some.SearchStrategy[Any]], Any]
Files = dict[str, bytes]

WORKER = "tests.chaos.input_worker"
ACCEPTED = "accepted:\n- address: aws_iam_*\n  category: access\n  reason: Known.\n  until: 2027-03-31\n"
LOG = """\
start,seconds,CPU,memory,fleet
2026-11-25T09:30:00Z,60,500m,1Gi,default
2026-11-25T09:30:05Z,61.5,,,default
1764063000,3600,2,512Mi,default
"""
PIPELINE = """\
spec: {inputs: {a: {default: b}}}
---
default: {image: "python:3.12", tags: [eks], retry: 1, services: [{name: "docker:dind", alias: d}]}
variables: {KUBERNETES_CPU_REQUEST: "2", OTHER: $KUBERNETES_CPU_REQUEST, B: {value: x, expand: false}}
workflow: {rules: [{if: $CI, variables: {KUBERNETES_MEMORY_LIMIT: 2Gi}}]}
.hidden: &hidden
  variables: {KUBERNETES_MEMORY_REQUEST: 4Gi}
  rules: [{if: $A == "b", variables: {KUBERNETES_CPU_REQUEST: "3"}}, {when: never}]
build:
  extends: [.hidden]
  script: [!reference [.hidden, variables, KUBERNETES_MEMORY_REQUEST], make]
  parallel: {matrix: [{A: [a, b], KUBERNETES_CPU_LIMIT: ["4", "8"]}]}
test:
  <<: *hidden
  needs: [{job: build, artifacts: true}]
  inherit: {default: false, variables: [OTHER]}
  image: {name: "x:1", entrypoint: [""], kubernetes: {user: "1000"}}
  script: make test
down: {trigger: {project: a/b}}
"""
JOBS = [
    {
        "id": number,
        "name": "build 1/2",
        "status": "success",
        "started_at": "2026-11-25T09:30:00.000Z",
        "finished_at": "2026-11-25T09:40:00.000Z",
        "duration": 600.5,
        "queued_duration": 3.2,
        "tag_list": ["eks"],
        "runner": {"id": 7},
    }
    for number in (1, 2)
]
ENTRY = {
    "number": 1,
    "environment": "example",
    "previous": "",
    "verdict": "approved",
    "time": "2026-11-25T09:30:00Z",
    "valid_until": "2026-12-02T09:30:00Z",
    "digest": "0" * 64,
    "dangers": {"network": {"0" * 64: "aws_vpc.vpc: destroyed"}},
    "commit": "abc",
    "aws_arn": "arn:aws:iam::123456789012:user/a",
    "gitlab_user": "",
}
STACK = {
    "preview": False,
    "has_changes": True,
    "plan_sha256": "0" * 64,
    "configuration_sha256": "0" * 64,
    "state": "",
    "dangers": {},
    "node_numbers": [],
}
SCAN = """\
accepted:
- scans: [stacks]
  check: CKV_AWS_1
  resources: [aws_vpc.vpc]
  reason: A reason that is long enough to be one, as the file's head says.
"""


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        name: The name in the table.
        file: The file with the input, below the folder of the project.
        program: The function that reads it.
        arguments: Its arguments; `{file}` and `{folder}` are the file and its folder.
        valid: Texts of valid inputs.
        named: The words with which a message names the input.
        environment: Environment variables.

    """

    name: str
    file: str
    program: str
    arguments: tuple[str, ...]
    valid: tuple[str, ...]
    named: str
    environment: dict[str, str] = field(default_factory=dict)


def _dump(value: Any) -> str:
    return json.dumps(value, indent=1)


def _read(path: str) -> str:
    return (PROJECT / path).read_text(encoding="utf-8")


def kinds() -> tuple[Kind, ...]:
    """Return the kinds of files that the programs read."""
    return (
        Kind(
            "settings", "environments/chaos.yaml", "main:main", (), _settings(), "chaos.yaml",
            {"ENV": "chaos"},
        ),
        Kind(
            "backend.tf.json", "backend.tf.json", "deployment.__main__:main",
            ("validate", "--environment", "example"), (_read("backend.tf.json"),), "backend.tf.json",
        ),
        Kind(
            "CI file", "ci/.gitlab-ci.yml", "jobs.__main__:main",
            ("explain", "{file}", "--environment", "example", "--root", "{folder}"),
            (PIPELINE, _read("templates/can-run.yml"), _read(".gitlab-ci.yml")), ".gitlab-ci.yml",
        ),
        Kind("plan", "plan.json", "plan_review.__main__:main", ("{file}",), (_dump(build_plan()),),
        "plan.json"),
        Kind(
            "accepted findings", "accepted.yaml", "plan_review.__main__:main",
            ("--accepted", "{file}", "{folder}/good.json"), (ACCEPTED,), "accepted.yaml",
        ),
        Kind(
            "log of jobs", "jobs.csv", "jobs.__main__:main",
            ("replay", "{file}", "--environment", "example"), (LOG,), "jobs.csv",
        ),
        Kind(
            "jobs of GitLab", "api.json", "jobs.__main__:main",
            ("convert", "{file}", "--environment", "example"), (_dump(JOBS),), "api.json",
        ),
        Kind(
            "record of approvals", "approvals/000001.json", f"{WORKER}:read_approvals", ("{folder}",),
            (_dump({"entry": ENTRY, "signature": ""}),), "000001.json",
        ),
        Kind(
            "record of a plan", "plans/example/plans.json", f"{WORKER}:read_plans_record", ("{folder}",),
            (_dump({"exit_status": 2, "digest": "", "commit": "", "stacks": {"network": STACK}}),), "plans",
        ),
        Kind(
            "accepted weaknesses", "scan.yaml", f"{WORKER}:read_scan_acceptances", ("{file}",), (SCAN,),
            "scan.yaml"
        ),
        Kind(
            "table of prices", "prices/table.csv", f"{WORKER}:read_prices", ("{file}",),
            ("region,item,usd,unit,source\neu-central-1,m5.large,0.115,hour,a\n*,gp3,0.08,GB-month,a\n",),
            "table.csv",
        ),
    )  # fmt: skip


# --- Documents

LONG = 3000
ODD_TEXTS = some.sampled_from(
    (
        "", " ", "a" * LONG, "é" * LONG, "\n", "a\nb", "\x1b[31mred", "\u202eabc", "\ufeff", "\x85",
        "\u2028", "\u0000",
        "${AWS_REGION}", "${aws_vpc.vpc.id}", "%{ for a in b }", "{{ a }}", "$(date)", "`date`", "a'\"b",
        "../../etc",
        "-", "~", "null", "no", "1e3", "0x10", "1_000", "2026-11-26", ".inf", "*", "&a", "!!str", "[", "{",
        "#", ": ", "<<",
        "\ud800", "glpat-abcdefghijklmnopqrst", "é", "日本", "😀", "a" * 64, "A", "a.b", "a/b",
        "arn:aws:iam::1:role/a",
    )
)  # fmt: skip
ODD_VALUES: some.SearchStrategy[Any] = some.sampled_from(
    (
        None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, -(10**400), 0.1, -0.0, 1e308, 1e400,
        float("nan"),
        [], {}, [[]], [{}], {"a": {"b": ["c"]}}, [None], ["a"] * 300, {"": ""}, {"a" * LONG: 1},
    )
)  # fmt: skip
VALUES = ODD_VALUES | ODD_TEXTS | JSON


@cache
def _parse(text: str) -> Any:
    documents = [
        item for item in YAML(typ="safe", pure=True).load_all(text.replace("!reference ", "")) if item
    ]
    return documents[-1]


@some.composite
def changed_documents(draw: Draw, texts: tuple[str, ...]) -> bytes:
    """Return a valid document in which some values or keys are others."""
    document = copy.deepcopy(_parse(draw(some.sampled_from(texts))))
    for _ in range(draw(some.integers(1, 3))):
        places = list_places(document)
        if not places:
            break
        container, key = draw(some.sampled_from(places))
        what = draw(some.sampled_from(("other", "gone", "moved", "renamed", "nested", "twin")))
        _change(draw, document, container, key, what)
    return _write(document, draw(some.sampled_from(("yaml", "json"))))


def _change(draw: Draw, document: Any, container: Any, key: Any, what: str) -> None:
    value = container[key]
    match what:
        case "gone":
            del container[key]
        case "moved":
            other, there = draw(some.sampled_from(list_places(document)))
            container[key] = copy.deepcopy(other[there])
        case "renamed" if isinstance(container, dict):
            del container[key]
            container[draw(ODD_TEXTS | some.text(max_size=8))] = value
        case "nested":
            container[key] = draw(some.sampled_from(([value], {"a": value}, [value] * 3, str(value))))
        case "twin" if isinstance(container, dict):
            container[f"{key}2"] = copy.deepcopy(value)
        case _:
            container[key] = copy.deepcopy(draw(VALUES))


def _write(document: Any, form: str) -> bytes:
    if form == "json":
        return json.dumps(document, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
    stream = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(document, stream)
    return stream.getvalue().encode("utf-8", "surrogatepass")


# --- Texts

SIGNS = some.sampled_from(list("\t\r\x00\x07\x1b\x7f\x85\u2028\ufeff:-#&*!|>'\"%@`{}[],?~<$\\0\n"))
LINES = some.sampled_from(
    (
        "a: &a [*a]", "<<: *a", "<<: {a: b}", "? [a, b]\n: c", "---", "...", "%YAML 1.1",
        "a: !!python/object:os.system {}",
        "a: !!binary aGk=", "a: !!set {a, b}", "a: !!timestamp 2026-11-26", "a: |\n  b", "a: >-\n\n  b",
        "\ta: b",
        "a: 1e400", "a: .nan", "a: 0o777", "a: 1:30:00", "a: 0b1", "{{ a }}", "- a",
        "include: [{local: /ci.yml}]",
        "include: {remote: 'http://127.0.0.1:1/a.yml'}", "include: .gitlab-ci.yml", "extends: build",
        ',"a":', "},", "a: *b",
        '"a": 1,', "1,2,3,4,5", '"', "a: " + "9" * 400, "a: " + "[" * 60, "x" * LONG + ": 1",
    )
)  # fmt: skip
ENCODINGS = ("utf-16", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "cp037", "utf-7")


@some.composite
def changed_texts(draw: Draw, texts: tuple[str, ...]) -> bytes:
    """Return a valid text in which some lines or signs are others, in any encoding."""
    lines = draw(some.sampled_from(texts)).splitlines(keepends=True)
    for _ in range(draw(some.integers(1, 4))):
        at = draw(some.integers(0, len(lines)))
        line = lines[at] if at < len(lines) else "\n"
        sign = draw(some.integers(0, len(line)))
        match draw(some.sampled_from(("again", "gone", "swap", "sign", "cut", "line", "shift", "value"))):
            case "again":
                lines.insert(at, line)
            case "gone" if at < len(lines):
                del lines[at]
            case "swap":
                lines[at : at + 2] = reversed(lines[at : at + 2])
            case "sign":
                lines[at : at + 1] = [line[:sign] + draw(SIGNS) + line[sign:]]
            case "cut":
                lines[at : at + 1] = [line[:sign]]
            case "shift":
                lines[at : at + 1] = [" " * draw(some.integers(1, 3)) + line]
            case "value":
                name, colon, _ = line.partition(":")
                text = draw(ODD_TEXTS)
                lines[at : at + 1] = [f"{name}{colon} {draw(some.sampled_from((text, json.dumps(text))))}\n"]
            case _:
                indent = line[: len(line) - len(line.lstrip())]
                lines.insert(at, f"{indent}{draw(LINES)}\n")
    text = "".join(lines)
    end = draw(some.sampled_from(("\n", "\n", "\n", "\r\n", "\r", "\u2028", "\x85")))
    encoding = draw(some.sampled_from(("utf-8",) * 12 + ENCODINGS))
    data = text.replace("\n", end).encode(encoding, "replace" if encoding != "utf-8" else "surrogatepass")
    return data[: draw(some.integers(0, len(data)))] if draw(some.integers(0, 9)) == 0 else data


def noise(texts: tuple[str, ...]) -> some.SearchStrategy[bytes]:
    """Return bytes, and valid inputs with bytes in them."""

    def spoil(text: str, at: int, data: bytes) -> bytes:
        whole = text.encode()
        return whole[: at % len(whole)] + data + whole[at % len(whole) :]

    return (
        some.binary(max_size=200)
        | some.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
        | JSON.map(lambda value: json.dumps(value).encode())
        | some.builds(
            spoil, some.sampled_from(texts), some.integers(0, 10**4), some.binary(min_size=1, max_size=9)
        )
    )


# --- Settings by their schema

_EXAMPLE = re.compile(r"such as \[?\"?([^\s,\])\"]+)")
# Other versions of these need other providers than the tests have.
_FIXED = frozenset(("aws_provider", "helm_provider", "kubernetes_provider"))


def values_of(  # noqa: PLR0911 - one for each type
    schema: dict[str, Any], about: str = ""
) -> some.SearchStrategy[Any]:
    """Return a strategy for a part of the settings' JSON schema; rules beyond it may refuse some values."""
    schema = _resolve(schema)
    about = schema.get("description", about)
    if "enum" in schema or "const" in schema:
        return some.sampled_from(schema.get("enum") or [schema["const"]])
    if "anyOf" in schema:
        parts = [part for part in schema["anyOf"] if part.get("type") != "null"]
        return some.one_of([values_of(part, about) for part in parts])
    match schema.get("type"):
        case "boolean":
            return some.booleans()
        case "integer":
            least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
            most = schema.get("maximum", 10**6)
            return some.sampled_from((least, most)) | some.integers(least, most)
        case "number":
            return some.floats(schema.get("minimum", 0), schema.get("maximum", 1))
        case "array":
            items = values_of(schema.get("items", {}), about)
            return some.lists(items, min_size=schema.get("minItems", 0), max_size=3, unique_by=str)
        case "object" if "properties" in schema:
            return _objects_of(schema)
        case "object":
            names = _strings_of(schema.get("propertyNames", {}), "such as name")
            return some.dictionaries(
                names, values_of(schema.get("additionalProperties", {}), about), max_size=3
            )
    return _strings_of(schema, about)


def _resolve(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {**_schema()["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    return schema


def _objects_of(schema: dict[str, Any]) -> some.SearchStrategy[Any]:
    required = set(schema.get("required", ()))
    parts = {name: part for name, part in schema["properties"].items() if name not in _FIXED}

    @some.composite
    def build(draw: Draw) -> dict[str, Any]:
        names = {*draw(some.lists(some.sampled_from(sorted(parts)), max_size=3)), *(required & set(parts))}
        return {name: draw(values_of(parts[name])) for name in sorted(names)}

    return build()


def _strings_of(schema: dict[str, Any], about: str) -> some.SearchStrategy[str]:
    if "pattern" in schema:
        found: some.SearchStrategy[str] = some.from_regex(schema["pattern"], fullmatch=True)
        return found.filter(lambda text: len(text) <= schema.get("maxLength", 10**4))
    examples = _EXAMPLE.findall(about)
    return some.sampled_from(examples * 20 or ["a"]) | ODD_TEXTS | some.text(max_size=8)


@cache
def _schema() -> dict[str, Any]:
    return Settings.model_json_schema()


@some.composite
def schema_settings(draw: Draw) -> bytes:
    """Return an environment with values by the schema in one or two places."""
    document = copy.deepcopy(_parse(draw(some.sampled_from(_settings()))))
    properties = _schema()["properties"]
    for _ in range(draw(some.integers(1, 2))):
        section = draw(some.sampled_from(sorted(set(properties) - {"environment"})))
        schema = _resolve(properties[section])
        place, key = document, section
        if section == "runners":
            place, key, schema = document["runners"], "default", _schema()["$defs"]["RunnerSettings"]
        elif section == "cluster" and draw(some.booleans()):
            place, key = document["cluster"]["node_groups"], "big"
            schema = _schema()["$defs"]["NodeGroupSettings"]
        if "properties" not in schema:
            place[key] = draw(values_of(schema))
            continue
        name = draw(some.sampled_from(sorted(set(schema["properties"]) - _FIXED)))
        place.setdefault(key, {})[name] = draw(values_of(schema["properties"][name]))
    return _write(document, "json")


def _settings() -> tuple[str, ...]:
    return tuple(_read(f"environments/{name}.yaml") for name in ("example", "local"))


# --- Command lines

_COMMANDS = {
    "deployment": (
        "validate",
        "consumer-policy",
        "plan",
        "apply",
        "approve",
        "unlock",
        "destroy",
        "bootstrap",
    ),
    "jobs": ("explain", "all-maxima", "replay", "convert", "generate"),
    "plan_review": ("comment", "{folder}/good.json", "-", "{folder}/plan.json"),
    "local_aws": ("show",),  # the others start and end programs
    "prices": ("show",),  # the other one asks AWS
}
_OPTIONS = (
    "--environment", "--environment=nope", "--yes", "--dry-run", "--fleet", "--variable", "--root",
    "--instance-type", "--json",
    "--node-start", "--against", "--jobs", "--seed", "--runner", "--ci-file", "--accepted", "--sarif",
    "--region", "--name",
    "--location", "--digest", "--valid-for", "--code-quality", "--picture", "--help", "-h", "--", "-",
    "--spot=", "--remove",
    "--allow-unread-includes", "--gitlab-report", "network", "{folder}", "{folder}/ci/.gitlab-ci.yml",
    "{folder}/jobs.csv",
    "{folder}/api.json", "/dev/null", "/nope/nope", "m5.large=2:8192", "m5.large=-1:1", "A=B", "SPOT=180",
    "SPOT=1e9",
    "7=default", "eu-central-1", "m5.large", "gp3", "0", "-1", "99999999999999999999", "1e3", "nan",
)  # fmt: skip
# Python has a surrogate for each byte from the operating system that is no UTF-8.
_WORDS = some.sampled_from(
    ("", " ", "\udcff", "a\nb", "\x1b[31m", "../example", "/etc/passwd", "a" * 5000, "é" * 300, "\u202e",
    "${A}", "*", "~")
) | some.text(some.characters(codec="utf-8", exclude_characters="\0"), max_size=8)  # fmt: skip
_VARIABLES = (
    "ENV",
    "KUBERNETES",
    "VERBOSE",
    "CI_API_V4_URL",
    "GITLAB_TOKEN",
    "CI_PROJECT_ID",
    "COLUMNS",
    "AWS_REGION",
)


@some.composite
def command_lines(draw: Draw, folder: str, *, with_node: bool) -> tuple[str, list[str], dict[str, str]]:
    """Return a program, its arguments and environment variables: none reaches AWS or Terraform.

    ENV names no environment of AWS's: the programs that would ask AWS end at the missing settings.
    """
    # `local_aws` imports cdktf, which starts Node.js: the worker has begun with it, or has no memory for it.
    programs = [name for name in sorted(_COMMANDS) if with_node or name != "local_aws"]
    program = draw(some.sampled_from([*programs, "main"]))
    words = some.sampled_from(_OPTIONS) | _WORDS
    arguments = draw(some.lists(words, max_size=4))
    if program == "main":
        arguments = [*arguments, *draw(some.sampled_from(([], ["--help"])))]
    elif draw(some.integers(0, 9)):
        arguments.insert(0, draw(some.sampled_from(_COMMANDS[program])))
    environment = draw(some.dictionaries(some.sampled_from(_VARIABLES), _WORDS, max_size=3))
    environment["ENV"] = draw(_WORDS.filter(lambda name: name not in ("", "local", "example")))
    entry = "main:main" if program == "main" else f"{program}.__main__:main"
    return entry, [word.replace("{folder}", folder) for word in arguments], environment


# --- Large and deep inputs

MEGABYTE = 10**6


def large_inputs(valid: str, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield inputs of `size` bytes, and deep ones, each with the words for it."""

    def fill(part: bytes) -> bytes:
        return (part * (size // len(part) + 1))[:size]

    start = valid.encode()
    yield "one letter", fill(b"a")
    yield "NUL", bytes(size)
    yield "spaces", fill(b" ")
    yield "line ends", fill(b"\n")
    yield "a valid input, then a comment", start + b"\n#" + fill(b"x")
    yield "a valid input, then line ends", start + fill(b"\n")
    yield "a valid input again and again", fill(start)
    yield "one long string", b'{"a": "' + fill(b"a") + b'"}'
    yield "one long key", b'{"' + fill(b"a") + b'": 1}'
    yield "one long number", b'{"a": ' + fill(b"9") + b"}"
    yield "a list of numbers", b'{"a": [' + fill(b"1,")[:-1] + b"1]}"
    yield "many keys", b"{" + b"".join(b'"%d":1,' % n for n in range(size // 12)) + b'"a":1}'
    yield "many lines", b"".join(b"k%d: 1\n" % n for n in range(size // 12))
    yield "rows", b"start,seconds,CPU,memory,fleet\n" + fill(b"1764063000,60,1,1Gi,default\n")
    yield "one row", b"start,seconds,CPU,memory,fleet\n1764063000,60,1,1Gi,default," + fill(b",")
    yield "quotes", fill(b'"')
    yield "bytes of no encoding", fill(b"\xff\xfe\x80")
    yield "UTF-16", fill("a: b\n".encode("utf-16-le"))
    yield from deep_inputs(100_000)
    yield from bombs()


def deep_inputs(levels: int) -> Iterator[tuple[str, bytes]]:
    """Yield inputs with many levels."""
    yield "deep lists", b"[" * levels
    yield "deep lists, closed", b'{"a":' + b"[" * levels + b"]" * levels + b"}"
    yield "deep maps", b'{"a":' * levels + b"1" + b"}" * levels
    yield "deep blocks", b"- " * levels
    yield "deep indentation", b"".join(b" " * n + b"a:\n" for n in range(min(levels, 3000)))
    yield "deep in a plan", (
        b'{"format_version":"1.2","planned_values":{},"resource_changes":[{"address":"a.b","mode":"managed",'
        b'"type":"a","name":"b","change":{"actions":["create"],"before":null,"after":'
        + b'{"a":' * levels + b"1" + b"}" * levels + b',"after_unknown":{}}}]}'
    )  # fmt: skip
    yield "deep in a plan, 600", (
        b'{"format_version":"1.2","planned_values":{},"resource_changes":[{"address":"a.b","mode":"managed",'
        b'"type":"a","name":"b","change":{"actions":["create"],"before":null,"after":'
        + b'{"a":' * 600 + b"1" + b"}" * 600 + b',"after_unknown":{}}}]}'
    )  # fmt: skip
    yield "deep values", b"accepted:\n- address: " + b"[" * levels
    yield "deep accepted", b"accepted: " + b"[" * 400 + b"]" * 400


def bombs() -> Iterator[tuple[str, bytes]]:
    """Yield short inputs whose aliases expand to 9^20 values and more."""
    level = [b"%s: &%s [%s]\n" % (n, n, b",".join([b"*" + p] * 9)) for p, n in _pairs()]
    yield "aliases in lists", b"a0: &a0 [x, x]\n" + b"".join(level)
    level = [
        b"%s: &%s {%s}\n" % (n, n, b",".join(b"k%d: *%s" % (i, p) for i in range(9))) for p, n in _pairs()
    ]
    yield "aliases in maps", b"a0: &a0 {x: x}\n" + b"".join(level)
    level = [b"%s: &%s {<<: [%s]}\n" % (n, n, b",".join([b"*" + p] * 9)) for p, n in _pairs()]
    yield "merge keys", b"a0: &a0 {x: x}\n" + b"".join(level)
    level = [b"- &%s [%s]\n" % (n, b",".join([b"*" + p] * 9)) for p, n in _pairs()]
    yield "aliases in accepted findings", b"accepted:\n- &a0 [x, x]\n" + b"".join(level)
    yield "aliases in an address", (
        b"x: &a0 [x, x]\n" + b"".join(b"%s: &%s [%s]\n" % (n, n, b",".join([b"*" + p] * 9)) for p,
        n in _pairs())
        + b"accepted: *a20\n"
    )  # fmt: skip
    yield "a value that contains itself", b"accepted: &a [*a]\n"
    yield "a map that contains itself", b"accepted: &a {a: *a}\n"
    yield "entries that share a text", (
        b"accepted:\n- &e {address: " + b"a*" * 5000 + b"b, category: access, reason: x, until: 2027-01-01}\n"
        + b"- *e\n" * 5000
    )  # fmt: skip
    yield (
        "stars",
        b"accepted:\n- {address: '" + b"*a" * 200 + b"', category: access, reason: x, until: 2027-01-01}",
    )


def _pairs() -> list[tuple[bytes, bytes]]:
    return [(b"a%d" % n, b"a%d" % (n + 1)) for n in range(20)]
