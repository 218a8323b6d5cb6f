"""Reading an environment's file, its mistakes, and how `main.py` reports them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plan_review import yaml_text
from stacks.backend import BackendError, read_backend
from stacks.settings import load
from stacks.settings.limited_yaml import MAX_BYTES
from stacks.settings.load import PROJECT, SettingsError, load_environment, load_settings
from tests.environments import Mistakes, WriteEnvironment

S3 = '"bucket": "b", "region": "eu-central-1", "encrypt": true, "use_lockfile": true'


def read(path: Path) -> list[str]:
    """Return the lines that refuse a file, without the path of its folder."""
    with pytest.raises(SettingsError) as refused:
        load_settings(path)
    return [line.removeprefix(f"{path.parent}/") for line in refused.value.mistakes]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("# nothing\n", " must be a YAML map with the keys aws, network, ", id="empty"),
        pytest.param("- aws\n", " must be a YAML map with the keys aws, ", id="a list"),
        pytest.param("aws: {region\n", "2: not valid YAML: ", id="not closed"),
        pytest.param("aws:\n\tregion: x\n", "2: not valid YAML: a tab; indent with spaces", id="tab"),
        pytest.param(
            "aws:\n  region: x\n tags: {}\n", "3: not valid YAML: wrong indentation", id="indented too little"
        ),
        pytest.param(
            "aws:\n  region: x\n   tags: {}\n", "3: not valid YAML: wrong indentation", id="indented too far"
        ),
        pytest.param("aws: {}\naws: {}\n", "2: aws: the same key is in the map twice", id="a key twice"),
        pytest.param("aws: {}\n---\naws: {}\n", "2: not valid YAML: a second document", id="two documents"),
        pytest.param("aws: *x\n", "1: not valid YAML: found undefined alias", id="unknown alias"),
        pytest.param("environment: prod\n", "1: environment: not a key: the file's name", id="its own name"),
    ],
)
def test_a_file_is_one_yaml_map(tmp_path: Path, text: str, message: str) -> None:
    """One line says what is wrong with the file, and where."""
    path = tmp_path / "example.yaml"
    path.write_text(text, encoding="utf-8")
    (line,) = read(path)
    assert line.startswith(f"example.yaml:{message}")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("aws: {}\n".encode("utf-16"), id="UTF-16"),
        pytest.param(b"aws: \0\n", id="binary"),
        pytest.param(b"aws: &a {b: *a}\n", id="contains itself"),
        pytest.param(b"aws: " + b"[" * 10_000, id="nested 10,000 levels"),
        pytest.param(b"aws: " + b"9" * 5000, id="5,000 digits"),
        pytest.param(b"aws: " + b"9" * 400 + b".0", id="infinite"),
        pytest.param(b'aws: "\\ud800"\n', id="not Unicode"),
        pytest.param(
            b"a: &a [x, x]\n"
            + b"".join(b"%c: &%c [%s]\n" % (n + 1, n + 1, b"*%c," % n * 9) for n in range(97, 120)),
            id="aliases that expand to 9^23 values",
        ),
    ],
)
def test_a_hostile_file_is_refused_at_once(tmp_path: Path, data: bytes) -> None:
    """No file causes a traceback or fills the memory."""
    path = tmp_path / "example.yaml"
    path.write_bytes(data)
    start = time.process_time()
    (line,) = read(path)
    assert line.startswith(("example.yaml: can't be used: ", "example.yaml:1: not valid YAML: nested more"))
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"#{'x' * MAX_BYTES}\n", id="more than 1 MB"),
        pytest.param(f"aws: [{'1,' * 100}]\n", id="more values than the limit"),
        pytest.param("aws: &a [1, 1, 1]\nb: [" + "*a," * 20 + "]\n", id="more values by aliases"),
    ],
)
def test_a_file_larger_than_an_environment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The message has the limits. A lower limit than the real one needs less text."""
    for module in (load, yaml_text):
        monkeypatch.setattr(module, "MAX_NODES", 50)
    path = tmp_path / "example.yaml"
    path.write_text(text)
    (line,) = read(path)
    assert line.startswith(
        "example.yaml: can't be used: larger than an environment is. Accepted: up to 1000 kB"
    )


