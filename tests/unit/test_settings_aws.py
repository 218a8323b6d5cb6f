"""Where an environment lives: what is refused, and what just passes."""

import pytest

from stacks.settings.load import load_settings
from tests.environments import Mistakes, WriteEnvironment


@pytest.mark.parametrize("region", ["eu-central-1a", "EU-CENTRAL-1", "eu-central-1 ", "frankfurt"])
def test_a_region_has_a_regions_form(mistakes: Mistakes, region: str) -> None:
    """A zone, capitals, a stray space or a city is no region."""
    (line,) = mistakes({"aws.region": region})
    assert line.startswith(f'example.yaml: aws.region: "{region}": not of the accepted form. Accepted: AWS')
    assert line.endswith("such as eu-central-1")


@pytest.mark.parametrize("region", ["us-gov-west-1", "eusc-de-east-1", "ap-southeast-5"])
def test_regions_of_every_partition_pass(write_environment: WriteEnvironment, region: str) -> None:
    """Government, sovereign and new regions are regions."""
    zones = [f"{region}a", f"{region}b"]
    path = write_environment({"aws.region": region, "network.availability_zones": zones})
    assert load_settings(path).aws.region == region


def test_a_real_account_is_named(mistakes: Mistakes) -> None:
    """Without an endpoint_url the account is real, and Terraform must know which one it may touch."""
    (line,) = mistakes({"aws.account_id": None})
    assert line.startswith("example.yaml: aws.account_id: null: must be the 12-digit number")


@pytest.mark.parametrize(
    ("account", "shown"),
    [
        pytest.param("12345678901", '"12345678901": not of the accepted form', id="11 digits"),
        pytest.param("1234-5678-9012", '"1234-5678-9012": not of the accepted form', id="dashes"),
        pytest.param(123456789012, '123456789012: must be a string: write "123456789012"', id="no quotes"),
    ],
)
def test_an_account_is_twelve_digits_in_quotes(mistakes: Mistakes, account: object, shown: str) -> None:
    """Without quotes YAML would drop an account's leading zero."""
    (line,) = mistakes({"aws.account_id": account})
    assert line.startswith(f"example.yaml: aws.account_id: {shown}")
    assert "Accepted: The 12-digit account ID, in quotes" in line


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:4566",
        "http://10.0.0.1:4566",
        "http://localhost.example.com",
        "http://127.0.0.1:4566@example.com",
        "http://localhost:4566/path",
        "http://localhost:65536",
    ],
)
def test_an_emulator_listens_on_loopback(mistakes: Mistakes, url: str) -> None:
    """No URL of another machine passes for an emulated AWS of this one."""
    (line,) = mistakes({"aws.endpoint_url": url}, base="local")
    assert line.startswith(f'example.yaml: aws.endpoint_url: "{url}": not of the accepted form. Accepted: ')
    assert "such as http://127.0.0.1:4566" in line


@pytest.mark.parametrize("url", ["http://localhost:65535", "http://[::1]:1/", "http://127.0.0.1"])
def test_any_loopback_url_passes(write_environment: WriteEnvironment, url: str) -> None:
    """Name, IPv6 and a URL without a port are loopback too, and make the environment a local one."""
    assert load_settings(write_environment({"aws.endpoint_url": url}, base="local")).aws.is_local


@pytest.mark.parametrize(
    ("tags", "shown"),
    [
        pytest.param({"aws:team": "x"}, 'aws:team: "x": must be a key that does not begin', id="aws:"),
        pytest.param({"Environment": "x"}, 'Environment: "x": must differ from `environment` and', id="ours"),
        pytest.param(
            {"team": "x", "TEAM": "y"},
            "must differ from `environment` and the keys before it",
            id="same key for IAM",
        ),
        pytest.param({"k" * 129: "x"}, "longer than 128 characters", id="long key"),
        pytest.param({"k": "v" * 257}, "longer than 256 characters", id="long value"),
        pytest.param({"k": "a,b"}, 'k: "a,b": not of the accepted form', id="character"),
        pytest.param({"k": "${x}"}, 'k: "${x}": settings are not templates', id="template"),
        pytest.param({"": "x"}, '"": "": not of the accepted form', id="empty key"),
        pytest.param({"k": True}, 'k: true: must be a string: write "true"', id="boolean"),
        pytest.param({"k": 1.5}, 'k: 1.5: must be a string: write "1.5"', id="decimal"),
        pytest.param({f"k{n}": "" for n in range(41)}, "must have 40 or fewer", id="41 tags"),
    ],
)
def test_tags_are_what_every_service_takes(mistakes: Mistakes, tags: dict[str, object], shown: str) -> None:
    """A tag that some AWS service refuses, or that is set already, is refused."""
    (line,) = mistakes({"aws.tags": tags})
    assert line.startswith("example.yaml: aws.tags")
    assert shown in line


def test_the_biggest_tags_pass(write_environment: WriteEnvironment) -> None:
    """40 tags, a key of 128 and a value of 256 characters are the most, and accepted."""
    tags = {"k" * 128: "v" * 256, **{f"Key {n} _.:/=+@-": "" for n in range(39)}}
    assert load_settings(write_environment({"aws.tags": tags})).aws.tags == tags


def test_an_integer_is_a_tag_value(write_environment: WriteEnvironment) -> None:
    """Users write `cost_center: 4711`; AWS gets the string."""
    settings = load_settings(write_environment({"aws.tags": {"cost_center": 4711}}))
    assert settings.aws.tags == {"cost_center": "4711"}
