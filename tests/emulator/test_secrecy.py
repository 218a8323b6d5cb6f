"""The runner token is in SSM and in the cluster, and in no other place."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.emulator.project import Project
from tests.environments import STACKS


def test_the_token_is_nowhere_but_in_ssm_and_the_cluster(deployed: Project) -> None:
    """No state version, plan, synthesized file or log holds the token as plaintext."""
    for stack in STACKS:
        plan = deployed.terraform(stack, "plan", "-input=false", "-refresh=true", "-out=secrecy.tfplan")
        assert plan.returncode == 0, plan.stderr
        deployed.run("terraform", "show", "-json", "secrecy.tfplan", folder=deployed.stack_folder(stack))
    searched = {name: deployed.token.encode() in content for name, content in everything(deployed)}
    assert any(name.endswith("secrecy.tfplan!tfstate") for name in searched)
    assert any(name.startswith("s3:") for name in searched)
    assert "commands.log" in searched
    assert [name for name, found in searched.items() if found] == []


def everything(project: Project) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every state version and of every file that a run left, unpacked."""
    s3 = project.client("s3")
    versions = s3.list_object_versions(Bucket=project.state_bucket)["Versions"]
    for item in versions:
        found = s3.get_object(Bucket=project.state_bucket, Key=item["Key"], VersionId=item["VersionId"])
        yield f"s3:{item['Key']}@{item['VersionId']}", found["Body"].read()
    for folder in (project.folder / "cdktf.out", project.folder / ".work"):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_relative_to(kept_outside(project)) and not provider(path):
                yield from unpacked(path)
    yield "commands.log", (project.folder / "commands.log").read_bytes()


def unpacked(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield a file's content, and that of each member if it is an archive, as a plan file is."""
    yield str(path), path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                yield f"{path}!{member}", archive.read(member)


def kept_outside(project: Project) -> Path:
    """The record stands for the cluster itself, where the token belongs."""
    return project.record


def provider(path: Path) -> bool:
    """Return whether this is a provider's own program."""
    return "providers" in path.parts or "plugins" in path.parts
