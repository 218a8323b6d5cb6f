"""The cost a month of the resources of a plan: the floor and the ceiling of what the configuration allows.

Node groups count with their minimum and their maximum. Prices come from `prices/`, each with its date and its
source. Not here: traffic, logs and objects in S3, which a plan does not show; discounts and taxes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from plan_review.plan import Change, Plan, PlanError
from plan_review.values import get_nested
from prices.table import (
    EKS_CLUSTER,
    EKS_EXTENDED_SUPPORT,
    GP3,
    HOURS_A_MONTH,
    INTERFACE_ENDPOINT,
    NAT_GATEWAY,
    PUBLIC_IPV4,
    Price,
    PriceError,
    PriceTable,
    known_prices,
)

# Amazon EKS API Reference, "CreateNodegroup": instanceTypes and diskSize that are not set.
_DEFAULT_TYPE, _DEFAULT_DISK_GIB = "t3.medium", 20
# Types that run machines or are billed by the hour, and that this module does not count. They are named.
_NOT_COUNTED = frozenset(
    {
        *("aws_instance", "aws_autoscaling_group", "aws_spot_instance_request", "aws_spot_fleet_request"),
        *("aws_ec2_fleet", "aws_ec2_host", "aws_eks_fargate_profile", "aws_ecs_service", "aws_emr_cluster"),
        *("aws_db_instance", "aws_rds_cluster", "aws_rds_cluster_instance", "aws_docdb_cluster_instance"),
        *("aws_neptune_cluster_instance", "aws_redshift_cluster", "aws_opensearch_domain"),
        *("aws_elasticache_cluster", "aws_elasticache_replication_group", "aws_memorydb_cluster"),
        *("aws_msk_cluster", "aws_mq_broker", "aws_dms_replication_instance", "aws_kinesis_stream"),
        *("aws_sagemaker_endpoint", "aws_sagemaker_notebook_instance", "aws_fsx_lustre_file_system"),
        *("aws_lb", "aws_alb", "aws_elb", "aws_vpn_connection", "aws_ec2_transit_gateway_vpc_attachment"),
        *("aws_ebs_volume", "aws_networkfirewall_firewall", "aws_ec2_client_vpn_network_association"),
    }
)


@dataclass(frozen=True)
class Range:
    """US dollars a month, or a number of things."""

    floor: Decimal = Decimal(0)
    ceiling: Decimal = Decimal(0)

    def __add__(self, other: "Range") -> "Range":
        """Return the sums of floors and of ceilings."""
        return Range(self.floor + other.floor, self.ceiling + other.ceiling)


@dataclass
class Part:
    """One kind of thing that costs: how much there is of it, and the dollars."""

    number: Range = Range()
    usd: Range = Range()


@dataclass
class Cost:
    """The cost of a set of plans.

    Attributes:
        before: The cost of what is deployed, by the name of the part.
        after: The cost of what the plan leaves, likewise.
        missing: The things that are not counted, and why.
        notes: Further remarks.
        sources: The date and the source of each price.

    """

    before: dict[str, Part] = field(default_factory=dict)
    after: dict[str, Part] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sources: set[tuple[str, str]] = field(default_factory=set)


def add_up(parts: Mapping[str, Part]) -> Range:
    """Return what parts cost together."""
    return sum((part.usd for part in parts.values()), Range())


def estimate(
    plans: Iterable[Plan], prices: PriceTable | None = None, *, unplanned: Sequence[str] = ()
) -> Cost:
    """Return what the resources of plans cost, by default by this project's table.

    Args:
        plans: The plans.
        prices: The prices.
        unplanned: The names of the stacks without a plan. The cost says that they are missing.

    Raises:
        PlanError: If the table can't be read.

    """
    try:
        prices = prices or known_prices()
    except PriceError as error:
        raise PlanError(str(error)) from None
    cost = Cost()
    for plan in plans:
        templates = [change for change in plan.resources if change.type == "aws_launch_template"]
        for change in plan.resources:
            # A resource that Terraform only forgets goes on to cost.
            left = {"delete": None, "forget": change.before}
            after = left.get(change.action, change.after)
            for parts, state in ((cost.before, change.before), (cost.after, after)):
                if isinstance(state, dict):
                    counter = _Counter(change, state, templates, prices, cost, parts)
                    counter.count(is_before=state is change.before)
    if cost.before or cost.after or cost.missing:
        cost.missing += [f"stack {name}: it has no plan" for name in unplanned]
    cost.missing = list(dict.fromkeys(cost.missing))
    cost.notes = list(dict.fromkeys(cost.notes))
    return cost


@dataclass
class _Counter:
    """Counts one resource in the state before or after."""

    change: Change
    state: Mapping[str, Any]
    templates: Sequence[Change]
    prices: PriceTable
    cost: Cost
    parts: dict[str, Part]

    def count(self, *, is_before: bool) -> None:
        match self.change.type:
            case "aws_eks_cluster":
                self._count_cluster()
            case "aws_eks_node_group":
                self._count_nodes(is_before=is_before)
            case "aws_nat_gateway":
                self._add("NAT gateways", NAT_GATEWAY, _exactly(1))
            case "aws_eip":
                self._add("public IPv4 addresses", PUBLIC_IPV4, _exactly(1))
            case "aws_vpc_endpoint" if self.state.get("vpc_endpoint_type") == "Interface":
                subnets = self.state.get("subnet_ids")
                if not isinstance(subnets, list):
                    self.cost.missing.append(f"zones of {self.change.address}: known after the apply")
                    subnets = ["one at least"]
                self._add(
                    "interface endpoints, in each zone",
                    INTERFACE_ENDPOINT,
                    _exactly(len(subnets)),
                )
            case kind if kind in _NOT_COUNTED:
                self.cost.missing.append(f"{kind}: the report has no prices of this type")

    def _count_cluster(self) -> None:
        self._add("control planes", EKS_CLUSTER, _exactly(1))
        # Amazon EKS, "View current cluster upgrade policy": EXTENDED is AWS's default.
        if get_nested(self.state, "upgrade_policy.support_type") != "STANDARD":
            self._add(
                "extended support, where the version needs it",
                EKS_EXTENDED_SUPPORT,
                Range(Decimal(0), Decimal(1)),
            )

    def _count_nodes(self, *, is_before: bool) -> None:
        sizes = [get_nested(self.state, f"scaling_config.{key}") for key in ("min_size", "max_size")]
        if not all(isinstance(size, int) for size in sizes):
            self.cost.missing.append(f"nodes of {self.change.address}: their number is known after the apply")
            return
        number = Range(*map(Decimal, sizes))
        machines = self._add_warm_pool(number)
        is_running = get_nested(self.state, "warm_pool_config.pool_state") == "RUNNING"
        template = self._find_template(is_before=is_before)
        types = self.state.get("instance_types") or [get_nested(template, "instance_type") or _DEFAULT_TYPE]
        names = [name for name in types if isinstance(name, str)] if isinstance(types, list) else []
        if not names:
            self.cost.missing.append(f"nodes of {self.change.address}: their type is known after the apply")
            return
        found = [price for name in names if (price := self._find(name))]
        is_spot = self.state.get("capacity_type") == "SPOT"
        if found:
            lowest, highest = min(price.usd for price in found), max(price.usd for price in found)
            if is_spot:
                lowest = Decimal(0)
                self.cost.notes.append(
                    "Spot has no fixed price: the floor leaves these nodes out, the ceiling takes On-Demand"
                )
            paid = machines if is_running else number
            usd = Range(paid.floor * lowest * HOURS_A_MONTH, paid.ceiling * highest * HOURS_A_MONTH)
            self._put(f"nodes {' or '.join(names)}{' Spot' if is_spot else ''}", paid, usd)
        self._count_disks(template, machines)

    def _add_warm_pool(self, nodes: Range) -> Range:
        """Return the number of machines, with those that wait in a warm pool.

        Amazon EKS API Reference, "WarmPoolConfig": the pool is filled up to maxGroupPreparedCapacity with the
        nodes, and has at least minSize.
        """
        if not self.state.get("warm_pool_config"):
            return nodes
        prepared, least = (
            get_nested(self.state, f"warm_pool_config.{key}")
            for key in ("max_group_prepared_capacity", "min_size")
        )
        # Without a number, and with -1, it is filled up to the group's maximum.
        filled = Decimal(prepared) if isinstance(prepared, int) and prepared >= 0 else nodes.ceiling
        waiting = least if isinstance(least, int) else 0
        return Range(max(filled, nodes.floor + waiting), max(filled, nodes.ceiling + waiting))

    def _count_disks(self, template: Any, number: Range) -> None:
        kind = get_nested(template, "block_device_mappings.ebs.volume_type") or GP3
        size = get_nested(template, "block_device_mappings.ebs.volume_size") or self.state.get("disk_size")
        size = size or _DEFAULT_DISK_GIB
        if not isinstance(size, int) or kind != GP3:
            what = f"type {kind}" if isinstance(size, int) else "size is known after the apply"
            self.cost.missing.append(f"volumes of {self.change.address}: {what}")
            return
        gib = Range(number.floor * size, number.ceiling * size)
        self._add("GiB of gp3 volumes of the nodes", GP3, gib, per_hour=False)

    def _find_template(self, *, is_before: bool) -> Any:
        """Return the launch template of a node group: by its ID, or by the reference in the configuration."""
        ident = get_nested(self.state, "launch_template.id")
        reference = (self.change.configured or {}).get("launch_template.id", "")
        module = self.change.address.rpartition("aws_eks_node_group.")[0]
        for template in self.templates:
            state = template.before if is_before else template.after
            same = isinstance(ident, str) and ident == get_nested(template.before, "id")
            if same or reference.startswith(f"${{{template.address.removeprefix(module)}."):
                return state
        return None

    def _add(self, name: str, item: str, number: Range, *, per_hour: bool = True) -> None:
        price = self._find(item)
        if price:
            each = price.usd * (HOURS_A_MONTH if per_hour else 1)
            self._put(name, number, Range(number.floor * each, number.ceiling * each))

    def _put(self, name: str, number: Range, usd: Range) -> None:
        part = self.parts.setdefault(name, Part())
        part.number += number
        part.usd += usd

    def _find(self, item: str) -> Price | None:
        region = self.change.find_region(self.state)
        price = self.prices.find(item, region or "an unknown region")
        if price is None:
            self.cost.missing.append(self.prices.describe_missing(item, region or "an unknown region"))
        else:
            self.cost.sources.add((price.date, price.source))
        return price


def _exactly(number: int) -> Range:
    return Range(Decimal(number), Decimal(number))


def write_line(cost: Cost) -> str:
    """Return the cost in one sentence; an empty string if nothing in the plans costs by the hour."""
    if not cost.before and not cost.after:
        return "Cost a month: nothing that can be counted, see below." if cost.missing else ""
    before, after = add_up(cost.before), add_up(cost.after)
    text = f"Cost a month: {_write_range(after)}"
    if not cost.before:
        text += ", new"
    elif before == after:
        text += ", as before"
    else:
        floor, ceiling = after.floor - before.floor, after.ceiling - before.ceiling
        text += f", before {_write_range(before)} (floor {_round(floor):+,}, ceiling {_round(ceiling):+,})"
    return f"{text}. {_write_dates(cost)}" + (" Not all is counted: see below." if cost.missing else "")


def write_table(cost: Cost, code: Callable[[str], str]) -> Iterator[str]:
    """Yield the parts of the cost as a Markdown table, and what is not counted.

    Args:
        cost: The cost.
        code: Writes a string of the plan as code.

    """
    yield "| part | number | before | after |"
    yield "| --- | --: | --: | --: |"
    for name in dict.fromkeys([*cost.after, *cost.before]):
        before, after = cost.before.get(name, Part()), cost.after.get(name, Part())
        cells = ((after if name in cost.after else before).number, before.usd, after.usd)
        label = code(name).replace("|", r"\|")
        yield f"| {label} | {' | '.join(map(_write_numbers, cells))} |"
    totals = (_write_numbers(add_up(parts)) for parts in (cost.before, cost.after))
    yield f"| **together, USD a month** | | {' | '.join(totals)} |"
    yield ""
    remarks = [f"Not counted: {code(text)}" for text in cost.missing]
    remarks += [f"{text}." for text in cost.notes]
    remarks += [f"Prices of {date}: {code(source)}" for date, source in sorted(cost.sources)]
    for text in [*remarks, "Not counted: traffic, logs, S3, KMS, discounts and taxes."]:
        yield f"- {text}"


def _write_dates(cost: Cost) -> str:
    first, last = min(cost.sources)[0], max(cost.sources)[0]
    return f"Prices of {first}{f' to {last}' if last != first else ''}, {HOURS_A_MONTH} hours."


def _write_range(amount: Range) -> str:
    return f"{_write_numbers(amount)} USD"


def _write_numbers(amount: Range) -> str:
    floor, ceiling = f"{_round(amount.floor):,}", f"{_round(amount.ceiling):,}"
    return floor if floor == ceiling else f"{floor} to {ceiling}"


def _round(amount: Decimal) -> int:
    return int(amount.to_integral_value())
