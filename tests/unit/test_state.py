"""Backends, providers and outputs of the stacks, and the remote state that they read."""

import json
from dataclasses import fields
from typing import Any

import pytest

from stacks import STACKS
from stacks.cluster import ClusterOutputs
from stacks.network import NetworkOutputs
from stacks.settings.load import PROJECT
from stacks.workloads import WorkloadsOutputs
from tests.environments import Synthesized

OUTPUTS = {"network": NetworkOutputs, "cluster": ClusterOutputs, "workloads": WorkloadsOutputs}
READS = {"cluster": "network", "workloads": "cluster"}


def remote_state(stacks: Synthesized, reader: str) -> dict[str, Any]:
    """Return the configuration of the remote state that a stack reads."""
    ((name, state),) = stacks[reader]["data"]["terraform_remote_state"].items()
    assert name == READS[reader]
    assert state["backend"] == "s3"
    config: dict[str, Any] = state["config"]
    return config


@pytest.mark.parametrize("stack", STACKS)
def test_each_stack_has_a_state_of_its_own(stack: str, example: Synthesized) -> None:
    """The key is `<environment>/<stack>.tfstate`, and there is one backend."""
    backend = example[stack]["terraform"]["backend"]
    assert set(backend) == {"s3"}
    assert backend["s3"]["key"] == f"example/{stack}.tfstate"


@pytest.mark.parametrize("stack", STACKS)
def test_the_environments_name_keeps_states_apart(stack: str, local: Synthesized) -> None:
    """Another environment has other keys in the same bucket."""
    assert local[stack]["terraform"]["backend"]["s3"]["key"] == f"local/{stack}.tfstate"


@pytest.mark.parametrize("stack", STACKS)
def test_state_is_locked_and_encrypted(stack: str, example: Synthesized) -> None:
    """Terraform locks the state in S3, and S3 encrypts it."""
    backend = example[stack]["terraform"]["backend"]["s3"]
    assert backend["use_lockfile"] is True
    assert backend["encrypt"] is True
    assert "dynamodb_table" not in backend


@pytest.mark.parametrize("stack", STACKS)
def test_the_bucket_is_the_one_that_backend_tf_json_names(stack: str, example: Synthesized) -> None:
    """Apart from its key, a stack's backend has exactly the arguments of backend.tf.json."""
    arguments = dict(example[stack]["terraform"]["backend"]["s3"])
    del arguments["key"]
    document = json.loads((PROJECT / "backend.tf.json").read_text())
    assert arguments == document["terraform"]["backend"]["s3"]


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_publishes_its_outputs_and_nothing_else(stack: str, example: Synthesized) -> None:
    """The outputs are the fields of the stack's dataclass, each with its description."""
    published = {name: item["description"] for name, item in example[stack]["output"].items()}
    assert published == {item.name: item.metadata["description"] for item in fields(OUTPUTS[stack])}


@pytest.mark.parametrize("stack", STACKS)
def test_no_output_has_a_generated_name(stack: str, example: Synthesized) -> None:
    """Terraform's name of an output is the field's name, without a hash."""
    for outputs in example[stack]["//"]["outputs"].values():
        assert outputs == {name: name for name in example[stack]["output"]}


@pytest.mark.parametrize("reader", READS)
@pytest.mark.parametrize("environment", ["example", "local"])
def test_a_stack_reads_the_state_that_the_other_writes(
    reader: str, environment: str, request: pytest.FixtureRequest
) -> None:
    """The remote state of the reading stack has the arguments of the writing stack's backend."""
    stacks = request.getfixturevalue(environment)
    assert remote_state(stacks, reader) == stacks[READS[reader]]["terraform"]["backend"]["s3"]


@pytest.mark.parametrize("reader", READS)
def test_a_stack_reads_only_published_outputs(reader: str, example: Synthesized) -> None:
    """Every reference to another stack's state names one of that stack's outputs."""
    prefix = f"data.terraform_remote_state.{READS[reader]}.outputs."
    _, *rest = json.dumps(example[reader]).split(prefix)
    names = {text[: len(text) - len(text.lstrip("abcdefghijklmnopqrstuvwxyz_"))] for text in rest}
    assert names
    assert names <= {item.name for item in fields(OUTPUTS[READS[reader]])}


def test_the_network_reads_no_state(example: Synthesized) -> None:
    """The first stack depends on no other."""
    assert "terraform_remote_state" not in example["network"].get("data", {})


@pytest.mark.parametrize("stack", STACKS)
def test_a_real_environment_has_nothing_of_the_emulator(stack: str, example: Synthesized) -> None:
    """It has no endpoint, no placeholder credentials and no disabled check."""
    text = json.dumps(example[stack])
    assert not [word for word in ("endpoints", "access_key", "secret_key", '"skip_') if word in text]


@pytest.mark.parametrize("stack", STACKS)
def test_a_real_environment_names_its_account(stack: str, example: Synthesized) -> None:
    """Terraform refuses credentials of any account but that of the settings."""
    for provider in example[stack]["provider"]["aws"]:
        assert provider["allowed_account_ids"] == ["123456789012"]


@pytest.mark.parametrize("stack", STACKS)
def test_the_local_environment_reaches_this_machine_only(stack: str, local: Synthesized) -> None:
    """State and all services of the provider are on loopback, with placeholder credentials."""
    backend = local[stack]["terraform"]["backend"]["s3"]
    places = [(backend, backend["endpoints"])]
    for provider in local[stack]["provider"]["aws"]:
        (endpoints,) = provider["endpoints"]
        places.append((provider, endpoints))
    for arguments, endpoints in places:
        assert set(endpoints.values()) == {"http://127.0.0.1:4566"}
        assert arguments["access_key"] == arguments["secret_key"] == "local"


@pytest.mark.parametrize("stack", STACKS)
def test_everything_is_tagged_with_the_environment(stack: str, example: Synthesized) -> None:
    """Every AWS provider tags its resources with the environment's name and the tags of the settings."""
    for provider in example[stack]["provider"]["aws"]:
        assert provider["default_tags"] == [{"tags": {"environment": "example", "project": "cicd"}}]


@pytest.mark.parametrize("stack", STACKS)
def test_versions_of_providers_are_pinned(stack: str, example: Synthesized) -> None:
    """Every provider has one exact version, and Terraform is new enough for write-only arguments."""
    terraform = example[stack]["terraform"]
    assert set(terraform["required_providers"]) == set(example[stack]["provider"])
    for name, provider in terraform["required_providers"].items():
        assert provider["version"][0].isdigit()
        assert provider["source"] == f"registry.terraform.io/hashicorp/{name}"
    assert terraform["required_version"] == ">= 1.11.0"
