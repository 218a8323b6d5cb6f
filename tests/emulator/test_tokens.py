"""The check for missing runner tokens, on an emulated SSM."""

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from deployment import tokens
from deployment.aws import create_client
from local_aws import emulator
from stacks.settings import Settings
from stacks.settings.load import load_environment, load_settings
from tests.environments import WriteEnvironment

FLEETS = 12  # more than one request of SSM can name


@pytest.fixture(scope="module")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an emulated AWS for this module alone."""
    with emulator.running(tmp_path_factory.mktemp("emulator")) as url:
        yield url


@pytest.fixture
def settings(endpoint_url: str, write_environment: WriteEnvironment) -> Settings:
    """An environment with many fleets on the emulated AWS."""
    fleets = {f"fleet-{number}": {"token_parameter": f"/token/{number}"} for number in range(FLEETS)}
    changes = {"aws.endpoint_url": endpoint_url, "runners": fleets}
    return load_settings(write_environment(changes, base="local"))


def test_all_missing_tokens_are_named_at_once(settings: Settings) -> None:
    """One message has each fleet without a token and each token that is not a SecureString."""
    ssm = create_client("ssm", settings.aws, region=settings.aws.region)
    ssm.put_parameter(Name="/token/0", Type="SecureString", Value="x")
    ssm.put_parameter(Name="/token/1", Type="String", Value="not-for-the-screen")
    with pytest.raises(tokens.TokenError) as refused:
        tokens.refuse_missing_tokens(settings)
    lines = str(refused.value).splitlines()
    assert not [line for line in lines if "/token/0:" in line]
    assert "runners.fleet-1.token_parameter: /token/1: is of the type String. Accepted: SecureString" in lines
    assert len([line for line in lines if "there is no such parameter" in line]) == FLEETS - 2
    assert "not-for-the-screen" not in str(refused.value)


class Ssm:
    """An SSM that answers with an error."""

    def __init__(self, code: str) -> None:
        """Keep the code of the error."""
        self.code = code

    def get_parameters(self, **_: object) -> None:
        """Refuse."""
        raise ClientError({"Error": {"Code": self.code}}, "GetParameters")


def test_no_request_names_more_parameters_than_ssm_accepts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GetParameters accepts ten names; the emulator accepts more."""
    requests: list[int] = []

    class Counting:
        def get_parameters(self, Names: list[str]) -> dict[str, list[object]]:  # noqa: N803 - boto3's name
            requests.append(len(Names))
            return {"Parameters": []}

    monkeypatch.setattr(tokens, "create_client", lambda *_, **__: Counting())
    with pytest.raises(tokens.TokenError):
        tokens.refuse_missing_tokens(settings)
    assert requests == [10, 2]


def test_without_the_permission_terraform_decides(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role without ssm:GetParameters can plan; every other error of SSM is an error."""
    monkeypatch.setattr(tokens, "create_client", lambda *_, **__: Ssm("AccessDeniedException"))
    tokens.refuse_missing_tokens(settings)
    monkeypatch.setattr(tokens, "create_client", lambda *_, **__: Ssm("ThrottlingException"))
    with pytest.raises(ClientError):
        tokens.refuse_missing_tokens(settings)


def test_the_message_has_the_commands_that_store_a_token() -> None:
    """The token comes from a file: a command line is visible to others."""
    settings = load_environment("example")
    lines = list(tokens.describe_mistakes(settings, {}))
    assert "read -rs token" in "\n".join(lines)
    assert '--name /cicd/runners/default/token --value "file://$file"' in "\n".join(lines)
