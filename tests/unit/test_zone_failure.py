"""The warning about steady nodes in too few zones."""

from collections.abc import Callable

from tests.environments import Synthesized


def test_the_plan_warns_of_fewer_steady_nodes_than_zones(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """A node for each zone is enough; one NAT gateway for all zones promises nothing."""
    changes = {"network.nat_gateways": "one_per_zone", "cluster.node_groups.main.max_size": 3}
    few, enough = (
        synthesize_changed(changes | {"cluster.node_groups.main.min_size": size})["cluster"]["check"]
        for size in (2, 3)
    )
    (found,) = few["steady_nodes"]["assert"]
    subnets = "data.terraform_remote_state.network.outputs.private_subnet_ids"
    assert found["condition"] == f"${{(2 >= length({subnets}))}}"
    assert "steady_nodes" not in enough
    assert "steady_nodes" not in example["cluster"]["check"]
