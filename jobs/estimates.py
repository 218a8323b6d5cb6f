"""How long a job waits for a new node, and what an hour of it costs there.

Both are ranges, from the settings and from the table of prices. No cdktf import, no file, no clock.
Not here: a queue behind other jobs, and room on running nodes, where a job starts at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from jobs.admission import matches
from jobs.pod import Pod
from jobs.scheduling import Group
from prices.table import Price, PriceTable
from stacks.resources import RESOURCES
from stacks.settings.node_groups import NodeGroupSettings
from stacks.settings.waiting_times import WaitingTimeSettings


@dataclass(frozen=True)
class Wait:
    """The shortest and the longest time in seconds."""

    shortest: int
    longest: int


@dataclass(frozen=True)
class HourlyCost:
    """What an hour of a job costs in US dollars, at On-Demand prices; Spot costs less.

    Attributes:
        share: The job's share of a node: the larger one of CPU and memory.
        alone: The whole node, which a job pays that is alone on it.
        date: The date of the price.

    """

    share: Decimal
    alone: Decimal
    date: str


def expect_wait(pod: Pod, groups: Iterable[NodeGroupSettings], times: WaitingTimeSettings) -> Wait:
    """Return how long a pod waits on a new node of one of the groups.

    Kubernetes, "Images": the kubelet pulls one image after the other, unless it is told otherwise.
    """
    images = {container.image for container in pod.containers if container.image}
    gib = sum(_find_gib(image, times) for image in images)
    pulls = [round(seconds * gib) for seconds in times.image_pull_seconds_per_gib]
    nodes = [
        times.spot_node_seconds if group.capacity_type == "SPOT" else times.on_demand_node_seconds
        for group in groups
    ]
    return Wait(
        times.autoscaler_seconds[0] + min(shortest for shortest, _ in nodes) + pulls[0],
        times.autoscaler_seconds[1] + max(longest for _, longest in nodes) + pulls[1],
    )


def _find_gib(image: str, times: WaitingTimeSettings) -> float:
    found = (gib for pattern, gib in times.image_gib_by_name.items() if matches(pattern, image))
    return next(found, times.image_gib)


def cost_an_hour(
    requests: Mapping[str, Decimal],
    groups: Mapping[str, tuple[Group, NodeGroupSettings]],
    prices: PriceTable,
    region: str,
) -> tuple[HourlyCost | None, tuple[str, ...]]:
    """Return what an hour on one of the groups costs, and the instance types without a price.

    If there are several groups, the share is that of the cheapest, and the whole node that of the most
    expensive. Without the price of one of them there is no cost.
    """
    shares, nodes, dates = [], [], []
    missing: list[str] = []
    for group, settings in groups.values():
        node, without_price = find_node_price(settings.instance_types, region, prices)
        missing += without_price
        if node:
            shares.append(node.usd * share_of_node(requests, group))
            nodes.append(node.usd)
            dates.append(node.date)
    cost = None if missing or not nodes else HourlyCost(min(shares), max(nodes), max(dates))
    return cost, tuple(dict.fromkeys(missing))


def find_node_price(
    types: Sequence[str], region: str, prices: PriceTable
) -> tuple[Price | None, tuple[str, ...]]:
    """Return the price of the most expensive type of a group, and a text for each type without a price.

    Without the price of one type the most expensive one is not known: there is no price.
    """
    found = {name: prices.find(name, region) for name in types}
    missing = tuple(prices.describe_missing(name, region) for name, price in found.items() if price is None)
    known = [price for price in found.values() if price]
    return (None if missing else max(known, key=lambda price: price.usd)), missing


def share_of_node(requests: Mapping[str, Decimal], group: Group) -> Decimal:
    """Return the part of a node that a pod takes: the larger share of CPU and memory, up to 1."""
    shares = (
        requests.get(resource.key, Decimal(0)) / (group.allocatable[resource.key] * resource.unit_size)
        for resource in RESOURCES
        if resource.key in ("cpu", "memory")
    )
    return min(max(shares), Decimal(1))
