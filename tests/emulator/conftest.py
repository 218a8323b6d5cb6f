"""A copy of the project, deployed with real Terraform to an emulated AWS of its own."""

from collections.abc import Iterator
from typing import Any

import pytest

from local_aws import aws_provider
from stacks import STACKS
from tests.deployer_policy import find_missing
from tests.emulator.evidence import ALLOWED, search
from tests.emulator.project import Project, running_project


@pytest.fixture(scope="session")
def aws_reattach() -> Iterator[dict[str, Any]]:
    """The AWS provider for the Terraform commands of all tests, as TF_REATTACH_PROVIDERS names it."""
    with aws_provider.running(aws_provider.installed_provider(), aws_provider.stack_types()) as reattach:
        yield reattach


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """A copy of the project on an emulated AWS of its own."""
    with running_project(tmp_path_factory.mktemp("project") / "project", aws_reattach) as project:
        yield project


@pytest.fixture(scope="session")
def deployed_by_cdktf(project: Project) -> Project:
    """The project with all stacks deployed by `cdktf deploy '*'`."""
    done = project.cdktf("deploy", "*", "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """A project of its own with all stacks deployed by Terraform alone, which takes half as long.

    After all of its tests, the documented permissions have sufficed, and no command has written the token.
    """
    with running_project(tmp_path_factory.mktemp("deployed") / "project", aws_reattach) as project:
        project.synthesize()
        for stack in STACKS:
            project.apply(stack)
        yield project
        databases = "rds:"  # another team's, in test_consumer.py
        assert find_missing(item for item in project.actions if not item[0].startswith(databases)) == []
        assert {(find.kind, find.secret) for find in search(project).finds} == ALLOWED
