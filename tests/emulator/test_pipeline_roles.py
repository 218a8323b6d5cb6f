"""The roles of the pipeline: docs/pipeline.md's trust policies, evaluated by the emulator's IAM and STS.

The emulator believes every signature, so the tokens here are made up; which claims get a role is real.
"""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from local_aws import aws_provider, emulator
from stacks.versions import AWS_PROVIDER
from tests.emulator.project import inherited_environment
from tests.trust_policies import ACCOUNT, trust_policies

REGION = "eu-central-1"
PROJECT_PATH = "project_path:group/project"
BUCKET = "pipeline-terraform-state"


@pytest.fixture(scope="module")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An emulated AWS that evaluates policies, with GitLab as a provider of identities and both roles."""
    with emulator.running(tmp_path_factory.mktemp("aws"), auth=True) as url:
        # An access key that is an account's number is that account's root.
        root = {
            "endpoint_url": url,
            "region_name": REGION,
            "aws_access_key_id": ACCOUNT,
            "aws_secret_access_key": "any",
        }
        iam = boto3.client("iam", **root)
        iam.create_open_id_connect_provider(Url="https://gitlab.com", ClientIDList=["sts.amazonaws.com"])
        state = {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}*"}
        for name, trust in zip(("plan", "apply"), trust_policies(), strict=True):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
            policy = json.dumps({"Version": "2012-10-17", "Statement": [state]})
            iam.put_role_policy(RoleName=name, PolicyName="state", PolicyDocument=policy)
        location = {"LocationConstraint": REGION}
        boto3.client("s3", **root).create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        yield url


def token(subject: str, *, audience: str = "sts.amazonaws.com", issuer: str = "https://gitlab.com") -> str:
    """Return a JSON Web Token with the claims that the policies ask for, and no real signature."""
    parts = [{"alg": "RS256"}, {"iss": issuer, "aud": audience, "sub": subject}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def gets(endpoint_url: str, role: str, web_identity_token: str) -> bool:
    """Return whether STS gives the role for the token."""
    sts = boto3.client(
        "sts", endpoint_url=endpoint_url, region_name=REGION, config=Config(signature_version=UNSIGNED)
    )
    try:
        sts.assume_role_with_web_identity(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}",
            RoleSessionName="gitlab-1-2",
            WebIdentityToken=web_identity_token,
        )
    except sts.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


MAIN = f"{PROJECT_PATH}:ref_type:branch:ref:main"
TOPIC = f"{PROJECT_PATH}:ref_type:branch:ref:topic"


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        pytest.param(token(MAIN), ["plan", "apply"], id="default branch"),
        pytest.param(token(TOPIC), ["plan"], id="another branch"),
        pytest.param(
            token(f"{TOPIC}:ref_type:branch:ref:main"), ["plan"], id="a branch named like a subject"
        ),
        pytest.param(token(f"{PROJECT_PATH}:ref_type:tag:ref:main"), [], id="tag"),
        pytest.param(token("project_path:fork/project:ref_type:branch:ref:main"), [], id="fork"),
        pytest.param(token("project_path:group/project-2:ref_type:branch:ref:main"), [], id="a longer name"),
        pytest.param(token(MAIN, audience="https://gitlab.com"), [], id="made for another service"),
        pytest.param(token(MAIN, issuer="https://gitlab.example.com"), [], id="another GitLab"),
    ],
)
def test_a_token_gets_the_roles_of_its_branch(endpoint_url: str, claims: str, roles: list[str]) -> None:
    """The default branch may apply, the project's other branches may plan, everybody else gets nothing."""
    assert [role for role in ("plan", "apply") if gets(endpoint_url, role, claims)] == roles


@pytest.mark.parametrize(("branch", "works"), [(MAIN, True), (TOPIC, False)], ids=["main", "topic"])
def test_terraform_needs_no_more_than_the_token(
    endpoint_url: str, tmp_path: Path, branch: str, *, works: bool
) -> None:
    """With two variables and no key, the S3 backend and the AWS provider take the role, or are refused it."""
    identity = tmp_path / "token"
    identity.write_text(token(branch))
    folder = tmp_path / "stacks" / "network"
    folder.mkdir(parents=True)
    (folder / "main.tf.json").write_text(
        json.dumps(
            {
                "terraform": {
                    "required_providers": {"aws": {"source": "hashicorp/aws", "version": AWS_PROVIDER}},
                    "backend": {
                        "s3": {
                            "bucket": BUCKET,
                            "key": "prod/network.tfstate",
                            "region": REGION,
                            "use_lockfile": True,
                            "use_path_style": True,
                            "endpoints": {"s3": endpoint_url, "sts": endpoint_url},
                        }
                    },
                },
                "provider": {
                    "aws": {
                        "region": REGION,
                        "allowed_account_ids": [ACCOUNT],
                        "endpoints": [{"sts": endpoint_url}],
                    }
                },
                "data": {"aws_caller_identity": {"job": {}}},
                "output": {"arn": {"value": "${data.aws_caller_identity.job.arn}"}},
            }
        )
    )
    role = {
        "AWS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/apply",
        "AWS_ROLE_SESSION_NAME": "gitlab-1-2",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(identity),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with aws_provider.running(aws_provider.installed_provider(), {"aws_caller_identity"}, role) as reattach:
        environment = {**inherited_environment(), **role, "TF_REATTACH_PROVIDERS": json.dumps(reattach)}

        def terraform(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["terraform", *arguments],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )

        init = terraform("init", "-input=false", "-no-color")
        if not works:
            assert init.returncode == 1
            assert "Not authorized to perform sts:AssumeRoleWithWebIdentity" in init.stderr
            return
        assert init.returncode == 0, init.stderr
        apply = terraform("apply", "-input=false", "-no-color", "-auto-approve")
        assert apply.returncode == 0, apply.stderr
        arn = terraform("output", "-raw", "arn").stdout
    assert arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/apply/gitlab-1-2"