def test_a_message_stays_readable(mistakes: Mistakes) -> None:
    """Long keys and values are shortened, and of very many mistakes the first 50 are shown."""
    (line,) = mistakes({"network.availability_zones": ["a" * 9000]})
    assert len(line) < 2000
    lines = mistakes({"aws": {f"{number}{'k' * 900}": 1 for number in range(70)}})
    assert len(lines) == 51
    assert all(len(line) < 500 for line in lines)
    assert lines[-1] == "example.yaml: and more"


def test_aliases_in_a_key_are_not_expanded(tmp_path: Path) -> None:
    """A list as a key is refused, however many values its aliases stand for."""
    lists = [b"? &%c [%s]\n: 1\n" % (n + 1, b"*%c," % n * 9) for n in range(97, 120)]
    path = tmp_path / "example.yaml"
    path.write_bytes(b"? &a [x, x]\n: 1\n" + b"".join(lists))
    assert len(read(path)) == 24


def test_aliases_and_merge_keys_pass(tmp_path: Path) -> None:
    """Users write repeated sections once."""
    text = (PROJECT / "environments" / "example.yaml").read_text()
    text = text.replace("    big:\n", "    big: &big\n").replace(
        "\nrunners:\n", "    bigger:\n      <<: *big\n      max_size: 9\n\nrunners:\n"
    )
    path = tmp_path / "example.yaml"
    path.write_text(text)
    group = load_settings(path).cluster.node_groups["bigger"]
    assert (group.instance_types, group.max_size) == (("m5.8xlarge",), 9)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message has the reason of the operating system."""
    assert read(tmp_path / "none.yaml") == ["none.yaml: can't be read: No such file or directory"]


SMALL = """\
aws:
  region: eu-central-1
  account_id: "123456789012"
  tags:
    project: cicd
network:
  availability_zones: [eu-central-1a, eu-central-1b]
cluster:
  node_groups:
    main:
      instance_types: [m5.large]
      min_size: 1
      max_size: 4
