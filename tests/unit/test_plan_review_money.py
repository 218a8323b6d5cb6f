"""The cost a month in a plan's report."""

from decimal import Decimal
from typing import Any

import pytest

from plan_review import markdown, money
from plan_review.money import Cost, add_up, estimate
from plan_review.plan import PlanError
from plan_review.review import PlannedStack, Review
from prices.table import PriceError, PriceTable, Row, Source
from tests.plan_documents import State, plan, report, resource

PRICES = PriceTable(
    [
        Row("eu-central-1", item, Decimal(usd), "hour", "list")
        for item, usd in (
            ("m5.2xlarge", "0.46"),
            ("m5.8xlarge", "1.84"),
            ("nat-gateway", "0.052"),
            ("public-ipv4", "0.005"),
            ("interface-endpoint", "0.012"),
            ("eks-cluster", "0.1"),
            ("eks-extended-support", "0.5"),
            ("gp3", "0.1"),
        )
    ],
    {"list": Source("2026-09-03", "a list")},
)


def group(smallest: int, largest: int, kind: str = "m5.2xlarge", **more: Any) -> State:
    """Return the attributes of a node group."""
    scaling = [{"min_size": smallest, "max_size": largest}]
    return {"scaling_config": scaling, "instance_types": [kind], "launch_template": [{"id": "lt-1"}], **more}


def document(*changes: dict[str, Any], **more: Any) -> Any:
    """Return a plan whose provider works in Frankfurt."""
    configuration = {
        "provider_config": {
            "aws": {"name": "aws", "expressions": {"region": {"constant_value": "eu-central-1"}}}
        },
        "root_module": {
            "resources": [
                {
                    "address": change["address"],
                    "provider_config_key": "aws",
                    "expressions": {
                        "launch_template": [{"id": {"references": ["aws_launch_template.this.id"]}}]
                    },
                }
                for change in changes
            ]
        },
    }
    return plan(*changes, configuration=configuration, **more)


def cost_of(*changes: dict[str, Any], **more: Any) -> Cost:
    """Return the cost of a plan by the prices of this test."""
    return estimate([document(*changes, **more)], PRICES)


def dollars(cost: Cost) -> list[tuple[str, str, str]]:
    """Return the parts afterwards, with floor and ceiling."""
    return [(name, str(part.usd.floor), str(part.usd.ceiling)) for name, part in cost.after.items()]


TEMPLATE: State = {
    "id": "lt-1",
    "block_device_mappings": [{"ebs": [{"volume_size": 100, "volume_type": "gp3"}]}],
}
CLUSTER: State = {"upgrade_policy": [{"support_type": "STANDARD"}]}


def test_the_floor_has_the_fewest_nodes_and_the_ceiling_the_most() -> None:
    """Node groups count with minimum and maximum, each with its volume, for 730 hours."""
    cost = cost_of(
        resource("aws_launch_template", None, TEMPLATE, unknown={"id": True}),
        resource("aws_eks_cluster", None, CLUSTER),
        resource("aws_eks_node_group", None, group(1, 10), unknown={"launch_template": [{"id": True}]}),
        resource("aws_nat_gateway", None, {"subnet_id": "a"}),
        resource("aws_eip", None, {"domain": "vpc"}),
        resource("aws_vpc_endpoint", None, {"vpc_endpoint_type": "Interface", "subnet_ids": ["a", "b"]}),
        resource("aws_vpc_endpoint", None, {"vpc_endpoint_type": "Gateway"}, address="aws_vpc_endpoint.s3"),
    )
    assert not cost.before
    assert not cost.missing
    assert dollars(cost) == [
        ("control planes", "73.0", "73.0"),
        ("nodes m5.2xlarge", "335.80", "3358.00"),
        ("GiB of gp3 volumes of the nodes", "10.0", "100.0"),
        ("NAT gateways", "37.960", "37.960"),
        ("public IPv4 addresses", "3.650", "3.650"),
        ("interface endpoints, in each zone", "17.520", "17.520"),
    ]


