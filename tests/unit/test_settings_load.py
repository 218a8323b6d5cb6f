"""The file itself: what is refused before, or across, its settings; and how `main.py` says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stacks.backend import BackendError, read_backend
from stacks.settings.load import PROJECT, SettingsError, load_environment, load_settings
from tests.environments import Mistakes, WriteEnvironment

S3 = '"bucket": "b", "region": "eu-central-1", "encrypt": true, "use_lockfile": true'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", ": must be a YAML mapping with the keys aws, network, ", id="empty"),
        pytest.param("# nothing\n", ": must be a YAML mapping with the keys aws, ", id="comments only"),
        pytest.param("- aws\n", ": must be a YAML mapping with the keys aws, ", id="a list"),
        pytest.param("aws", ": must be a YAML mapping with the keys aws, ", id="a text"),
        pytest.param("aws: {region\n", ":2: not valid YAML: ", id="not closed"),
        pytest.param("aws:\n\tregion: x\n", ":2: not valid YAML: found character", id="a tab"),
        pytest.param("aws: {}\naws: {}\n", ':2: not valid YAML: found duplicate key "aws"', id="a key twice"),
        pytest.param(
            "aws: {}\n---\naws: {}\n", ":2: not valid YAML: found another document", id="two documents"
        ),
        pytest.param("aws: !!python/name:os\n", ":1: not valid YAML: could not determine", id="a Python tag"),
        pytest.param("aws: *x\n", ":1: not valid YAML: found undefined alias", id="unknown alias"),
        pytest.param("a: \0\n", ": not a YAML text file in UTF-8", id="binary"),
        pytest.param("aws: &a {b: *a}\n", ": holds a mapping or list inside itself", id="inside itself"),
        pytest.param(
            f"a: {'[' * 400}{']' * 400}\n", ": holds a mapping or list inside itself, or", id="deep"
        ),
        pytest.param(f"a: {'9' * 5000}\n", ": holds a number or date that", id="huge number"),
        pytest.param("a: 2020-13-45\n", ": holds a number or date that does not exist", id="no date"),
        pytest.param('aws: {"\\ud800": 1}\n', ": holds a text that is not Unicode", id="half a character"),
        pytest.param("environment: prod\n", ": environment: not a key: the file's name", id="its own name"),
    ],
)
def test_a_file_is_one_yaml_mapping(tmp_path: Path, text: str, message: str) -> None:
    """One line says what the file is instead, and where."""
    path = tmp_path / "example.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        load_settings(path)
    (line,) = refused.value.mistakes
    assert line.startswith(f"{path}{message}")


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """Windows editors write UTF-16."""
    path = tmp_path / "example.yaml"
    path.write_text("aws: {}\n", encoding="utf-16")
    with pytest.raises(SettingsError, match=r"example\.yaml: not a YAML text file in UTF-8$"):
        load_settings(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """Not a traceback of Python's."""
    with pytest.raises(SettingsError, match=r"none\.yaml: can't be read: No such file or directory$"):
        load_settings(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["nope", "../environments/local", "/etc/passwd", "Local"])
def test_an_unknown_environment_lists_those_there_are(name: str) -> None:
    """A path into another folder is none of them."""
    with pytest.raises(SettingsError) as refused:
        load_environment(name)
    assert str(refused.value) == f"environments/{name}.yaml: no such environment. Accepted: example, local"


@pytest.mark.parametrize(
    ("name", "environment"),
    [(None, "local"), ("", "local"), ("example", "example"), ("example.yaml", "example")],
)
def test_an_environment_is_named_by_its_file(name: str | None, environment: str) -> None:
    """With or without the ending; without any name it is the local one."""
    assert load_environment(name).environment == environment


@pytest.mark.parametrize("name", ["Prod", "a.b", "a_b", "1a", "a-", "a" * 21])
def test_a_files_name_is_a_name_for_aws(mistakes: Mistakes, name: str) -> None:
    """It begins the names of roles and buckets."""
    (line,) = mistakes({}, name=name)
    assert line.startswith(
        f'{name}.yaml: environment: "{name}": not of the accepted form. Accepted: The file'
    )


def test_a_name_of_20_characters_passes(write_environment: WriteEnvironment) -> None:
    """The longest name is accepted."""
    assert load_settings(write_environment({}, name="a" * 20)).environment == "a" * 20


def test_each_mistake_gets_one_line(mistakes: Mistakes) -> None:
    """Whoever fixes a file sees all that is wrong with it at once."""
    lines = mistakes(
        {
            "aws.region": "mars",
            "network.cidr": "10.0.0.0/8",
            "cluster.kubernetes_version": "1.20",
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
def test_a_missing_section_says_what_belongs_there(mistakes: Mistakes, section: str) -> None:
    """The message says what the section is made of."""
    (line,) = mistakes({section: None})
    assert line.startswith(f"example.yaml: {section}: missing. Accepted: ")


@pytest.mark.parametrize("section", ["aws", "network", "cluster", "autoscaler"])
def test_a_section_is_a_mapping(mistakes: Mistakes, section: str) -> None:
    """A list in its place is refused with the keys that belong there."""
    (line,) = mistakes({section: ["x"]})
    assert line.startswith(
        f'example.yaml: {section}: ["x"]: must be a mapping of keys to values. Accepted: a '
    )


@pytest.mark.parametrize(
    ("tags", "shown"),
    [
        pytest.param({1.10: "x"}, "aws.tags.1.1: 1.1: must be a text as a key", id="number as a key"),
        pytest.param({None: "x"}, "aws.tags.null: null: must be a text as a key", id="null as a key"),
        pytest.param({"k": b"x"}, "aws.tags.k: \"b'x'\": must be a text (in quotes), number", id="binary"),
        pytest.param({"k": float("inf")}, "aws.tags.k: Infinity: must be a text (in quotes)", id="infinity"),
    ],
)
def test_what_yaml_alone_knows_is_no_setting(
    mistakes: Mistakes, tags: dict[object, object], shown: str
) -> None:
    """A key 1.10 would silently become 1.1, and binary data the way that Python prints it."""
    (line,) = mistakes({"aws.tags": tags})
    assert line.startswith(f"example.yaml: {shown}")


def test_a_mistake_is_one_line_of_plain_signs(mistakes: Mistakes) -> None:
    """No key or value in the file breaks a line or commands a terminal."""
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
        pytest.param(
            f'{{"terraform": {{"backend": {{"s3": {{{S3.replace("true", "1")}}}}}}}}}', id="a number for true"
        ),
    ],
)
def test_a_backend_is_one_s3_bucket(tmp_path: Path, text: str) -> None:
    """Anything else is refused with what is accepted: the key of each state is not the file's."""
    path = tmp_path / "backend.tf.json"
    path.write_text(text)
    with pytest.raises(BackendError, match=r"^backend\.tf\.json: .*Accepted: "):
        read_backend(path)


def test_each_mistake_of_a_backend_is_named_and_no_credential_shown(tmp_path: Path) -> None:
    """A state that is not encrypted or not locked is refused as well."""
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


def test_a_missing_backend_file_says_so(tmp_path: Path) -> None:
    """Not a traceback of Python's."""
    with pytest.raises(BackendError, match=r"^backend\.tf\.json: .*No such file"):
        read_backend(tmp_path / "backend.tf.json")


def test_the_projects_backend_passes() -> None:
    """The file that everyone's state is found by is what this project reads."""
    assert read_backend(PROJECT / "backend.tf.json").use_lockfile is True


def test_a_broken_environment_synthesizes_nothing(tmp_path: Path) -> None:
    """`python main.py` ends with the message alone, not with success, and leaves no file."""
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