runners:
  default:
    token_parameter: /token
    concurrent: 10
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("max_size: 4", "max_size: 0", "13: cluster.node_groups.main.max_size: 0: ", id="value"),
        pytest.param("m5.large", "m5", '11: cluster.node_groups.main.instance_types.0: "m5"', id="in a list"),
        pytest.param("main:", "Main:", '10: cluster.node_groups.Main: "Main": not of', id="name"),
        pytest.param("concurrent", "concurent", "17: runners.default.concurent: unknown key", id="key"),
        pytest.param(
            "      max_size: 4\n", "", "10: cluster.node_groups.main.max_size: missing", id="missing"
        ),
        pytest.param("size: 1", "size: 5", "13: cluster.node_groups.main.max_size: 4", id="two fields"),
        pytest.param(
            '"123456789012"', "012345678901", '3: aws.account_id: 012345678901: write "0123', id="leading 0"
        ),
        pytest.param("10", ".inf", "17: runners.default.concurrent: .inf: write ", id="infinity"),
        pytest.param(
            "project", "1.10", '5: aws.tags.1.10: a key must be a string: write "1.10"', id="no string"
        ),
        pytest.param("cicd", "!!binary aGk=", "5: aws.tags.project: must be a string (in quotes)", id="tag"),
        pytest.param("cicd", "2020-13-45", "5: aws.tags.project: must be a string (in quotes)", id="date"),
    ],
)
def test_a_message_has_the_line_of_the_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Editors jump to `file:line`; a scalar is shown as the file has it."""
    path = tmp_path / "example.yaml"
    path.write_text(SMALL.replace(old, new, 1))
    (line,) = read(path)
    assert line.startswith(f"example.yaml:{message}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("eu-central-1\n", "${REGION}\n"),
        ("eu-central-1\n", "{{ region }}\n"),
        ("eu-central-1\n", "{{ region }}-1\n"),
        ("eu-central-1\n", "{% if x %}\n"),
        ("eu-central-1\n", '"{{ region }}"\n'),
        ("concurrent: 10", "concurrent: ${JOBS}"),
        ("m5.large", '"${TYPE}"'),
    ],
)
def test_settings_are_no_templates(tmp_path: Path, old: str, new: str) -> None:
    """The message says that shell, Jinja and Helm templates are not replaced."""
    path = tmp_path / "example.yaml"
    path.write_text(SMALL.replace(old, new, 1))
    (line,) = read(path)
    assert "settings are not templates: write the value itself" in line


@pytest.mark.parametrize("name", ["nope", "../environments/local", "/etc/passwd", "Local"])
def test_an_unknown_environment_lists_the_known_ones(name: str) -> None:
    """A path into another folder is not the name of an environment."""
    with pytest.raises(SettingsError) as refused:
        load_environment(name)
    path = Path(f"environments/{name}.yaml")
    assert str(refused.value) == f"{path}: no such environment. Accepted: example, local"


@pytest.mark.parametrize(
    ("name", "environment"),
    [(None, "local"), ("", "local"), ("example", "example"), ("example.yaml", "example")],
)
def test_an_environment_is_named_by_its_file(name: str | None, environment: str) -> None:
    """The name may have its ending; without a name the local environment is read."""
    assert load_environment(name).environment == environment


@pytest.mark.parametrize("name", ["Prod", "a.b", "a_b", "1a", "a-", "a" * 21])
def test_a_malformed_environment_name_is_refused(mistakes: Mistakes, name: str) -> None:
    """Names of roles and buckets begin with it."""
    (line,) = mistakes({}, name=name)
    assert line.startswith(
        f'{name}.yaml: environment: "{name}": not of the accepted form. Accepted: The file'
    )


def test_a_name_of_20_characters_passes(write_environment: WriteEnvironment) -> None:
    """The longest name is accepted."""
    assert load_settings(write_environment({}, name="a" * 20)).environment == "a" * 20


def test_each_mistake_gets_one_line(mistakes: Mistakes) -> None:
    """A user sees the mistakes of all fields at once."""
    lines = mistakes(
        {
            "aws.region": "mars",
            "network.cidr": "10.0.0.0/8",
            "cluster.kubernetes_version": "1.35.1",
            "cluster.node_groups.big.max_size": 0,
            "autoscaler.scale_down_unneeded_time": "soon",
            "runners.default.build.memory_request": "4GB",
            "runners.default.concurrency": 10,
            "nework": {},
        }
    )
    assert [line.split(": ")[1] for line in lines] == [
        "aws.region",
        "network.cidr",
        "cluster.kubernetes_version",
        "cluster.node_groups.big.max_size",
        "autoscaler.scale_down_unneeded_time",
        "runners.default.build.memory_request",
        "runners.default.concurrency",
        "nework",
    ]
    assert lines[-1].startswith(
        "example.yaml: nework: unknown key. Did you mean network? Accepted here: aws, "
    )


@pytest.mark.parametrize("section", ["aws", "network", "cluster", "runners"])
def test_a_missing_section_is_named_with_its_keys(mistakes: Mistakes, section: str) -> None:
    """The message lists the keys of the section."""
    (line,) = mistakes({section: None})
    assert line.startswith(f"example.yaml: {section}: missing. Accepted: ")


@pytest.mark.parametrize("section", ["aws", "network", "cluster", "autoscaler"])
def test_a_section_is_a_map(mistakes: Mistakes, section: str) -> None:
    """A list in its place is refused with the keys of the section."""
    (line,) = mistakes({section: ["x"]})
    assert line.startswith(f'example.yaml: {section}: ["x"]: must be a map. Accepted: a map with the keys ')


def test_a_message_is_one_line_without_control_characters(mistakes: Mistakes) -> None:
    """A terminal executes control characters."""
    (line,) = mistakes({"aws.tags": {"a\n\x1b[31m": "x"}})
    assert line.startswith("example.yaml: aws.tags.a\\u000a\\u001b[31m: ")
    assert line.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param("{", id="not JSON"),
        pytest.param('{"terraform": {}}', id="no backend"),
        pytest.param(f'{{"terraform": {{"backend": {{"gcs": {{{S3}}}}}}}}}', id="another backend"),
        pytest.param(f'{{"terraform": {{"backend": {{"s3": [{{{S3}}}]}}}}}}', id="in a list"),
        pytest.param(f'{{"terraform": {{"backend": {{"s3": {{{S3}, "key": "x"}}}}}}}}', id="a key"),
        pytest.param('{"terraform": {"backend": {"s3": {"bucket": "b"}}}}', id="too few"),
        pytest.param(f'{{"terraform": {{"backend": {{"s3": {{"bucket": "a", {S3}}}}}}}}}', id="a key twice"),
        pytest.param(f'{{"terraform": {"9" * 5000}}}', id="a number of 5,000 digits"),
        pytest.param("[" * 100_000, id="nested 100,000 levels"),
        pytest.param(f'"{"x" * MAX_BYTES}"', id="more than 1 MB"),
        pytest.param(
            f'{{"terraform": {{"backend": {{"s3": {{{S3.replace("true", "1")}}}}}}}}}', id="a number for true"
        ),
    ],
)
def test_a_backend_other_than_one_s3_bucket_is_refused(tmp_path: Path, text: str) -> None:
    """The message lists what is accepted; the file has no key, because each state has its own."""
    path = tmp_path / "backend.tf.json"
    path.write_text(text)
    with pytest.raises(BackendError, match=r"^backend\.tf\.json: .*Accepted: "):
        read_backend(path)


def test_a_message_about_the_backend_shows_no_credential(tmp_path: Path) -> None:
    """Each mistake is named, also a state without encryption."""
    arguments = {
        "bucket": "A",
        "region": "mars",
        "encrypt": False,
        "use_lockfile": True,
        "secret_key": "hush",
    }
    path = tmp_path / "backend.tf.json"
    path.write_text(json.dumps({"terraform": {"backend": {"s3": arguments}}}))
    with pytest.raises(BackendError) as refused:
        read_backend(path)
    where = [line.split(": ")[1] for line in str(refused.value).splitlines()]
    assert where == [f"terraform.backend.s3.{key}" for key in ("bucket", "region", "encrypt", "secret_key")]
    assert "hush" not in str(refused.value)


def test_a_message_about_the_backend_is_short_and_printable(tmp_path: Path) -> None:
    """A terminal executes control characters."""
    arguments = {"bucket": "b" * 5000, "a\x1b[31m" + "k" * 5000: 1}
    path = tmp_path / "backend.tf.json"
    path.write_text(json.dumps({"terraform": {"backend": {"s3": arguments}}}))
    with pytest.raises(BackendError) as refused:
        read_backend(path)
    lines = str(refused.value).splitlines()
    assert all(line.isprintable() and len(line) < 300 for line in lines)
    assert any("a\\u001b[31mk" in line for line in lines)


def test_a_missing_backend_file_is_named(tmp_path: Path) -> None:
    """The message has the reason of the operating system."""
    with pytest.raises(BackendError, match=r"^backend\.tf\.json: .*No such file"):
        read_backend(tmp_path / "backend.tf.json")


def test_the_projects_backend_passes() -> None:
    """backend.tf.json of this project is valid."""
    assert read_backend(PROJECT / "backend.tf.json").use_lockfile is True


def test_a_broken_environment_synthesizes_nothing(tmp_path: Path) -> None:
    """`python main.py` prints only the message, ends with status 1, and writes no file."""
    outdir = tmp_path / "cdktf.out"
    run = subprocess.run(
        [sys.executable, "main.py"],
        cwd=PROJECT,
        env={**os.environ, "ENV": "nope", "CDKTF_OUTDIR": str(outdir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "environments/nope.yaml: no such environment. Accepted: example, local\n" in run.stderr
    assert "Traceback" not in run.stderr + run.stdout
    assert not outdir.exists()
