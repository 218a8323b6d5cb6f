"""The warning about steady nodes in too few zones."""

from collections.abc import Callable

import pytest

from tests.environments import Synthesized


def test_the_check_counts_the_nodes_of_the_steady_group(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """It counts the group of the managers in all zones and no other; one gateway promises nothing."""
    many = synthesize_changed({"network.nat_gateways": "one_per_zone"})["cluster"]
    (found,) = many["check"]["steady_nodes"]["assert"]
    sizes = [f"aws_eks_node_group.node_group_main-{zone}.scaling_config[0].min_size" for zone in "abc"]
    assert found["condition"] == f"${{sum([{', '.join(sizes)}]) >= 3}}"
    assert "steady_nodes" not in example["cluster"]["check"]


@pytest.mark.long
def test_the_check_counts_a_group_over_all_zones(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Without `protect_running_jobs` an entry is one group in EKS."""
    changes = {"network.nat_gateways": "one_per_zone", "protect_running_jobs": False}
    (found,) = synthesize_changed(changes)["cluster"]["check"]["steady_nodes"]["assert"]
    assert found["condition"] == (
        "${sum([aws_eks_node_group.node_group_main.scaling_config[0].min_size]) >= 3}"
    )
