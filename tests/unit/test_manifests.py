"""Kubernetes' own strict schemas judge the objects of the workloads stack."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.environments import Synthesized
from tests.manifests import find_mistakes, manifests_of_stack
from tests.recipes import recipes

FLEETS = {"example.yaml": None, **recipes()}


@pytest.mark.parametrize("changes", FLEETS.values(), ids=FLEETS.keys())
def test_kubernetes_knows_every_field_of_every_object(
    synthesize_changed: Callable[..., Synthesized], changes: dict[str, Any] | None
) -> None:
    """Each object of the example and of each recipe is valid in every supported version of Kubernetes."""
    manifests = list(manifests_of_stack(synthesize_changed(changes)))
    assert {"LimitRange", "Namespace", "NetworkPolicy", "Secret"} <= {item["kind"] for item in manifests}
    assert find_mistakes(manifests) == []
