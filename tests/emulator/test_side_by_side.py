"""Two environments in one account, one region and one state bucket, deployed at the same time."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from ruamel.yaml import YAML

from deployment import state_bucket
from local_aws import emulator
from stacks import STACKS
from stacks.backend import read_backend, state_key
from stacks.settings.load import load_settings
from tests.emulator.project import Project, copy_project, inherited_environment, terraform_environment
from tests.environments import write_document

NAMES = ("blue", "green")


def in_parallel(action: Callable[[Project], Any], environments: dict[str, Project]) -> None:
    """Do the same to all environments at once, each in processes of its own."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(action, environments.values()))


def deploy(environment: Project) -> None:
    """Deploy all stacks of an environment."""
    for stack in STACKS:
        environment.apply(stack)


def resources(environment: Project) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what an environment's states hold in AWS: the attributes by type and ID."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for stack in STACKS:
        key = state_key(environment.settings.environment, stack)
        state = environment.client("s3").get_object(Bucket=environment.state_bucket, Key=key)["Body"].read()
        for resource in json.loads(state)["resources"]:
            if resource["mode"] == "managed" and resource["type"].startswith("aws_"):
                for instance in resource["instances"]:
                    attributes = instance["attributes"]
                    found[resource["type"], attributes["id"]] = attributes
    return found


@pytest.fixture(scope="module")
def environments(
    tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]
) -> Iterator[dict[str, Project]]:
    """Two environments of one checkout, deployed at once; each has a synthesized folder of its own."""
    folder = tmp_path_factory.mktemp("project") / "project"
    copy_project(folder)
    backend = read_backend(folder / "backend.tf.json")
    local = YAML(typ="safe").load((folder / "environments" / "local.yaml").read_text())
    found = {}
    with ExitStack() as stack:
        local["aws"]["endpoint_url"] = stack.enter_context(emulator.running(folder / ".work"))
        for name in NAMES:
            file = folder / "environments" / f"{name}.yaml"
            parameter = f"/{name}/runners/default/token"
            document = local | {
                "cluster": local["cluster"] | {"name": name},
                "runners": {"default": {"token_parameter": parameter}},
            }
            write_document(document, file)
            settings = load_settings(file)
            record = folder / ".work" / f"{name}.json"
            output = f".work/{name}"
            terraform = stack.enter_context(terraform_environment(aws_reattach, record))
            found[name] = Project(
                folder=folder,
                settings=settings,
                state_bucket=backend.bucket,
                token=f"glrt-of-{name}",
                record=record,
                environment={
                    **inherited_environment(),
                    **terraform,
                    "CI": "1",
                    "CDKTF_OUTDIR": output,
                    "ENV": name,
                    "NO_COLOR": "1",
                },
            )
            found[name].synthesize()
            ssm = found[name].client("ssm")
            ssm.put_parameter(Name=parameter, Type="SecureString", Value=found[name].token)
        state_bucket.create_state_bucket(settings.aws, backend)
        in_parallel(deploy, found)
        yield found


def test_each_state_has_a_key_of_its_own(environments: dict[str, Project]) -> None:
    """The one bucket holds one state for each stack of each environment, and no lock is left."""
    blue = environments["blue"]
    listed = blue.client("s3").list_objects_v2(Bucket=blue.state_bucket)["Contents"]
    assert {item["Key"] for item in listed} == {
        f"{name}/{stack}.tfstate" for name in NAMES for stack in STACKS
    }


def test_no_resource_is_shared(environments: dict[str, Project]) -> None:
    """No state knows a resource of the other's, and no name in AWS is taken twice."""
    blue, green = (resources(environments[name]) for name in NAMES)
    assert {kind for kind, _ in blue} == {kind for kind, _ in green}
    assert {"aws_vpc", "aws_eks_cluster", "aws_iam_role", "aws_s3_bucket"} <= {kind for kind, _ in blue}
    assert not blue.keys() & green.keys()
    named_within = {"aws_iam_role_policy", "aws_default_security_group"}  # one role, one VPC
    for attribute in ("name", "bucket", "arn"):
        of_blue, of_green = (
            {(kind, values[attribute]) for (kind, _), values in found.items() if values.get(attribute)}
            for found in (blue, green)
        )
        assert not {(kind, name) for kind, name in of_blue & of_green if kind not in named_within}


def test_each_runner_has_its_own_token(environments: dict[str, Project]) -> None:
    """Each cluster gets the token of its own environment, and not the other's."""
    for name, other in (NAMES, reversed(NAMES)):
        cluster = environments[name].record.read_text()
        assert environments[name].token in cluster
        assert environments[other].token not in cluster


def test_each_second_plan_is_empty(environments: dict[str, Project]) -> None:
    """Neither environment has anything to change after both were deployed."""
    for environment in environments.values():
        for stack in STACKS:
            assert environment.planned_changes(stack) == {}, (environment.settings.environment, stack)


def test_destroying_one_leaves_the_other(environments: dict[str, Project]) -> None:
    """With one environment gone, the other has all of its resources and nothing to change."""
    green, blue = environments["green"], environments["blue"]
    before = resources(blue)
    for stack in reversed(STACKS):
        green.destroy(stack)
    assert resources(green) == {}
    assert blue.client("eks").list_clusters()["clusters"] == ["blue"]
    (vpc,) = blue.client("ec2").describe_vpcs(Filters=[{"Name": "tag:environment", "Values": [*NAMES]}])[
        "Vpcs"
    ]
    assert vpc["VpcId"] == blue.outputs("network")["vpc_id"]
    for stack in STACKS:
        assert blue.planned_changes(stack) == {}, stack
    assert resources(blue).keys() == before.keys()
