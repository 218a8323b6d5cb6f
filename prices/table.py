"""The prices that this project knows: `table.csv`, with the sources of its rows in `sources.csv`.

A row is the On-Demand price of Linux on an instance type, or the price of a service, in US dollars. A region
of `*` is every region. `python -m prices update` writes current rows.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "table.csv"
SOURCES = "sources.csv"  # in the folder of the table
MAX_BYTES = 10_000_000  # of each of the two; the table of five regions has 33 kB

HOURS_A_MONTH = 730
"""AWS Pricing Calculator: 8760 hours a year, by 12."""

# The services, by their names in the table.
EKS_CLUSTER, EKS_EXTENDED_SUPPORT = "eks-cluster", "eks-extended-support"
NAT_GATEWAY, NAT_GATEWAY_TRAFFIC = "nat-gateway", "nat-gateway-traffic"
GP3, INTERFACE_ENDPOINT, PUBLIC_IPV4 = "gp3", "interface-endpoint", "public-ipv4"
EVERY_REGION = "*"


class PriceError(Exception):
    """The prices can't be read or updated; the message says why."""


@dataclass(frozen=True)
class Price:
    """A price in US dollars for each `unit`: hour, GB or GB-month."""

    usd: Decimal
    unit: str
    date: str
    source: str


@dataclass(frozen=True)
class Source:
    """Where prices come from, and the date of that list as YYYY-MM-DD."""

    date: str
    text: str


@dataclass(frozen=True)
class Row:
    """One price of the table; `source` is its name in the sources."""

    region: str
    item: str
    usd: Decimal
    unit: str
    source: str


class PriceTable:
    """Prices by region and item."""

    def __init__(self, rows: Iterable[Row], sources: Mapping[str, Source]) -> None:
        self.rows = {(row.region, row.item): row for row in rows}
        self.sources = dict(sources)

    def find(self, item: str, region: str) -> Price | None:
        """Return the price of an instance type or a service in a region; None if the table has none."""
        row = self.rows.get((region, item)) or self.rows.get((EVERY_REGION, item))
        if row is None:
            return None
        source = self.sources[row.source]
        return Price(row.usd, row.unit, source.date, source.text)

    def describe_missing(self, item: str, region: str) -> str:
        """Return the words for a price that the table does not have."""
        return f"no price known for {item} in {region} (table of {self.date})"

    @property
    def date(self) -> str:
        """The newest date of the rows."""
        return max((self.sources[row.source].date for row in self.rows.values()), default="no date")

    @property
    def regions(self) -> list[str]:
        """The regions with prices."""
        return sorted({region for region, _ in self.rows} - {EVERY_REGION})


@cache
def known_prices() -> PriceTable:
    """Return the table of this package."""
    return read_table(TABLE)


def read_table(path: Path) -> PriceTable:
    """Read a table, with the sources beside it.

    Raises:
        PriceError: If a file can't be read, or a row is not one.

    """
    sources = {
        name: Source(date, text) for name, date, text in _read_csv(path.parent / SOURCES, "source,date,text")
    }
    rows = []
    for number, (region, item, usd, unit, source) in enumerate(
        _read_csv(path, "region,item,usd,unit,source"), start=2
    ):
        if source not in sources:
            raise PriceError(f"{path}, line {number}: the source {source} is not in {SOURCES}")
        rows.append(Row(region, item, _read_usd(usd, path, number), unit, source))
    return PriceTable(rows, sources)


def _read_usd(text: str, path: Path, number: int) -> Decimal:
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or usd < 0:
        raise PriceError(f"{path}, line {number}: {text!r} is not a price in US dollars, such as 0.46")
    return usd


def _read_csv(path: Path, header: str) -> list[list[str]]:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise PriceError(f"{path}: has {size // 10**6} MB. Accepted: up to {MAX_BYTES // 10**6} MB")
        with path.open(encoding="utf-8", newline="") as file:
            first, *rows = csv.reader(file)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise PriceError(f"{path}: can't be read as a table of prices: {error}") from None
    if first != header.split(",") or any(len(row) != len(first) for row in rows):
        raise PriceError(f"{path}: must be CSV with the columns {header}")
    return rows


def write_table(table: PriceTable, path: Path) -> None:
    """Write a table and its sources, those without a row left out."""
    rows = sorted(table.rows.values(), key=_order)
    used = {row.source for row in rows}
    _write_csv(
        path,
        "region,item,usd,unit,source",
        [[row.region, row.item, format(row.usd.normalize(), "f"), row.unit, row.source] for row in rows],
    )
    _write_csv(
        path.parent / SOURCES,
        "source,date,text",
        [[name, entry.date, entry.text] for name, entry in table.sources.items() if name in used],
    )


def _order(row: Row) -> tuple[str, bool, str, Decimal, str]:
    """Services before instance types, and these by family and price."""
    family, dot, _ = row.item.partition(".")
    return row.region, bool(dot), family, row.usd, row.item


def _write_csv(path: Path, header: str, rows: Iterable[list[str]]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header.split(","))
            writer.writerows(rows)
    except OSError as error:
        raise PriceError(f"{path}: {error.strerror}") from None
