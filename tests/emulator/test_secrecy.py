"""The runner token is in SSM and in the cluster, and in no other place.

A small sample: `make chaos` searches the artefacts of all commands (tests/chaos/test_secrets.py).
"""

from stacks import STACKS
from tests.chaos.secret_places import Evidence, Kinds, read_files, read_versions
from tests.chaos.secret_search import Searcher, Secret
from tests.emulator.project import Project

TOKEN = "runner token"
PLANS = "plan files, their JSON and text"
STATES = "states, every version in S3"


def search(project: Project) -> Evidence:
    """Search every version of a state, and every file that commands have written."""
    # Only the beginning of a token for the Kubernetes API is known: the rest is a signature.
    cluster_token = Secret("token for the Kubernetes API", "k8s-aws-v1.aHR0c", halves=False)
    evidence = Evidence(Searcher((Secret(TOKEN, project.token), cluster_token)))
    evidence.add_all(read_versions(project.client("s3"), project.state_bucket))
    kinds = Kinds(project.folder, project.folder / ".work" / "temporary")
    for name in (".work", "cdktf.out", "plans"):
        evidence.add_all(read_files(project.folder / name, kinds))
    evidence.add("output of commands", "commands.log", (project.folder / "commands.log").read_bytes())
    return evidence


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
    # The record stands for the cluster itself, where the token belongs.
    assert {(find.kind, find.secret) for find in evidence.finds} == {("record of the stand-ins", TOKEN)}


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
