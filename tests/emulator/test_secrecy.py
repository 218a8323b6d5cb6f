"""The runner token is in SSM and in the cluster, and in no other place.

The other deployments are searched at their end (conftest.py). `make chaos` searches the artefacts of all
commands (tests/chaos/test_secrets.py).
"""

from stacks import STACKS
from tests.chaos.secret_places import Evidence, read_versions
from tests.chaos.secret_search import Searcher, Secret
from tests.emulator.evidence import ALLOWED, TOKEN, search
from tests.emulator.project import Project

PLANS = "plan files, their JSON and text"
STATES = "states, every version in S3"


def test_the_token_is_nowhere_but_in_ssm_and_the_cluster(deployed_by_cdktf: Project) -> None:
    """No state version, plan, synthesized file or log holds the token, in whatever encoding."""
    for stack in STACKS:
        plan = deployed_by_cdktf.terraform(
            stack, "plan", "-input=false", "-refresh=true", "-out=secrecy.tfplan"
        )
        assert plan.returncode == 0, plan.stderr
        deployed_by_cdktf.run(
            "terraform", "show", "-json", "secrecy.tfplan", folder=deployed_by_cdktf.stack_folder(stack)
        )
    evidence = search(deployed_by_cdktf)
    assert evidence.searched.keys() >= {PLANS, STATES, "output of commands"}
    assert {(find.kind, find.secret) for find in evidence.finds} == ALLOWED


def test_a_token_that_was_in_a_state_for_a_moment_is_found(deployed_by_cdktf: Project) -> None:
    """The search finds a token in a version of a state that was overwritten, and then deleted."""
    s3 = deployed_by_cdktf.client("s3")
    key = {"Bucket": deployed_by_cdktf.state_bucket, "Key": "local/planted.tfstate"}
    versions = [
        s3.put_object(**key, Body=text)["VersionId"] for text in (f'["{deployed_by_cdktf.token}"]', "[]")
    ]
    versions.append(s3.delete_object(**key)["VersionId"])
    try:
        contents = [
            item for item in read_versions(s3, deployed_by_cdktf.state_bucket) if "planted" in item[1]
        ]
    finally:
        for version in versions:
            s3.delete_object(**key, VersionId=version)
    evidence = Evidence(Searcher((Secret(TOKEN, deployed_by_cdktf.token),)))
    evidence.add_all(contents)
    assert evidence.kinds(TOKEN) == {STATES}
    assert evidence.searched == {STATES: 2}
