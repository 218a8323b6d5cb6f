"""Rules of Amazon EKS that join several fields or several resources."""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from plan_review.plan import Change
from plan_review.refusals.refusal import (
    Refusal,
    get_number,
    get_text,
    is_new,
    is_sent,
    is_written,
    list_texts,
    parse_minor,
)
from plan_review.values import get_nested, list_blocks

_NODE_GROUP = "Amazon EKS API, CreateNodegroup"
_NETWORK = "Amazon EKS, View Amazon EKS networking requirements for VPC and subnets"
_AUTHENTICATION = "Amazon EKS, Change authentication mode to use access entries"
_MODES = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
# The API's own message has the first three. The kubelet refuses the last one, and no node joins.
_RESERVED_LABELS = ("kubernetes.io/", "k8s.io/", "eks.amazonaws.com/", "node-role.kubernetes.io/")
# Kubernetes, "Labels and Selectors": syntax and character set.
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_LABEL_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def find(change: Change) -> Iterator[Refusal]:
    """Yield the refusals of one cluster or node group."""
    if change.type == "aws_eks_cluster":
        yield from _find_version(change)
        yield from _find_mode(change)
    elif change.type == "aws_eks_node_group":
        yield from _find_numbers(change)
        yield from _find_labels(change)
        yield from _find_template(change)


def _find_version(change: Change) -> Iterator[Refusal]:
    if change.action != "update":
        return
    before, after = (get_text(state, "version") for state in (change.before, change.after))
    old, new = parse_minor(before), parse_minor(after)
    if old is None or new is None:
        return
    if new > old + 1:
        rule = f"a control plane goes up one minor version at a time: first 1.{old + 1}"
        source = "Amazon EKS, Update existing cluster to new Kubernetes version"
        yield Refusal("version", after, rule, source, before)
    elif new < old:
        rule = "a control plane goes back by one minor version, and only in the week after its upgrade"
        source = "Amazon EKS, Rollback cluster to previous Kubernetes version"
        yield Refusal("version", after, rule, source, before, is_certain=new < old - 1)


def _find_mode(change: Change) -> Iterator[Refusal]:
    path = "access_config.authentication_mode"
    before, after = (get_text(state, path) for state in (change.before, change.after))
    if change.action != "update" or before not in _MODES or after not in _MODES:
        return
    if _MODES.index(after) < _MODES.index(before):
        yield Refusal(path, after, f"the mode can't go back from {before}", _AUTHENTICATION, before)


def _find_numbers(change: Change) -> Iterator[Refusal]:
    if not is_sent(change, "scaling_config"):
        return
    names = ("min_size", "desired_size", "max_size")
    least, desired, most = (get_number(change.after, f"scaling_config.{name}") for name in names)
    source = "Amazon EKS API, NodegroupScalingConfig"
    before = get_number(change.before, "scaling_config.min_size")
    if least is not None and most is not None and least > most:
        rule = f"the minimum is at most the maximum, which is {most}"
        yield Refusal("scaling_config.min_size", least, rule, source, before)
    elif least is not None and desired is not None and least > desired:
        # The provider sends the number of the time of the plan together with a new minimum.
        rule = f"the minimum is at most the number of nodes that the plan sends, which is {desired}"
        yield Refusal("scaling_config.min_size", least, rule, source, before)
    elif most is not None and desired is not None and desired > most:
        rule = f"the maximum is at least the number of nodes that the plan sends, which is {desired}"
        before = get_number(change.before, "scaling_config.max_size")
        yield Refusal("scaling_config.max_size", most, rule, source, before)


