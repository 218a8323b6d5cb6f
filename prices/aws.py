"""Current prices from AWS: the price list API for On-Demand, and EC2 for Spot.

AWS Billing, "AWS Price List Query API"; Amazon EC2, "DescribeSpotPriceHistory".
A caller needs the permissions pricing:GetProducts and ec2:DescribeSpotPriceHistory.
"""

import datetime as dt
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from time import monotonic
from typing import Any

import boto3
import botocore.config
import botocore.exceptions

from prices.table import (
    EKS_CLUSTER,
    EKS_EXTENDED_SUPPORT,
    GP3,
    INTERFACE_ENDPOINT,
    NAT_GATEWAY,
    NAT_GATEWAY_TRAFFIC,
    PUBLIC_IPV4,
    PriceError,
    PriceTable,
    Row,
    Source,
    known_prices,
)

API_REGION = "us-east-1"
"""One of the few regions that answer for all others."""
PLAN_SECONDS = 20
"""A plan must not wait long for what is only good to know: after this time it asks for no further page."""


@dataclass(frozen=True)
class _Query:
    """A question to the price list, and how its answers are named in the table."""

    service: str
    filters: Mapping[str, str]
    unit: str
    name: Callable[[Mapping[str, str]], str | None]


def _by_usage(names: Mapping[str, str]) -> Callable[[Mapping[str, str]], str | None]:
    """Return a function that names a product by its usage type.

    A usage type begins with the short form of its region, such as EUC1-, except in us-east-1.
    """
    return lambda attributes: names.get(re.sub(r"^[A-Z]+[0-9]*-", "", attributes.get("usagetype", "")))


_QUERIES = (
    _Query(
        "AmazonEC2",
        {
            "operatingSystem": "Linux",
            "tenancy": "Shared",
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
            "marketoption": "OnDemand",
        },
        "hour",
        lambda attributes: attributes.get("instanceType"),
    ),
    _Query(
        "AmazonEC2",
        {"productFamily": "NAT Gateway", "operation": "NatGateway"},
        "hour",
        _by_usage({"NatGateway-Hours": NAT_GATEWAY}),
    ),
    _Query(
        "AmazonEC2",
        {"productFamily": "NAT Gateway", "operation": "NatGateway"},
        "GB",
        _by_usage({"NatGateway-Bytes": NAT_GATEWAY_TRAFFIC}),
    ),
    _Query(
        "AmazonEC2",
        {"productFamily": "Storage", "volumeApiName": "gp3"},
        "GB-month",
        _by_usage({"EBS:VolumeUsage.gp3": GP3}),
    ),
    _Query(
        "AmazonVPC",
        {"productFamily": "VpcEndpoint"},
        "hour",
        _by_usage({"VpcEndpoint-Hours": INTERFACE_ENDPOINT}),
    ),
    _Query("AmazonVPC", {}, "hour", _by_usage({"PublicIPv4:InUseAddress": PUBLIC_IPV4})),
    _Query(
        "AmazonEKS",
        {},
        "hour",
        _by_usage(
            {
                "AmazonEKS-Hours:perCluster": EKS_CLUSTER,
                "AmazonEKS-Hours:extendedSupport": EKS_EXTENDED_SUPPORT,
            }
        ),
    ),
)
# The units of the price list, by those of the table.
_UNITS = {"hour": {"Hrs", "Hours", "hours"}, "GB": {"GB"}, "GB-month": {"GB-Mo"}}


def update(
    client: Any,
    known: PriceTable,
    regions: Collection[str],
    types: Collection[str],
    today: dt.date,
    seconds: float = math.inf,
) -> PriceTable:
    """Return a table in which AWS's current prices replace those of some regions.

    Args:
        client: A boto3 client of `pricing`.
        known: The table before. Prices that AWS does not name stay as they are, with their old date.
        regions: The regions to ask for.
        types: The instance types to keep.
        today: The date of the new prices.
        seconds: The time after which no further page is asked for.

    Raises:
        PriceError: If AWS does not answer, or not in time, or knows no price of a region.

    """
    source = f"api-{today}"
    rows = dict(known.rows)
    deadline = monotonic() + seconds
    for region in regions:
        found = dict(_ask(client, region, types, source, deadline))
        if not any(item in types for _, item in found):
            raise PriceError(f"AWS's price list has no instance of {region}: is that a region's code?")
        rows.update(found)
    sources = {**known.sources, source: Source(str(today), "AWS price list API")}
    return PriceTable(rows.values(), sources)


def read_current(region: str, types: Collection[str], today: dt.date) -> PriceTable:
    """Return this project's table with AWS's current prices of one region.

    Args:
        region: The region.
        types: The instance types to ask for; those in the table come in addition.
        today: The date of the current prices.

    Raises:
        PriceError: If AWS does not answer within seconds, or refuses to.

    """
    config = botocore.config.Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1})
    try:
        client = boto3.client("pricing", region_name=API_REGION, config=config)
    except botocore.exceptions.BotoCoreError as error:
        raise PriceError(f"AWS's price list can't be read: {error}") from None
    known = known_prices()
    return update(client, known, [region], {*types_of(known), *types}, today, PLAN_SECONDS)


def _ask(
    client: Any, region: str, types: Collection[str], source: str, deadline: float
) -> Iterator[tuple[tuple[str, str], Row]]:
    for query in _QUERIES:
        filters = [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in {"regionCode": region, **query.filters}.items()
        ]
        pages = client.get_paginator("get_products").paginate(ServiceCode=query.service, Filters=filters)
        for product in _read_pages(pages, deadline):
            item = query.name(product["product"]["attributes"])
            usd = _read_usd(product, query.unit)
            if item and usd is not None and (item in types or "." not in item):
                yield (region, item), Row(region, item, usd, query.unit, source)


def _read_pages(pages: Any, deadline: float) -> Iterator[Any]:
    """Yield the products of all pages; each page is one request."""
    if monotonic() > deadline:
        raise PriceError("AWS's price list did not answer in time")
    try:
        for page in pages:
            for text in page["PriceList"]:
                yield json.loads(text)
            if page.get("NextToken") and monotonic() > deadline:
                raise PriceError("AWS's price list did not answer in time")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise PriceError(f"AWS's price list can't be read: {error}") from None


def _read_usd(product: Any, unit: str) -> Decimal | None:
    """Return the On-Demand price of the first tier, if the product has this unit.

    A price of 0 is left out: the price list has products of capacity reservations and of free tiers.
    """
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            usd = Decimal(dimension["pricePerUnit"].get("USD", "0"))
            if dimension["unit"] in _UNITS[unit] and dimension.get("beginRange", "0") == "0" and usd:
                return usd
    return None


def read_spot(client: Any, instance_type: str, start: dt.datetime) -> tuple[Decimal, Decimal] | None:
    """Return the lowest and the highest Spot price an hour since `start`, over all zones of a region.

    Raises:
        PriceError: If EC2 does not answer.

    """
    pages = client.get_paginator("describe_spot_price_history").paginate(
        InstanceTypes=[instance_type], ProductDescriptions=["Linux/UNIX"], StartTime=start
    )
    try:
        prices = [Decimal(entry["SpotPrice"]) for page in pages for entry in page["SpotPriceHistory"]]
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise PriceError(f"EC2's Spot prices can't be read: {error}") from None
    return (min(prices), max(prices)) if prices else None


def types_of(known: PriceTable) -> set[str]:
    """Return the instance types that a table knows in any region."""
    return {item for _, item in known.rows if "." in item}
