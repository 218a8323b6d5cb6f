"""The prices: where they come from, what is said of an unknown one, and how AWS's price list updates them."""

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from deployment import plan
from plan_review.review import PlannedStack
from prices import aws
from prices.__main__ import main
from prices.aws import read_spot, update
from prices.table import (
    TABLE,
    Price,
    PriceError,
    PriceTable,
    Row,
    Source,
    known_prices,
    read_table,
    write_table,
)
from stacks.settings.load import load_settings
from tests import plan_documents
from tests.environments import WriteEnvironment

TODAY = dt.date(2026, 11, 26)
CHANGES = [PlannedStack("network", plan_documents.plan(plan_documents.resource("aws_vpc", None, {})))]
OLD = PriceTable(
    [
        Row("eu-central-1", "m5.2xlarge", Decimal("9.99"), "hour", "old"),
        Row("eu-central-1", "m5.8xlarge", Decimal("8.88"), "hour", "old"),
        Row("us-east-1", "m5.2xlarge", Decimal("0.384"), "hour", "old"),
    ],
    {"old": Source("2020-01-01", "a list")},
)


def test_every_price_has_a_date_and_a_source() -> None:
    """Nothing is in the table without a day and the words that say where it comes from."""
    table = known_prices()
    for row in table.rows.values():
        source = table.sources[row.source]
        assert dt.date.fromisoformat(source.date)
        assert "AWS" in source.text or "price list" in source.text
        assert row.usd > 0


def test_sizes_of_a_family_cost_in_proportion() -> None:
    """EC2 sells a family by its size, so a typing error in a row is found."""
    sizes = {"medium": 0.25, "large": 0.5, "xlarge": 1.0}
    by_family: dict[tuple[str, str], list[float]] = {}
    for (region, item), row in known_prices().rows.items():
        family, _, size = item.partition(".")
        weight = sizes.get(size) or float(size.removesuffix("xlarge") or 1) if "large" in size else None
        if weight and family.startswith(("m5", "m6", "m7", "c6", "r6")) and "flex" not in family:
            by_family.setdefault((region, family), []).append(float(row.usd) / weight)
    assert len(by_family) > 50
    for prices in by_family.values():
        assert max(prices) / min(prices) < 1.01


def test_an_unknown_price_names_the_type_the_region_and_the_table() -> None:
    """There is no number without a source, but a sentence."""
    assert known_prices().find("m9x.large", "eu-x-1") is None
    text = known_prices().describe_missing("m9x.large", "eu-x-1")
    assert text.startswith("no price known for m9x.large in eu-x-1 (table of 2026-")


def test_the_control_plane_costs_the_same_everywhere() -> None:
    """Amazon EKS pricing: 0.10 an hour, and 0.50 more in extended support."""
    for region in ("eu-central-1", "ap-south-2"):
        found = [known_prices().find(item, region) for item in ("eks-cluster", "eks-extended-support")]
        assert [price.usd for price in found if price] == [Decimal("0.1"), Decimal("0.5")]