def _find_labels(change: Change) -> Iterator[Refusal]:
    source = "Kubernetes, Labels and Selectors"
    labels = (change.after or {}).get("labels") if is_sent(change, "labels") else None
    for key, value in labels.items() if isinstance(labels, dict) else ():
        path = f"labels.{key}"
        if key.startswith(_RESERVED_LABELS):
            rule = f"labels of nodes can't begin with {', '.join(_RESERVED_LABELS)}"
            yield Refusal(path, value, rule, "aws/containers-roadmap issue 1451")
        elif not _is_label_key(key):
            yield Refusal(path, value, "the key is no label key", source)
        elif isinstance(value, str) and value and not _LABEL_NAME.fullmatch(value):
            rule = "letters, digits, -, _ and . are accepted, with a letter or a digit at both ends"
            yield Refusal(path, value, rule, source)
    taints = (change.after or {}).get("taint") if is_sent(change, "taint") else None
    if isinstance(taints, list) and len(taints) > 50:  # noqa: PLR2004 # the limit
        rule = "a node group has at most 50 taints"
        yield Refusal("taint", len(taints), rule, "Amazon EKS, Node taints on managed node groups")
    for key in (get_text(taint, "key") for taint in list_blocks(taints)):
        if key and not _is_label_key(key):
            yield Refusal("taint.key", key, "the key is no label key", source)


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return bool(_LABEL_NAME.fullmatch(name) and (not slash or _LABEL_PREFIX.fullmatch(prefix)))


def _find_template(change: Change) -> Iterator[Refusal]:
    """Yield what a node group can't set beside a launch template."""
    if not is_new(change) or not list_blocks(get_nested(change.after, "launch_template")):
        return
    for name in ("disk_size", "remote_access"):
        value = (change.after or {}).get(name)
        if value and is_written(change, name):
            yield Refusal(name, value, "the launch template sets it, if there is one", _NODE_GROUP)


def find_together(changes: Sequence[Change]) -> Iterator[tuple[Change, Refusal]]:
    """Yield the refusals that several resources of a plan show."""
    clusters: dict[str, list[Change]] = {}
    for change in changes:
        if change.type == "aws_eks_cluster" and change.after:
            clusters.setdefault(get_text(change.after, "name"), []).append(change)
    for change in changes:
        if change.action in ("create", "update", "replace"):
            named = clusters.get(get_text(change.after, "cluster_name"), [])
            found = [cluster for cluster in named if _may_be_in_one_region(change, cluster)]
            # Of two clusters that it may belong to, such as those of two accounts, none is taken.
            if len(found) == 1:
                yield from ((change, refusal) for refusal in _find_in_cluster(change, found[0]))
    zones = {
        get_text(change.before, "id"): get_text(change.before, "availability_zone")
        for change in changes
        if change.type == "aws_subnet" and change.before
    }
    for change in chain.from_iterable(clusters.values()):
        if change.action == "update" and is_sent(change, "vpc_config"):
            yield from ((change, refusal) for refusal in _find_zones(change, zones))


def _may_be_in_one_region(change: Change, cluster: Change) -> bool:
    first, second = (item.find_region(item.after) for item in (change, cluster))
    return not first or not second or first == second


def _find_in_cluster(change: Change, cluster: Change) -> Iterator[Refusal]:
    """Yield what does not fit to the cluster, as the plan leaves it."""
    if change.type == "aws_eks_node_group" and is_sent(change, "version"):
        nodes, control = get_text(change.after, "version"), get_text(cluster.after, "version")
        new, most = parse_minor(nodes), parse_minor(control)
        # An older group stays as it is; a new one gets the cluster's version.
        if new is not None and most is not None and (new > most or (is_new(change) and new < most)):
            rule = f"a node group gets the version of its cluster, {control}"
            yield Refusal("version", nodes, rule, _NODE_GROUP, get_text(change.before, "version") or None)
    if change.type in ("aws_eks_access_entry", "aws_eks_access_policy_association") and is_new(change):
        mode = get_text(cluster.after, "access_config.authentication_mode")
        if mode == "CONFIG_MAP":
            rule = f"the cluster has the authentication mode {mode}, and takes no access entries"
            yield Refusal("cluster_name", get_text(change.after, "cluster_name"), rule, _AUTHENTICATION)


def _find_zones(change: Change, zones: dict[str, str]) -> Iterator[Refusal]:
    path = "vpc_config.subnet_ids"
    old, new = (_list_zones(get_nested(state, path), zones) for state in (change.before, change.after))
    if old and new and old != new:
        rule = f"a control plane stays in its zones, {', '.join(sorted(old))}"
        yield Refusal(path, ", ".join(sorted(new)), rule, _NETWORK)


def _list_zones(subnets: Any, zones: dict[str, str]) -> set[str]:
    """Return the zones of subnets; empty if one is unknown."""
    found = {zones.get(item, "") for item in list_texts(subnets) or []}
    return set() if "" in found else found
