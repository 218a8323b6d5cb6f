"""`python -m deployment orphans` where every object is in a state. tests/chaos has those in none."""

import json

from deployment.orphans import find_objects, read_id
from stacks import STACKS
from stacks.backend import state_key
from tests.emulator.project import Project

WITHOUT_TAGS = {"aws_kms_alias", "aws_route", "aws_route_table_association"}


def test_the_objects_of_an_environment_are_those_in_its_states(deployed: Project) -> None:
    """Each resource that AWS makes only once is found there, under the type and the ID of its state."""
    s3, expected, all_ = deployed.client("s3"), set(), set()
    for stack in STACKS:
        body = s3.get_object(Bucket=deployed.state_bucket, Key=state_key("local", stack))["Body"]
        managed = (item for item in json.loads(body.read())["resources"] if item["mode"] == "managed")
        for item in managed:
            for attributes in (instance["attributes"] for instance in item["instances"]):
                resource = item["type"], read_id(item["type"], attributes)
                all_.add(resource)
                tags = attributes.get("tags_all") or {}
                if tags.get("environment") == "local" or item["type"] in WITHOUT_TAGS:
                    expected.add(resource)
    found = {(item.type, item.id) for item in find_objects(deployed.settings)}
    # The default group of a VPC goes with it.
    assert {item for item in expected - found if item[0] != "aws_default_security_group"} == set()
    assert found <= all_
    assert len({type_ for type_, _ in found}) >= 15


def test_an_environment_without_orphans_is_told_so(deployed: Project) -> None:
    """The command lists nothing, and deletes nothing."""
    done = deployed.deployment("orphans")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Every AWS object with the tag environment=local is in a state\n"