def test_the_change_is_against_what_is_deployed() -> None:
    """The line tells the sums before and after; an unchanged group counts on both sides."""
    cost = cost_of(
        resource("aws_eks_cluster", CLUSTER, CLUSTER, actions=("no-op",)),
        resource("aws_eks_node_group", group(1, 2), group(1, 4)),
        resource("aws_eks_node_group", group(0, 1, "m5.8xlarge"), None, address="aws_eks_node_group.big"),
    )
    assert (add_up(cost.before).floor, add_up(cost.before).ceiling) == (Decimal("410.8"), Decimal("2093.8"))
    assert cost.missing == []
    assert money.write_line(cost) == (
        "Cost a month: 411 to 1,424 USD, before 411 to 2,094 USD (floor +0, ceiling -670). "
        "Prices of 2026-09-03, 730 hours."
    )


def test_the_size_of_the_disks_is_that_of_the_launch_template() -> None:
    """A deployed group names its template by ID; without a template EKS makes 20 GiB."""
    deployed = cost_of(
        resource("aws_launch_template", TEMPLATE, TEMPLATE, actions=("no-op",)),
        resource("aws_eks_node_group", group(1, 1), group(1, 1), actions=("no-op",)),
    )
    bare = cost_of(resource("aws_eks_node_group", None, group(1, 1, launch_template=[])))
    own = cost_of(resource("aws_eks_node_group", None, group(1, 1, launch_template=[], disk_size=50)))
    name = "GiB of gp3 volumes of the nodes"
    assert [cost.after[name].number.floor for cost in (deployed, bare, own)] == [100, 20, 50]


def test_spot_has_a_ceiling_and_no_floor() -> None:
    """Spot prices change, so the floor leaves the nodes out, and the report says so."""
    cost = cost_of(resource("aws_eks_node_group", None, group(1, 2, capacity_type="SPOT")))
    assert dollars(cost)[0] == ("nodes m5.2xlarge Spot", "0", "671.60")
    assert cost.notes == [
        "Spot has no fixed price: the floor leaves these nodes out, the ceiling takes On-Demand"
    ]


@pytest.mark.parametrize(
    ("pool", "nodes", "volumes"),
    [
        ({"pool_state": "RUNNING", "max_group_prepared_capacity": 5, "min_size": 0}, (5, 9), (5, 9)),
        ({"pool_state": "RUNNING", "max_group_prepared_capacity": 5, "min_size": 2}, (5, 11), (5, 11)),
        ({"pool_state": "STOPPED", "max_group_prepared_capacity": 1, "min_size": 2}, (1, 9), (3, 11)),
        ({"pool_state": "STOPPED", "max_group_prepared_capacity": -1, "min_size": 0}, (1, 9), (9, 9)),
    ],
)
def test_a_warm_pool_costs_its_volumes_and_its_nodes_if_they_run(
    pool: State, nodes: tuple[int, int], volumes: tuple[int, int]
) -> None:
    """It is filled up to a number together with the nodes, and may hold some beside all of them."""
    cost = cost_of(resource("aws_eks_node_group", None, group(1, 9, disk_size=1, warm_pool_config=[pool])))
    numbers = [(int(part.number.floor), int(part.number.ceiling)) for part in cost.after.values()]
    assert numbers == [nodes, volumes]


def test_extended_support_is_in_the_ceiling_where_the_cluster_allows_it() -> None:
    """EKS charges 0.60 an hour for an old version, unless support_type is STANDARD."""
    cost = cost_of(resource("aws_eks_cluster", None, {"upgrade_policy": [{"support_type": "EXTENDED"}]}))
    assert add_up(cost.after).ceiling == Decimal(438)
    assert add_up(cost.after).floor == Decimal(73)


def test_a_price_that_is_not_known_is_told() -> None:
    """No number is guessed: the type, the region and the table's date stand in the report."""
    cost = cost_of(resource("aws_eks_node_group", None, group(0, 3, "m9x.large")))
    assert cost.missing == ["no price known for m9x.large in eu-central-1 (table of 2026-09-03)"]
    assert money.write_line(cost).endswith("Not all is counted: see below.")


def test_what_is_known_after_the_apply_is_told() -> None:
    """An unknown number of nodes, and a volume type without a price, are named with their resources."""
    template = {"id": "lt-1", "block_device_mappings": [{"ebs": [{"volume_size": 9, "volume_type": "io2"}]}]}
    cost = cost_of(
        resource("aws_launch_template", template, template, actions=("no-op",)),
        resource("aws_eks_node_group", None, group(1, 1)),
        resource(
            "aws_eks_node_group", None, {}, unknown={"scaling_config": True}, address="aws_eks_node_group.b"
        ),
    )
    assert cost.missing == [
        "volumes of aws_eks_node_group.this: type io2",
        "nodes of aws_eks_node_group.b: their number is known after the apply",
    ]


