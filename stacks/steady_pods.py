"""The pods that hold their node: the managers of all fleets and the autoscaler. No cdktf import.

Intent: the autoscaler never removes a node with such a pod. So they prefer to share one, and a manager that
is replaced in a busy hour does not hold a second node for good.
Not here: the node group of these pods (settings/cluster.py, `steady_node_group`).
"""

from typing import Any

from stacks.settings.runners import FLEET_LABEL

# The charts set these labels. `podLabels` is no way for a label of our own: the autoscaler's chart puts it
# into the selector of the Deployment, which can't be changed.
MANAGER_LABELS = {"app": "gitlab-runner"}
AUTOSCALER_LABELS = {"app.kubernetes.io/instance": "cluster-autoscaler"}
AUTOSCALER_NAMESPACE = "kube-system"


def _prefer_nodes_of(labels: dict[str, str], **namespaces: Any) -> dict[str, Any]:
    term = {
        "labelSelector": {"matchLabels": labels},
        **namespaces,
        "topologyKey": "kubernetes.io/hostname",
    }
    return {"weight": 100, "podAffinityTerm": term}


AFFINITY = {
    "podAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            _prefer_nodes_of(
                MANAGER_LABELS,
                namespaceSelector={"matchExpressions": [{"key": FLEET_LABEL, "operator": "Exists"}]},
            ),
            _prefer_nodes_of(AUTOSCALER_LABELS, namespaces=[AUTOSCALER_NAMESPACE]),
        ]
    }
}
