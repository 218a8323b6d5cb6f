"""The steps of "New nodes beside the old ones" in docs/operations.md, as settings."""

from typing import Any

from tests.environments import Changes

OLD: dict[str, Any] = {"instance_types": ["m5.2xlarge"], "min_size": 1, "max_size": 10}
BIG: dict[str, Any] = {"instance_types": ["m5.8xlarge"], "max_size": 4}
HELD = {"kubernetes_version": "1.35"}
COREDNS = {"coredns": "v1.14.3-eksbuild.14"}
KUBE_PROXY = {"kube-proxy": "v1.36.0-eksbuild.17"}


def _step(version: str, addons: dict[str, str], groups: dict[str, Any], fleet: list[str] | None) -> Changes:
    return {
        "cluster.kubernetes_version": version,
        "cluster.addon_versions": addons,
        "cluster.node_groups": groups,
        **({"runners.default.node_groups": fleet} if fleet else {}),
    }


_NEW = COREDNS | KUBE_PROXY
STEPS: dict[str, Changes] = {
    "before": _step("1.35", {}, {"main": OLD, "big": BIG}, None),
    "update add-ons": _step("1.35", COREDNS, {"main": OLD, "big": BIG}, None),
    "upgrade": _step("1.36", _NEW, {"main": OLD | HELD, "big": BIG | HELD}, ["main", "big"]),
    "add": _step("1.36", _NEW, {"main": OLD | HELD, "big": BIG | HELD, "main-2": OLD}, ["main", "big"]),
    "move": _step("1.36", _NEW, {"main-2": OLD, "main": OLD | HELD, "big": BIG | HELD}, ["main-2", "big"]),
    "remove": _step("1.36", _NEW, {"main-2": OLD, "big": BIG | HELD}, ["main-2", "big"]),
    "release": _step("1.36", _NEW, {"main-2": OLD, "big": BIG}, ["main-2", "big"]),
}


def find_changes(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Return the addresses that differ between the JSON of a stack before and after.

    A resource that only waits for other ones counts as unchanged.
    """

    def resources(stack: dict[str, Any]) -> dict[str, Any]:
        return {
            f"{kind}.{name}": {key: value for key, value in item.items() if key != "depends_on"}
            for kind, named in stack["resource"].items()
            for name, item in named.items()
        }

    old, new = resources(before), resources(after)
    return {address for address in old | new if old.get(address) != new.get(address)}
