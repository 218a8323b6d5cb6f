"""Settings of the AWS account and region: refused values, and accepted values at the limits."""

import pytest

from stacks.settings.load import load_settings
from tests.environments import Mistakes, WriteEnvironment


@pytest.mark.parametrize("region", ["eu-central-1a", "EU-CENTRAL-1", "eu-central-1 ", "frankfurt"])
def test_a_malformed_region_is_refused(mistakes: Mistakes, region: str) -> None:
    """A zone, capitals, a trailing space and a city are refused."""
    (line,) = mistakes({"aws.region": region})
    assert line.startswith(f'example.yaml: aws.region: "{region}": not of the accepted form. Accepted: AWS')
    assert line.endswith("such as eu-central-1")


@pytest.mark.parametrize("region", ["us-gov-west-1", "eusc-de-east-1", "ap-southeast-5"])
def test_regions_of_every_partition_pass(write_environment: WriteEnvironment, region: str) -> None:
    """Government, sovereign and new regions are accepted."""
    zones = [f"{region}a", f"{region}b"]
    path = write_environment({"aws.region": region, "network.availability_zones": zones})
    assert load_settings(path).aws.region == region


def test_a_real_environment_needs_its_account(mistakes: Mistakes) -> None:
    """Without an endpoint_url, Terraform must know which account it may change."""
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
def test_an_account_is_a_string_of_twelve_digits(mistakes: Mistakes, account: object, shown: str) -> None:
    """Without quotes YAML would drop an account's leading zero."""
    (line,) = mistakes({"aws.account_id": account})
    assert line.startswith(f"example.yaml: aws.account_id: {shown}")
    assert "Accepted: The 12-digit account ID, in quotes" in line


def test_tags_leave_room_for_the_labels_and_taints_of_a_group(
    mistakes: Mistakes, write_environment: WriteEnvironment
) -> None:
    """An Auto Scaling group has 50 tags at most; 10 of them are EKS's and the project's."""
    labels = {"cluster.node_groups.main.labels": {f"label-{number}": "x" for number in range(11)}}
    tags = {f"tag-{number}": "x" for number in range(30)}
    (line,) = mistakes({"aws.tags": tags, **labels})
    assert line.startswith("example.yaml: aws.tags: 30: must leave 11 tags to the labels and taints of the")
    tags.popitem()
    assert load_settings(write_environment({"aws.tags": tags, **labels}))


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
def test_an_endpoint_beyond_this_machine_is_refused(mistakes: Mistakes, url: str) -> None:
    """An emulated AWS runs on this machine; its URL has no path and a valid port."""
    (line,) = mistakes({"aws.endpoint_url": url}, base="local")
    assert line.startswith(f'example.yaml: aws.endpoint_url: "{url}": not of the accepted form. Accepted: ')
    assert "such as http://127.0.0.1:4566" in line


@pytest.mark.parametrize("url", ["http://localhost:65535", "http://[::1]:1/", "http://127.0.0.1"])
def test_every_loopback_url_passes(write_environment: WriteEnvironment, url: str) -> None:
    """A name, IPv6 and a URL without a port are accepted, and make the environment a local one."""
    assert load_settings(write_environment({"aws.endpoint_url": url}, base="local")).aws.is_local


@pytest.mark.parametrize(
    ("tags", "shown"),
    [
        pytest.param({"aws:team": "x"}, 'aws:team: "x": must be a key that does not begin', id="aws:"),
        pytest.param(
            {"k8s.io/cluster-autoscaler/enabled": "false"},
            'k8s.io/cluster-autoscaler/enabled: "false": must be a key that does not begin',
            id="the autoscaler's",
        ),
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
def test_tags_that_a_service_refuses_are_refused(
    mistakes: Mistakes, tags: dict[str, object], shown: str
) -> None:
    """Tags that some AWS service refuses, or that the project sets itself."""
    (line,) = mistakes({"aws.tags": tags})
    assert line.startswith("example.yaml: aws.tags")
    assert shown in line


def test_the_largest_tags_pass(write_environment: WriteEnvironment) -> None:
    """40 tags, a key of 128 characters and a value of 256 are accepted."""
    tags = {"k" * 128: "v" * 256, **{f"Key {n} _.:/=+@-": "" for n in range(39)}}
    assert load_settings(write_environment({"aws.tags": tags})).aws.tags == tags


def test_an_integer_is_a_tag_value(write_environment: WriteEnvironment) -> None:
    """Users write `cost_center: 4711`; AWS gets the string."""
    settings = load_settings(write_environment({"aws.tags": {"cost_center": 4711}}))
    assert settings.aws.tags == {"cost_center": "4711"}