def test_the_region_comes_from_provider_arn_or_resource() -> None:
    """A variable of the provider is read; the ARN and the resource's own region win."""
    provider = {"aws": {"name": "aws", "expressions": {"region": {"references": ["var.region"]}}}}
    changes = [
        resource("aws_nat_gateway", None, {}, address="aws_nat_gateway.a"),
        resource("aws_nat_gateway", None, {"region": "eu-x-2"}, address="aws_nat_gateway.b"),
        resource(
            "aws_nat_gateway", {"arn": "arn:aws:ec2:eu-x-3:1:natgateway/n"}, None, address="aws_nat_gateway.c"
        ),
    ]
    resources = [{"address": change["address"], "provider_config_key": "aws"} for change in changes]
    configuration = {"provider_config": provider, "root_module": {"resources": resources}}
    found = plan(*changes, configuration=configuration, variables={"region": {"value": "eu-x-1"}})
    cost = estimate([found], PRICES)
    assert [text.split()[6] for text in cost.missing] == ["eu-x-1", "eu-x-2", "eu-x-3"]


def test_a_forgotten_resource_goes_on_to_cost() -> None:
    """Terraform only forgets it; AWS keeps it, and sends the bill."""
    cost = cost_of(resource("aws_eks_node_group", group(1, 1), None, actions=("forget",)))
    assert add_up(cost.after) == add_up(cost.before)


def test_the_report_has_one_line_and_a_folded_table() -> None:
    """The real prices: a small cluster in Frankfurt."""
    changes = [resource("aws_eks_cluster", None, CLUSTER), resource("aws_nat_gateway", None, {})]
    text = markdown.write(Review("Plan", [PlannedStack("cluster", document(*changes))]))
    assert "\nCost a month: 111 USD, new. Prices of 2026-" in text
    assert "<details><summary>cost a month, floor to ceiling</summary>" in text
    assert "\n| `control planes` | 1 | 0 | 73 |\n" in text
    assert "\n| **together, USD a month** | | 0 | 111 |\n" in text


def test_strings_of_a_plan_stay_code() -> None:
    """A type with Markdown in it can't break out of the table."""
    text = report(resource("aws_eks_node_group", None, group(0, 1, "a|b` <b>@all")))
    assert "- Not counted: ``no price known for a|b` <b>@all in" in text


def test_a_plan_without_anything_priced_says_nothing() -> None:
    """Reports of other stacks stay as they are."""
    assert "Cost" not in report(resource("aws_s3_bucket", None, {"bucket": "a"}))


def test_a_broken_table_of_prices_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands print the message of a PlanError, and no traceback."""

    def fail() -> PriceTable:
        raise PriceError("table.csv, line 2: 'cheap' is not a price in US dollars")

    monkeypatch.setattr(money, "known_prices", fail)
    with pytest.raises(PlanError, match="line 2: 'cheap' is not a price"):
        report(resource("aws_s3_bucket", None, {"bucket": "a"}))


def test_a_stack_without_a_plan_is_named() -> None:
    """The cost of the network is not the cost of the environment."""
    stacks = [
        PlannedStack("network", document(resource("aws_nat_gateway", None, {}))),
        PlannedStack("cluster", None),
    ]
    text = markdown.write(Review("Plan", stacks))
    assert "Not all is counted: see below." in text
    assert "- Not counted: `stack cluster: it has no plan`" in text


@pytest.mark.parametrize("kind", ["aws_instance", "aws_autoscaling_group", "aws_db_instance"])
def test_a_machine_that_is_not_counted_is_named(kind: str) -> None:
    """Beside a NAT gateway for 38 dollars the machine would look free."""
    machine = resource(kind, None, {"instance_type": "p4d.24xlarge"})
    cost = estimate([document(resource("aws_nat_gateway", None, {}), machine)], PRICES)
    assert cost.missing == [f"{kind}: the report has no prices of this type"]


def test_the_table_has_the_source_of_each_price() -> None:
    """A number without its source can't be checked."""
    cost = estimate([document(resource("aws_nat_gateway", None, {}))], PRICES)
    assert "- Prices of 2026-09-03: `a list`" in money.write_table(cost, "`{}`".format)