def test_the_table_survives_its_own_writing(tmp_path: Path) -> None:
    """An update without news changes no line."""
    write_table(known_prices(), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == TABLE.read_bytes()
    assert (tmp_path / "sources.csv").read_bytes() == TABLE.with_name("sources.csv").read_bytes()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("eu-x-1,m5.large,cheap,hour,a", "line 2: 'cheap' is not a price in US dollars"),
        ("eu-x-1,m5.large,-1,hour,a", "line 2: '-1' is not a price"),
        ("eu-x-1,m5.large,NaN,hour,a", "line 2: 'NaN' is not a price"),
        ("eu-x-1,m5.large,1,hour,b", "line 2: the source b is not in sources.csv"),
        ("eu-x-1,m5.large", "must be CSV with the columns region,item,usd,unit,source"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    """A table that somebody edited by hand says which line is wrong."""
    (tmp_path / "sources.csv").write_text("source,date,text\na,2026-01-01,AWS\n")
    (tmp_path / "table.csv").write_text(f"region,item,usd,unit,source\n{line}\n")
    with pytest.raises(PriceError, match=message):
        read_table(tmp_path / "table.csv")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    """A table that is not there ends in one message."""
    with pytest.raises(PriceError, match=r"sources\.csv: can't be read as a table of prices"):
        read_table(tmp_path / "table.csv")


def test_a_far_too_large_table_is_refused_at_once(tmp_path: Path) -> None:
    """Python would need more than 1 GiB for 100 MB of rows."""
    (tmp_path / "sources.csv").touch()
    os.truncate(tmp_path / "sources.csv", 100_000_000)
    with pytest.raises(PriceError, match=r"sources\.csv: has 100 MB\. Accepted: up to 10 MB$"):
        read_table(tmp_path / "table.csv")


def _product(usd: str, unit: str, **attributes: str) -> str:
    dimensions = {"a": {"unit": unit, "beginRange": "0", "pricePerUnit": {"USD": usd}}}
    return json.dumps(
        {"product": {"attributes": attributes}, "terms": {"OnDemand": {"t": {"priceDimensions": dimensions}}}}
    )


@pytest.fixture
def price_list() -> Iterator[tuple[Any, Stubber]]:
    """Yield a client of AWS's price list that answers from a queue, and checks what it is asked."""
    client = boto3.client(
        "pricing", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    with Stubber(client) as stubber:
        yield client, stubber


def test_update_replaces_the_prices_that_aws_names(price_list: tuple[Any, Stubber]) -> None:
    """A region gets today's prices; what AWS does not name keeps its old price and its old date."""
    client, stubber = price_list
    answers = [
        (
            "AmazonEC2",
            [
                _product("0.46", "Hrs", instanceType="m5.2xlarge", usagetype="EUC1-BoxUsage:m5.2xlarge"),
                _product("0", "Hrs", instanceType="m5.2xlarge", usagetype="EUC1-UnusedBox:m5.2xlarge"),
                _product("1.00", "Hrs", instanceType="x9.large", usagetype="EUC1-BoxUsage:x9.large"),
            ],
        ),
        ("AmazonEC2", [_product("0.052", "Hrs", usagetype="EUC1-NatGateway-Hours")]),
        ("AmazonEC2", [_product("0.053", "GB", usagetype="EUC1-NatGateway-Bytes")]),
        ("AmazonEC2", [_product("0.0952", "GB-Mo", usagetype="EUC1-EBS:VolumeUsage.gp3")]),
        ("AmazonVPC", [_product("0.012", "Hrs", usagetype="EUC1-VpcEndpoint-Hours")]),
        ("AmazonVPC", [_product("0.005", "Hrs", usagetype="EUC1-PublicIPv4:InUseAddress")]),
        ("AmazonEKS", [_product("0.1", "Hours", usagetype="EUC1-AmazonEKS-Hours:perCluster")]),
    ]
    for service, products in answers:
        stubber.add_response(
            "get_products", {"PriceList": products}, {"ServiceCode": service, "Filters": ANY}
        )
    table = update(client, OLD, ["eu-central-1"], ["m5.2xlarge", "m5.8xlarge"], TODAY)
    stubber.assert_no_pending_responses()
    found = {item: table.find(item, "eu-central-1") for _, item in table.rows}
    assert {item: (str(price.usd), price.date) for item, price in found.items() if price} == {
        "m5.2xlarge": ("0.46", "2026-11-26"),
        "m5.8xlarge": ("8.88", "2020-01-01"),
        "nat-gateway": ("0.052", "2026-11-26"),
        "nat-gateway-traffic": ("0.053", "2026-11-26"),
        "gp3": ("0.0952", "2026-11-26"),
        "interface-endpoint": ("0.012", "2026-11-26"),
        "public-ipv4": ("0.005", "2026-11-26"),
        "eks-cluster": ("0.1", "2026-11-26"),
    }
    assert table.find("m5.2xlarge", "us-east-1") == OLD.find("m5.2xlarge", "us-east-1")


def test_a_plan_takes_current_prices_of_its_region(
    price_list: tuple[Any, Stubber], monkeypatch: pytest.MonkeyPatch, write_environment: WriteEnvironment
) -> None:
    """The report of an environment in AWS has the prices that AWS names today."""
    client, stubber = price_list
    monkeypatch.setattr(boto3, "client", lambda *_arguments, **_options: client)
    stubber.add_response("get_products", {"PriceList": [_product("0.47", "Hrs", instanceType="m5.2xlarge")]})
    for _ in range(6):
        stubber.add_response("get_products", {"PriceList": []})
    prices = plan.read_prices(load_settings(write_environment()), CHANGES, TODAY)
    stubber.assert_no_pending_responses()
    assert prices
    found = prices.find("m5.2xlarge", "eu-central-1")
    assert found == Price(Decimal("0.47"), "hour", "2026-11-26", "AWS price list API")


def test_a_plan_without_the_right_to_ask_takes_the_table(
    price_list: tuple[Any, Stubber],
    monkeypatch: pytest.MonkeyPatch,
    write_environment: WriteEnvironment,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A refusal of AWS does not stop a plan. The command says which prices the report has."""
    client, stubber = price_list
    monkeypatch.setattr(boto3, "client", lambda *_arguments, **_options: client)
    stubber.add_client_error("get_products", "AccessDeniedException", "not authorized: pricing:GetProducts")
    assert plan.read_prices(load_settings(write_environment()), CHANGES, TODAY) is None
    message = capsys.readouterr().err
    assert "not authorized: pricing:GetProducts" in message
    assert "The report takes this project's table." in message


def test_a_plan_without_changes_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, write_environment: WriteEnvironment
) -> None:
    """Its report compares no costs, so it takes this project's table."""
    monkeypatch.delattr(boto3, "client")
    unchanged = [PlannedStack("network", plan_documents.plan())]
    assert plan.read_prices(load_settings(write_environment()), unchanged, TODAY) is None


@pytest.mark.parametrize("token", [{"NextToken": "more"}, {}])
def test_a_slow_price_list_ends_in_a_message(
    price_list: tuple[Any, Stubber], monkeypatch: pytest.MonkeyPatch, token: dict[str, str]
) -> None:
    """After 20 seconds a plan asks for no further page, and for no other product."""
    client, stubber = price_list
    monkeypatch.setattr(aws, "monotonic", iter([0, 1, 21, 22]).__next__)
    monkeypatch.setattr(boto3, "client", lambda *_arguments, **_options: client)
    stubber.add_response("get_products", {"PriceList": [], **token})
    with pytest.raises(PriceError, match="did not answer in time"):
        aws.read_current("eu-central-1", [], TODAY)
    stubber.assert_no_pending_responses()


def test_a_plan_on_the_emulator_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, write_environment: WriteEnvironment
) -> None:
    """The local environment never reaches AWS."""
    monkeypatch.delattr(boto3, "client")
    assert plan.read_prices(load_settings(write_environment(base="local")), CHANGES, TODAY) is None


def test_a_region_that_aws_does_not_know_is_refused(price_list: tuple[Any, Stubber]) -> None:
    """A misspelt region does not end in a table without prices."""
    client, stubber = price_list
    for _ in range(7):
        stubber.add_response("get_products", {"PriceList": []})
    with pytest.raises(PriceError, match="no instance of eu-centrall-1: is that a region's code"):
        update(client, OLD, ["eu-centrall-1"], ["m5.2xlarge"], TODAY)


def test_missing_rights_are_one_message(price_list: tuple[Any, Stubber]) -> None:
    """What AWS refuses is told in AWS's words."""
    client, stubber = price_list
    stubber.add_client_error("get_products", "AccessDeniedException", "not authorized: pricing:GetProducts")
    with pytest.raises(PriceError, match=r"AWS's price list can't be read: .*pricing:GetProducts"):
        update(client, OLD, ["eu-central-1"], ["m5.2xlarge"], TODAY)


def test_spot_prices_are_a_range() -> None:
    """EC2 answers with the prices of each zone and time; the lowest and the highest are told."""
    client = boto3.client(
        "ec2", region_name="eu-central-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    with Stubber(client) as stubber:
        history = [{"SpotPrice": price} for price in ("0.1561", "0.1402", "0.1533")]
        start = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
        stubber.add_response(
            "describe_spot_price_history",
            {"SpotPriceHistory": history},
            {"InstanceTypes": ["m5.2xlarge"], "ProductDescriptions": ["Linux/UNIX"], "StartTime": start},
        )
        assert read_spot(client, "m5.2xlarge", start) == (Decimal("0.1402"), Decimal("0.1561"))


def test_show_tells_price_date_and_source() -> None:
    """The command ends with 1 if a price is missing, and says which one."""
    result = subprocess.run(
        [sys.executable, "-m", "prices", "show", "m5.2xlarge", "m9x.large", "--region", "eu-central-1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    first, second = result.stdout.splitlines()
    assert first.startswith("m5.2xlarge in eu-central-1: $0.46 / hour (2026-")
    assert second.startswith("no price known for m9x.large in eu-central-1")


def test_a_region_without_prices_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the regions of the table, and the command that adds one."""
    monkeypatch.setattr(sys, "argv", ["prices", "show", "--region", "eu-centrall-1"])
    with pytest.raises(SystemExit, match=r"--region eu-centrall-1: no price known there .* eu-central-1, "):
        main()


@pytest.mark.parametrize("arguments", [[], ["show"], ["show", "--region"], ["update", "--all"]])
def test_a_wrong_command_line_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """The commands of this project have one status for an error; argparse's own is 2."""
    monkeypatch.setattr(sys, "argv", ["prices", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("usage: python -m prices")


def test_update_writes_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command reads a table, asks AWS for its regions, and writes it with the day's date."""
    write_table(OLD, tmp_path / "table.csv")
    price = _product("0.46", "Hrs", instanceType="m5.2xlarge", usagetype="BoxUsage:m5.2xlarge")
    client = boto3.client(
        "pricing", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    monkeypatch.setattr("prices.__main__._client", lambda *_: client)
    command = ["prices", "update", "--region", "eu-central-1", "--table", str(tmp_path / "table.csv")]
    monkeypatch.setattr(sys, "argv", command)
    with Stubber(client) as stubber:
        for products in ([price], *([[]] * 6)):
            stubber.add_response("get_products", {"PriceList": products})
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 0
    found = read_table(tmp_path / "table.csv").find("m5.2xlarge", "eu-central-1")
    assert found
    assert (str(found.usd), found.source) == ("0.46", "AWS price list API")
    assert found.date == str(dt.datetime.now(dt.UTC).date())
