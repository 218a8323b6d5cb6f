"""A copy of the project, deployed with cdktf and real Terraform to an emulated AWS of its own."""

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from deployment import state_bucket
from local_aws import aws_provider, emulator
from stacks.backend import read_backend
from stacks.settings.load import load_settings
from tests.emulator.project import Project, copy_project, inherited_environment, terraform_environment


@pytest.fixture(scope="session")
def aws_reattach() -> Iterator[dict[str, Any]]:
    """The AWS provider for the Terraform commands of all tests, as TF_REATTACH_PROVIDERS names it."""
    with aws_provider.running(aws_provider.installed_provider(), aws_provider.stack_types()) as reattach:
        yield reattach


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, aws_reattach: dict[str, Any]) -> Iterator[Project]:
    """A copy of the project on an emulated AWS of its own, with a state bucket and a token."""
    folder = tmp_path_factory.mktemp("project") / "project"
    copy_project(folder)
    with contextlib.ExitStack() as stack:
        endpoint_url = stack.enter_context(emulator.running(folder / ".work"))
        local = folder / "environments" / "local.yaml"
        local.write_text(local.read_text().replace("http://127.0.0.1:4566", endpoint_url))
        settings = load_settings(local)
        backend = read_backend(folder / "backend.tf.json")
        state_bucket.create_state_bucket(settings.aws, backend)
        record = folder / ".work" / "rehearsal.json"
        terraform = stack.enter_context(terraform_environment(aws_reattach, record))
        yield Project(
            folder=folder,
            settings=settings,
            state_bucket=backend.bucket,
            token=f"glrt-{secrets.token_urlsafe(15)}",
            record=record,
            environment={**inherited_environment(), **terraform, "CI": "1", "ENV": "local", "NO_COLOR": "1"},
        )


@pytest.fixture(scope="session")
def deployed(project: Project) -> Project:
    """The project with all stacks deployed by `cdktf deploy '*'`, and a known token in SSM."""
    ssm = project.client("ssm")
    for fleet in project.settings.runners.values():
        ssm.put_parameter(Name=fleet.token_parameter, Type="SecureString", Value=project.token)
    done = project.cdktf("deploy", "*", "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    return project
